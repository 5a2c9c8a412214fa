"""Who sends a release, and what: only a developer of the product with a release key reaches a
device. Everybody else reaches nobody, and each leaves a row in the audit."""
import base64
import itertools
import json
import time

import pytest

from harness.client import V311, V5, Client, Refused
from harness.device import Device
from harness.firmware import Image, filler
from harness.manager import CommandError
from harness.places import PATIENCE
from harness.process import eventually
from harness.signing import Key, envelope, payload_of

OTHER_PRODUCT = "pump"


@pytest.fixture
def broker(brokers):
    return brokers(identity="b", options={"shards": 1, "errors_per_minute": 1000,
                                          "other_topics": "allow"}).start()


@pytest.fixture
def firmware(alice, trust, product):
    return alice.push(trust, Image(product, "2.0", filler(1000, 2)))


@pytest.fixture
def people(alice, managers, product):
    """Managers by name who are not developers of the product."""
    alice.ask("product.create", {"name": OTHER_PRODUCT})
    for name, of, role in (("vic", product, "viewer"), ("mat", product, "maintainer"),
                           ("otto", OTHER_PRODUCT, "admin")):
        alice.ask("manager.set", {"name": name, "product": of, "role": role})
    return managers


def rows_of(alice, who):
    """What the audit says of somebody, but for what was allowed."""
    return [row for row in alice.every("audit.list") if row["who"] == who and row["decision"]]


def nothing_came(*devices):
    time.sleep(1)
    for device in devices:
        assert device.offers() == [], device.name


def test_managers_without_the_role_release_nothing(alice, people, devices, trust, product,
                                                   firmware):
    (device,) = devices(1)
    release = trust.release(product, 1, firmware)
    for name, protocol in itertools.product(("vic", "mat", "otto"), (V5, V311)):
        sender = people(name, protocol=protocol)
        with pytest.raises(CommandError) as refusal:
            sender.ask("release.create", {"release": release, "override": True})
        assert refusal.value.name == "forbidden"
        sender.close()
    for name in ("vic", "mat", "otto"):
        rows = eventually(lambda name=name: len(rows_of(alice, name)) >= 2
                          and rows_of(alice, name), 10, f"two audit rows of {name}")
        assert [(row["what"], row["decision"]) for row in rows] == [("release.create", 102)] * 2
    nothing_came(device)
    assert alice.every("release.list", {"product": product}) == []


def try_everything(broker, closing, stem, name, protocol, topics, offer):
    """Publishes the offer in every way, Wills too."""
    sender = closing.keep(Client(broker, stem, name, protocol)).connect()
    for topic, qos, retain in itertools.product(topics, (0, 1), (False, True)):
        sender.publish(topic, offer, qos, retain)
    sender.close()
    for topic, qos in itertools.product(topics, (0, 1)):
        closing.keep(Client(broker, stem, name, protocol,
                            will=(topic, offer, qos, False))).connect().cut()


def test_a_good_offer_by_the_wrong_hand_reaches_nobody(broker, alice, people, devices, trust,
                                                       product, firmware, pki, closing):
    (device,) = devices(1)
    alice.ask("device.import", {"product": product, "devices": ["d2"]})
    offer = json.dumps({"v": 1, "release": trust.release(product, 1, firmware),
                        "firmware": firmware, "attempt": 1, "packs": []})
    topics = ("ota/v1/d/d1/offer", f"ota/v1/p/{product}/release/0", "ota/v1/d/d1/control",
              "ota/v1/d/d1/chunk")
    stems = {"vic": pki.manager("vic"), "otto": pki.manager("otto"), "d2": pki.device("d2")}
    assert people  # vic and otto have their roles
    for name, protocol in itertools.product(stems, (V5, V311)):
        try_everything(broker, closing, stems[name], name, protocol, topics, offer)
    nothing_came(device)
    device.close()
    late = closing.keep(Device(broker, "d1", product))
    late.join()
    nothing_came(late)
    assert {json.loads(payload)["type"] for _, topic, payload, _ in late.messages
            if topic.endswith("/control")} == {"welcome"}
    for name in stems:
        objects = {row["object"] for row in
                   eventually(lambda name=name: rows_of(alice, name), 10, "rows")}
        assert set(topics) <= objects, name


