"""Wills do nothing on our topics, whatever the client did before it died."""
import itertools
import json
import socket
import time

from harness.client import V5, V311, Client

BEFORE = ("subscribes", "publishes", "is silent")


def hello(product):
    return json.dumps({
        "v": 1, "nonce": "ab" * 16, "agent": "test", "product": product, "hardware": "board-1",
        "version": "9.9", "digest": "22" * 32, "security_version": 1, "floor": 0, "root": 1,
        "number": 0, "slot_size": 1 << 30, "boot": "normal",
        "consent": {"download": True, "install": True, "restart": True}})


def test_a_will_on_a_devices_own_topic_is_refused(broker, alice, product, closing):
    cases = list(itertools.product(BEFORE, (V5, V311), (True, False)))
    names = [f"d{n}" for n in range(len(cases))]
    alice.ask("device.import", {"product": product, "devices": names})
    dying = []
    for name, (before, protocol, clean) in zip(names, cases):
        will = (f"ota/v1/d/{name}/hello", hello(product), 1, False)
        device = closing.keep(Client(broker, broker.pki.device(name), name, protocol=protocol,
                                     clean=clean, will=will)).connect()
        if before == "subscribes":
            device.subscribe(f"ota/v1/d/{name}/offer")
        elif before == "publishes":
            device.publish(f"ota/v1/d/{name}/consent", b"{}")
        dying.append(device)
    for device in dying:
        device.mqtt.socket().shutdown(socket.SHUT_RDWR)
    for device in dying:
        device.wait(lambda device=device: not device.connected, 10, "its end")
    time.sleep(0.5)
    assert alice.ask("status")["callbacks"]["hello"]["count"] == 0
    for shown in alice.every("device.list", {"product": product}):
        assert shown["version"] == "" and not shown["online"], shown
