"""The configuration that doc/mosquitto.conf recommends, in each broker."""
from harness.agent import Agent
from harness.firmware import Image, filler
from harness.manager import Manager
from harness.places import TREE
from harness.process import eventually
from harness.reference import ReferenceBroker, reference_lines


def test_a_device_is_updated_by_a_broker_with_the_reference_configuration(
        suite, directory, pki, trust, closing):
    own = directory / "reference"
    own.mkdir()
    (own / "root.json").write_text(trust.root)
    broker = closing.keep(ReferenceBroker(suite, own, pki, options={
        "trust_root": own / "root.json", "connects_per_minute": 1000})).start()
    alice = closing.keep(Manager(broker, "alice")).connect()
    alice.ask("product.create", {"name": "thermo", "default_hardware": "board-1"})
    alice.ask("device.import", {"product": "thermo", "devices": ["d1"]})
    closing.keep(Agent(broker, "d1", directory / "d1", trust,
                       Image("thermo", "1.0", filler(100_000, 1)))).start()
    alice.release(trust, alice.push(trust, Image("thermo", "2.0", filler(700_000))), "thermo",
                  mode="fast")
    eventually(lambda: alice.ask("device.show", {"device": "d1"})["version"] == "2.0", 60,
               broker.tail)


def test_the_container_broker_says_what_the_reference_says():
    """Where both have a line they agree, but for names of files and the log's place."""
    text = (TREE / "test/fleet/docker/mosquitto.conf").read_text()
    container = [tuple(line.split(" ", 1)) for line in text.splitlines()
                 if line and not line.startswith("#")]
    local = {"log_dest", "cafile", "certfile", "keyfile", "crlfile", "plugin",
             "plugin_opt_store_dir", "plugin_opt_trust_root"}
    assert [line for line in container if line[0] not in local] == \
        [line for line in reference_lines() if line[0] not in local]
