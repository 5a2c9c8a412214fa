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


def spoil_root(broker):
    path = broker.options["trust_root"]
    path.write_text(path.read_text().replace('"sig":"', '"sig":"AAAA', 1))


def block_store(broker):
    blocked = broker.directory / "a-file"
    blocked.write_text("not a directory")
    broker.options["store_dir"] = blocked / "store"


def option(name, value):
    return lambda broker: broker.options.update({name: value})


@pytest.mark.parametrize("spoil, says", [
    pytest.param(option("chunk_bugdet", "50"), "chunk_bugdet", id="unknown option"),
    pytest.param(option("chunk_budget", "7"), "chunk_budget", id="out of range"),
    pytest.param(option("shards", "many"), "shards", id="not a number"),
    pytest.param(option("trust_root", "/nonexistent/root.json"), "/nonexistent/root.json",
                 id="no file"),
    pytest.param(lambda broker: broker.options.pop("trust_root"), "trust_root", id="no trust root"),
    pytest.param(spoil_root, "signature", id="a root that is not signed by itself"),
    pytest.param(option("store_dir", "relative/path"), "store_dir", id="relative path"),
    pytest.param(block_store, "a-file", id="no directory"),
])
def test_unloadable_plugin_says_why(brokers, spoil, says):
    broker = brokers()
    spoil(broker)
    log = broker.start_refused()
    assert re.search(says, errors_of(log)), log


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
