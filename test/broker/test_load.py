"""The plugin enters a stock Mosquitto, or says in one line why it does not."""
import re
import subprocess

import pytest

from harness import places
from harness.client import Client
from harness.manager import Manager

ENTRIES = {"mosquitto_plugin_version", "mosquitto_plugin_init", "mosquitto_plugin_cleanup"}


def errors_of(log):
    """What the plugin said before the broker gave up."""
    return "\n".join(line for line in log.splitlines() if "ota" in line.lower())


def test_the_plugin_loads_and_answers_a_manager(broker, alice):
    assert alice.ask("whoami")["name"] == "alice"
    assert alice.ask("whoami")["broker"] == broker.version[:3]


def test_it_stops_cleanly_when_the_broker_stops(brokers, closing):
    broker = brokers().start()
    closing.keep(Manager(broker, "alice")).connect().ask("whoami")
    assert broker.stop() == 0


def test_only_the_three_entry_points_are_exported():
    out = subprocess.run(["nm", "-D", "--defined-only", str(places.PLUGIN)], check=True,
                         capture_output=True, text=True).stdout
    exported = {line.split()[-1] for line in out.splitlines()}
    assert exported == ENTRIES


@pytest.mark.parametrize("options, says", [
    ({"chunk_bugdet": "50"}, "chunk_bugdet"),
    ({"chunk_budget": "7"}, "chunk_budget"),
    ({"shards": "many"}, "shards"),
    ({"trust_root": "/nonexistent/root.json"}, "/nonexistent/root.json"),
    ({"store_dir": "relative/path"}, "store_dir"),
])
def test_a_wrong_option_refuses_to_load_and_is_named(brokers, options, says):
    broker = brokers(options=options)
    log = broker.start_refused()
    assert says in errors_of(log), log


def test_without_a_trust_root_it_refuses_to_load(brokers):
    broker = brokers()
    del broker.options["trust_root"]
    assert "trust_root" in errors_of(broker.start_refused())


def test_a_store_that_cannot_be_written_refuses_to_load(brokers, directory):
    blocked = directory / "a-file"
    blocked.write_text("not a directory")
    log = brokers(options={"store_dir": blocked / "store"}).start_refused()
    assert str(blocked) in errors_of(log), log


def test_a_root_that_is_not_signed_by_itself_refuses_to_load(brokers):
    broker = brokers()
    path = broker.options["trust_root"]
    path.write_text(path.read_text().replace('"sig":"', '"sig":"AAAA', 1))
    log = broker.start_refused()
    assert re.search(r"signature|root", errors_of(log)), log


@pytest.mark.parametrize("identity", ["a", "b"])
def test_it_says_which_of_the_two_identity_settings_it_sees(brokers, closing, identity):
    broker = brokers(identity=identity).start()
    closing.keep(Manager(broker, "alice")).connect().ask("whoami")
    wanted = "use_identity_as_username" if identity == "a" else "compares"
    broker.wait_log(rf"ota.*{wanted}", 10)


def test_other_clients_of_the_broker_are_not_disturbed(brokers, closing):
    broker = brokers(plain=True, options={"other_topics": "allow"}).start()
    hearer = closing.keep(Client(broker, None, "lamp", port=broker.plain_port)).connect()
    assert hearer.subscribe("house/#", 2) == 2
    speaker = closing.keep(Client(broker, None, "switch", port=broker.plain_port)).connect()
    for qos in (0, 1, 2):
        speaker.publish(f"house/{qos}", b"on", qos, retain=True)
        hearer.wait_message(lambda topic, _, qos=qos: topic == f"house/{qos}")
    late = closing.keep(Client(broker, None, "late", port=broker.plain_port)).connect()
    late.subscribe("house/+")
    late.wait(lambda: len(late.messages) == 3, 10, "three retained messages")
