"""People: roles, revocation, tokens, the audit."""
import sqlite3
import time

import pytest

from harness.client import Client, Refused
from harness.manager import CommandError, Manager
from harness.process import eventually


def refused(name, ask, *args, **more):
    with pytest.raises(CommandError) as error:
        ask(*args, **more)
    assert error.value.name == name, error.value


@pytest.fixture
def people(alice, managers, product):
    """people("bob", "viewer") is bob with that role in the product."""
    def make(name, role, where=product):
        alice.ask("manager.set", {"name": name, "product": where, "role": role})
        return managers(name)
    return make


def test_each_role_may_what_it_may_and_no_more(alice, people, product):
    alice.ask("device.import", {"product": product, "devices": ["d1"]})
    alice.ask("product.create", {"name": "other"})
    tries = {
        "viewer": ("device.show", {"device": "d1"}),
        "maintainer": ("device.ping", {"device": "d1"}),
        "developer": ("device.set", {"device": "d1", "notes": "x"}),
        "admin": ("product.update", {"name": product, "title": "x"}),
    }
    ranks = list(tries)
    for role in ranks:
        person = people(f"p-{role}", role)
        for needed, (verb, args) in tries.items():
            if ranks.index(role) >= ranks.index(needed):
                person.ask(verb, args)
            else:
                refused("forbidden", person.ask, verb, args)
        refused("forbidden", person.ask, "product.show", {"name": "other"})
        refused("forbidden", person.ask, "product.create", {"name": "mine"})
        refused("forbidden", person.ask, "audit.list")
        assert [item["name"] for item in person.every("product.list")] == [product]
        assert person.ask("whoami")["roles"] == [{"product": product, "role": role}]
    rows = alice.every("audit.list", {"limit": 500})
    assert sum(row["decision"] == 102 for row in rows) >= 4 * 3


def test_a_manager_sees_no_devices_of_other_products(alice, people, product):
    alice.ask("product.create", {"name": "other"})
    alice.ask("device.import", {"product": "other", "devices": ["o1"]})
    alice.ask("device.import", {"product": product, "devices": ["d1"]})
    bob = people("bob", "admin")
    assert [item["device"] for item in bob.every("device.list")] == ["d1"]
    refused("not_found", bob.ask, "device.show", {"device": "o1"})
    refused("forbidden", bob.ask, "device.deny", {"devices": ["o1"]})


def test_one_without_a_role_may_not_even_send(broker, alice, closing):
    nobody = closing.keep(Manager(broker, "nobody"))
    with pytest.raises((AssertionError, Refused)):
        nobody.connect()
    assert any(row["who"] == "nobody" and row["decision"] != 0
               for row in alice.every("audit.list"))


def test_a_revoked_manager_is_out_within_a_second(alice, people, closing):
    bob = people("bob", "admin")
    alice.ask("manager.revoke", {"name": "bob"})
    start = time.monotonic()
    bob.wait(lambda: not bob.connected, 5, "the end of the session")
    assert time.monotonic() - start < 1.5
    with pytest.raises((AssertionError, Refused)):
        closing.keep(Manager(bob.broker, "bob")).connect(5)


def test_a_denied_device_is_out_within_a_second(alice, devices):
    device = devices(1)[0]
    alice.ask("device.deny", {"devices": ["d1"]})
    start = time.monotonic()
    device.wait(lambda: not device.connected, 5, "the end of the session")
    assert time.monotonic() - start < 1.5


def test_the_first_admin_can_be_revoked_by_another(alice, people, managers):
    bob = people("bob", "admin", "*")
    refused("conflict", alice.ask, "manager.revoke", {"name": "alice"})
    bob.ask("manager.revoke", {"name": "alice"})
    alice.wait(lambda: not alice.connected, 5, "the end of the session")


@pytest.fixture
def console(broker, closing):
    return closing.keep(Manager(broker, "web", role="console")).connect()