def test_a_manager_revoked_on_a_live_session_is_out_within_a_second(alice, people, devices,
                                                                    trust, product, firmware):
    (device,) = devices(1)
    alice.ask("manager.set", {"name": "rex", "product": product, "role": "admin"})
    rex = people("rex")
    assert rex.ask("whoami")["name"] == "rex"
    alice.ask("manager.revoke", {"name": "rex"})
    start = time.monotonic()
    try:
        rex.send("release.create", {"release": trust.release(product, 1, firmware),
                                    "override": True})
    except AssertionError:
        pass  # the link was gone already
    rex.wait(lambda: not rex.connected, 1, "the end of the session")
    assert time.monotonic() - start < 1 * PATIENCE
    nothing_came(device)
    assert alice.every("release.list", {"product": product}) == []
    with pytest.raises(Refused):
        people("rex")
    assert eventually(lambda: rows_of(alice, "rex"), 10, "an audit row")


def changed(text, change):
    parts = json.loads(text)
    change(parts)
    return json.dumps(parts, separators=(",", ":"))


def flip(text):
    content = bytearray(base64.b64decode(text))
    content[len(content) // 2] ^= 1
    return base64.b64encode(content).decode()


def unsigned(text, _trust):
    return changed(text, lambda parts: parts.update(signatures=[]))


def flipped(text, _trust):
    return changed(text, lambda parts: parts.update(payload=flip(parts["payload"])))


def flipped_signature(text, _trust):
    return changed(text, lambda parts: parts["signatures"][0].update(
        sig=flip(parts["signatures"][0]["sig"])))


def by_a_stranger(text, _trust):
    return envelope("release", payload_of(text), [Key("stranger")])


def by_the_firmware_key(text, trust):
    return envelope("release", payload_of(text), [trust.firmware_key])


def as_another_type(text, trust):
    return envelope("head", payload_of(text), [trust.release_key])


def test_a_release_that_is_not_well_signed_is_refused_by_name(alice, devices, trust, product,
                                                              firmware):
    (device,) = devices(1)
    spoils = {unsigned: "signature_invalid", flipped: "signature_invalid",
              flipped_signature: "signature_invalid", by_a_stranger: "signer_not_trusted",
              by_the_firmware_key: "signer_not_trusted", as_another_type: "signature_invalid"}
    numbers = []
    for spoil, name in spoils.items():
        with pytest.raises(CommandError) as refusal:
            alice.ask("release.create", {"override": True, "release":
                                         spoil(trust.release(product, 1, firmware), trust)})
        assert refusal.value.name == name, spoil
        numbers.append(refusal.value.number)
    rows = eventually(lambda: len(rows_of(alice, "alice")) >= len(spoils)
                      and rows_of(alice, "alice"), 10, "an audit row each")
    assert sorted((row["what"], row["decision"]) for row in rows) == \
        sorted(("release.create", number) for number in numbers)
    nothing_came(device)
    # and the same, well signed, arrives: the refusals were for the signatures alone
    alice.ask("release.create", {"release": trust.release(product, 1, firmware),
                                 "override": True})
    device.wait_offer()


def test_an_old_release_that_is_sent_again_starts_nothing(alice, devices, trust, product,
                                                          firmware):
    (device,) = devices(1)
    first = trust.release(product, 1, firmware)
    alice.ask("release.create", {"release": first, "override": True})
    device.wait_offer()
    newer = alice.push(trust, Image(product, "3.0", filler(1000, 3)))
    alice.ask("release.create", {"release": trust.release(product, 2, newer), "override": True})
    device.wait(lambda: len(device.offers()) == 2, 10, "the second offer")
    for old in (first, trust.release(product, 1, newer), trust.release(product, 2, firmware)):
        with pytest.raises(CommandError) as refusal:
            alice.ask("release.create", {"release": old, "override": True})
        assert refusal.value.name in ("release_stale", "conflict"), refusal.value
    time.sleep(1)
    assert len(device.offers()) == 2
    rows = [row for row in rows_of(alice, "alice") if row["what"] == "release.create"]
    assert len(rows) == 3


def test_a_device_commands_nothing(broker, alice, devices, trust, product, firmware, closing,
                                   pki):
    first, second = devices(2)
    for qos in (0, 1):
        second.publish("$CONTROL/ota/v1", json.dumps({
            "v": 1, "id": "x", "verb": "release.create",
            "args": {"release": trust.release(product, 1, firmware), "override": True}}), qos)
    nothing_came(first, second)
    assert alice.every("release.list", {"product": product}) == []
    row = eventually(lambda: rows_of(alice, "d2"), 10, "an audit row")[0]
    assert (row["what"], row["object"]) == ("publish", "$CONTROL/ota/v1")
