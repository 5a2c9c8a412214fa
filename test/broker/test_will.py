"""Wills do nothing on our topics, whatever the client did before it died."""
import json
import socket
import time

import pytest

from harness.client import V5, V311, Client


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("protocol", [V5, V311])
@pytest.mark.parametrize("before", ["subscribes", "publishes", "is silent"])
def test_a_will_on_a_devices_own_topic_is_refused(broker, alice, product, closing, protocol,
                                                  clean, before):
    alice.ask("device.import", {"product": product, "devices": ["d1"]})
    hello = json.dumps({
        "v": 1, "nonce": "ab" * 16, "agent": "test", "product": product, "hardware": "board-1",
        "version": "9.9", "digest": "22" * 32, "security_version": 1, "floor": 0, "root": 1,
        "number": 0, "slot_size": 1 << 30, "boot": "normal",
        "consent": {"download": True, "install": True, "restart": True}})
    device = closing.keep(Client(broker, broker.pki.device("d1"), "d1", protocol=protocol,
                                 clean=clean, will=("ota/v1/d/d1/hello", hello, 1, False)))
    device.connect()
    if before == "subscribes":
        device.subscribe("ota/v1/d/d1/offer")
    elif before == "publishes":
        device.publish("ota/v1/d/d1/consent", b"{}")
    device.mqtt.socket().shutdown(socket.SHUT_RDWR)
    device.wait(lambda: not device.connected, 10, "its end")
    time.sleep(0.5)
    assert alice.ask("status")["callbacks"]["hello"]["count"] == 0
    shown = alice.ask("device.show", {"device": "d1"})
    assert shown["version"] == "" and not shown["online"]