def test_a_token_gives_its_rights_through_a_console(alice, console, product):
    token = alice.ask("token.create", {"name": "ci", "product": product, "role": "viewer",
                                       "days": 1})
    refused("forbidden", console.ask, "product.show", {"name": product})
    assert console.ask("product.show", {"name": product}, token=token["secret"])
    assert console.ask("whoami", token=token["secret"])["kind"] == "token"
    refused("forbidden", console.ask, "product.update", {"name": product, "title": "x"},
            token=token["secret"])
    refused("forbidden", alice.ask, "whoami", token=token["secret"])
    wrong = token["secret"][:-1] + ("0" if token["secret"][-1] != "0" else "1")
    refused("unauthorized", console.ask, "whoami", token=wrong)
    assert all("secret" not in item for item in alice.every("token.list"))
    alice.ask("token.revoke", {"id": token["id"]})
    refused("unauthorized", console.ask, "whoami", token=token["secret"])


def test_secrets_are_not_in_the_store(broker, alice, product):
    token = alice.ask("token.create", {"name": "ci", "product": product, "role": "viewer",
                                       "days": 1}, key="k")
    secret = token["secret"].split(".")[1].encode()
    broker.stop()
    for file in broker.store.iterdir():
        if file.is_file():
            assert secret not in file.read_bytes(), file


def test_the_audit_names_who_did_what_and_hangs_together(alice, people, product):
    bob = people("bob", "viewer")
    refused("forbidden", bob.ask, "group.create", {"product": product, "group": "beta"})
    alice.ask("group.create", {"product": product, "group": "beta"})
    rows = alice.every("audit.list", {"limit": 3})
    assert [(row["who"], row["what"], row["object"], row["decision"]) for row in rows[:2]] == \
        [("alice", "group.create", "beta", 0), ("bob", "group.create", "", 102)]
    state = alice.ask("audit.verify")
    assert state["intact"] and state["entries"] == len(rows)
    alice.ask("group.create", {"product": product, "group": "more"})
    later = alice.ask("audit.verify", {"entries": state["entries"], "tip": state["tip"]})
    assert later["intact"] and later["entries"] == state["entries"] + 1
    assert not alice.ask("audit.verify", {"entries": 1, "tip": state["tip"]})["intact"]


TAMPERING = {
    "edited": "UPDATE audit SET who = 'mallory' WHERE sequence = {middle}",
    "deleted": "DELETE FROM audit WHERE sequence = {middle}",
    "reordered": "UPDATE audit SET what = (SELECT what FROM audit WHERE sequence = {last}), "
                 "object = (SELECT object FROM audit WHERE sequence = {last}) "
                 "WHERE sequence = {middle}",
    "truncated": "DELETE FROM audit WHERE sequence = {last}",
}


@pytest.mark.parametrize("how", TAMPERING)
def test_an_audit_row_that_was_tampered_with_is_found(broker, alice, managers, product, how):
    for group in ("a", "b", "c"):
        alice.ask("group.create", {"product": product, "group": group})
    alice.close()
    broker.stop()
    with sqlite3.connect(broker.store / "store.db") as store:
        sequences = [row[0] for row in
                     store.execute("SELECT sequence FROM audit ORDER BY sequence")]
        store.execute(TAMPERING[how].format(middle=sequences[1], last=sequences[-1]))
    store.close()
    broker.start()
    state = managers("alice").ask("audit.verify")
    assert not state["intact"] and state["why"]


def test_a_certificate_cannot_use_the_client_id_of_another(brokers, closing):
    broker = brokers(identity="b").start()
    alice = closing.keep(Manager(broker, "alice")).connect()
    thief = closing.keep(Client(broker, broker.pki.device("d8"), "d7"))
    with pytest.raises(Refused):
        thief.connect()
    eventually(lambda: any(row["object"] == "d7" and row["decision"] != 0
                           for row in alice.every("audit.list")), 5, "an audit row")


def test_where_mosquitto_lets_a_stolen_client_id_in_it_may_do_nothing(brokers, closing):
    broker = brokers(identity="half").start()
    alice = closing.keep(Manager(broker, "alice")).connect()
    alice.ask("product.create", {"name": "thermo"})
    alice.ask("device.import", {"product": "thermo", "devices": ["d7", "d8"]})
    thief = closing.keep(Client(broker, broker.pki.device("d8"), "d7")).connect()
    for topic in ("ota/v1/d/d7/offer", "ota/v1/d/d8/offer"):
        assert thief.subscribe(topic) >= 128
