"""Clients that are none of ours and send a username: on a broker that asks for no passwords."""
import pytest
from paho.mqtt import client as paho


def connects(broker, username):
    """What the broker answers to a plain client."""
    codes = []
    client = paho.Client("somebody", protocol=paho.MQTTv311)
    if username:
        client.username_pw_set(username, "whatever")
    client.on_connect = lambda _c, _u, _f, code: codes.append(code)
    client.connect("127.0.0.1", broker.plain_port, 10)
    for _ in range(200):
        client.loop(0.05)
        if codes:
            break
    client.disconnect()
    return codes[0] if codes else None


@pytest.mark.parametrize("options, welcome", [({}, False), ({"other_clients": "allow"}, True)])
def test_a_username_without_a_password_file(brokers, suite, options, welcome):
    broker = brokers(plain=True, identity="b",
                     options={"other_topics": "allow", **options}).start()
    assert connects(broker, None) == 0
    # 2.0 takes an answer that all have deferred for a no, 2.1 does not: the option is for 2.0.
    expected = 0 if welcome or suite == "sid" else 5
    assert connects(broker, "sensor") == expected


def test_without_the_plugin_it_connects(brokers, suite):
    broker = brokers(plugin=None, plain=True, identity="b").start()
    assert connects(broker, "sensor") == 0
