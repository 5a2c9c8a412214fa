"""What the harness stands on: each suite's Mosquitto runs here without our plugin."""
import pytest

from harness.client import V311, V5, Client, Refused


@pytest.mark.parametrize("protocol", [V5, V311])
def test_a_stock_broker_carries_a_message_over_mutual_tls(brokers, closing, protocol):
    broker = brokers(plugin=None).start()
    hearer = closing.keep(Client(broker, broker.pki.device("d1"), "d1", protocol)).connect()
    assert hearer.subscribe("lamp/#") == 1
    speaker = closing.keep(Client(broker, broker.pki.device("d2"), "d2", protocol)).connect()
    speaker.publish("lamp/on", b"yes")
    assert hearer.wait_message(lambda topic, _: topic == "lamp/on")[2] == b"yes"


def test_a_client_with_a_certificate_of_another_ca_does_not_connect(brokers, closing):
    broker = brokers(plugin=None).start()
    stranger = closing.keep(Client(broker, broker.pki.bad()["device-other-ca"], "d1"))
    with pytest.raises(Refused):
        stranger.connect(3)


def test_a_revoked_certificate_does_not_connect(brokers, closing, fresh_pki):
    fresh_pki.revoke("device", "d1")
    broker = brokers(plugin=None, pki=fresh_pki).start()
    closing.keep(Client(broker, fresh_pki.device("d2"), "d2")).connect()
    revoked = closing.keep(Client(broker, fresh_pki.device("d1"), "d1"))
    with pytest.raises(Refused):
        revoked.connect(3)


def test_a_killed_broker_comes_back_on_its_port(brokers, closing):
    broker = brokers(plugin=None).start()
    broker.restart(kill=True)
    closing.keep(Client(broker, broker.pki.device("d1"), "d1")).connect()
