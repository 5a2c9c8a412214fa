"""Standard and fast, as their users were promised."""
import os
import time
import zlib

from harness.firmware import Image, filler

# How long "nothing is sent" is watched: the acceptance run sets 60.
QUIET_S = float(os.environ.get("OTA_QUIET_S", "4"))
LIGHT_FLEET = 200


def firmware(alice, trust, product, version, size=200_000):
    return alice.push(trust, Image(product, version, filler(size, zlib.crc32(version.encode()))))


def test_standard_sends_nothing_to_devices_that_stay_online(alice, devices, trust, product):
    fleet = devices(20)
    envelope = firmware(alice, trust, product, "2.0")
    before = [len(device.ota_messages()) for device in fleet]
    alice.release(trust, envelope, product, mode="standard")
    time.sleep(QUIET_S)
    assert [len(device.ota_messages()) for device in fleet] == before

    fleet[7].close()
    fleet[7].join()
    offer = fleet[7].wait_offer()
    assert offer["attempt"] == 1
    time.sleep(1)
    others = [device for device in fleet if device is not fleet[7]]
    assert [device.name for device in others if device.offers()] == []


def test_fast_offers_to_two_hundred_devices_within_two_seconds(alice, devices, trust, product):
    fleet = devices(LIGHT_FLEET)
    envelope = firmware(alice, trust, product, "2.0")
    start = time.monotonic()
    alice.release(trust, envelope, product, mode="fast")
    for device in fleet:
        device.wait_offer()
    last = max(next(when for when, topic, _, _ in device.messages if "/release/" in topic or
                    topic.endswith("/offer")) for device in fleet)
    assert last - start < 2 * float(os.environ.get("OTA_TEST_PATIENCE", "1"))
    assert all(len(device.offers()) == 1 for device in fleet)


def test_a_device_that_slept_through_three_releases_gets_one_offer(alice, devices, trust,
                                                                   product):
    (sleeper,) = devices(1)
    sleeper.close()
    for version in ("2.0", "3.0", "4.0"):
        envelope = firmware(alice, trust, product, version)
        alice.release(trust, envelope, product, mode="fast")
    sleeper.messages.clear()
    sleeper.join()
    sleeper.wait_offer()
    time.sleep(1)
    (offer,) = sleeper.offers()
    assert offer["firmware"] == envelope
