"""What brokers do to plugins when each listener has settings of its own, and on SIGHUP."""
import time

from harness.client import Client, Refused
from harness.manager import CommandError, Manager


def test_inside_a_listener_it_works_or_says_what_to_change(brokers, closing):
    broker = brokers(identity="b")
    lines = broker.configuration().splitlines()
    plugin = [line for line in lines if line.startswith("plugin")]
    rest = [line for line in lines if not line.startswith(("plugin", "per_listener", "allow"))]
    broker.configuration = lambda: "\n".join(
        ["per_listener_settings true", *rest, "allow_anonymous false", *plugin, ""])
    broker.start()
    time.sleep(6)
    try:
        alice = closing.keep(Manager(broker, "alice")).connect(5)
        assert alice.ask("product.create", {"name": "lamp"})["name"] == "lamp"
    except (AssertionError, CommandError, Refused):
        assert "per_listener_settings false" in broker.log()


def test_a_reload_reads_the_acl_file_again_and_disturbs_nothing(brokers, closing, directory):
    rules = directory / "acl"
    rules.write_text("topic readwrite house/#\n")
    broker = brokers(plain=True, lines=[f"acl_file {rules}"]).start()
    alice = closing.keep(Manager(broker, "alice")).connect()
    lamp = closing.keep(Client(broker, None, "lamp", port=broker.plain_port)).connect()
    lamp.subscribe("#")
    lamp.publish("shed/1", b"x")
    lamp.publish("house/1", b"x")
    lamp.wait_message(lambda topic, _: topic == "house/1")
    assert not lamp.of_topic("shed/1")
    rules.write_text("topic readwrite shed/#\n")
    broker.reload()
    time.sleep(1)
    lamp.publish("house/2", b"x")
    lamp.publish("shed/2", b"x")
    lamp.wait_message(lambda topic, _: topic == "shed/2")
    assert not lamp.of_topic("house/2")
    assert alice.ask("product.create", {"name": "lamp"})["name"] == "lamp"


def test_named_twice_it_refuses_to_load(brokers):
    broker = brokers()
    broker.lines_after = [f"plugin {broker.plugin}"]
    assert "loaded already" in broker.start_refused()
