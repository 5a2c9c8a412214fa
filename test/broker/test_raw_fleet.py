"""fleetsim against a stock broker, without our plugin: its MQTT and TLS are right by another's
judgement."""
from harness.client import Client
from harness.fleetsim import Fleetsim


def test_a_thousand_raw_clients_subscribe_and_each_gets_the_message(brokers, closing, directory):
    broker = brokers(plugin=None).start()
    fleet = closing.keep(Fleetsim(broker, directory / "fleet.log", 1000, raw="bench",
                                  raw_shards=16, connect_rate=1000)).start()
    fleet.join()
    speaker = closing.keep(Client(broker, broker.pki.device("speaker"), "speaker")).connect()
    for shard in range(16):
        speaker.publish(f"bench/{shard}", b"x" * 1000)
    figures = fleet.wait(lambda now: now["marked"] == 1000, 20, "a message for each")
    assert figures["message_bytes"] == 1000 * 1000
    assert figures["losses"] == 0


def test_a_fleet_comes_back_after_the_broker_was_killed(brokers, closing, directory):
    broker = brokers(plugin=None).start()
    fleet = closing.keep(Fleetsim(broker, directory / "fleet.log", 200, raw="bench",
                                  backoff="200ms", backoff_max="1s")).start()
    fleet.join()
    broker.restart(kill=True)
    figures = fleet.wait(lambda now: now["connected"] == 200 and now["connects"] == 400, 30,
                         "all back")
    assert figures["losses"] >= 200


def test_a_certificate_for_another_host_is_not_believed(brokers, closing, directory):
    broker = brokers(plugin=None)
    broker.certificate = broker.pki.bad()["broker-wrong-host"]
    broker.start()
    fleet = closing.keep(Fleetsim(broker, directory / "fleet.log", 3, raw="bench")).start()
    figures = fleet.wait(lambda now: now["losses"] >= 3, 20, "three refusals")
    assert figures["connects"] == 0
    assert "certificate verify failed" in figures["last_loss"]
