"""Blobs in and out: uploads that resume, chunks that are paced."""
import json
import os
import struct

import pytest

from harness.firmware import Image, filler, sha256
from harness.manager import CommandError, Manager
from harness.process import eventually


def begin(alice, product, content):
    return alice.ask("blob.begin", {"product": product, "sha256": sha256(content),
                                    "size": len(content)})


def frame(alice, upload, offset, data):
    alice.publish("ota/v1/m/alice/upload", struct.pack(">QQ", int(upload, 16), offset) + data)


def news(alice, upload, seconds=10):
    """The next answer about the upload."""
    return json.loads(alice.wait_message(
        lambda topic, payload: json.loads(payload).get("upload") == upload and
        json.loads(payload).get("v") is None, seconds, "news of the upload")[2])


def test_a_blob_is_kept_under_its_digest(broker, alice, product):
    content = filler(3_000_000, 5)
    digest = alice.upload(product, content)
    path = broker.store / "blobs" / digest[:2] / digest
    assert path.read_bytes() == content
    assert not list((broker.store / "partial").iterdir())
    again = begin(alice, product, content)
    assert again["done"] and again["offset"] == len(content)


def test_an_upload_goes_on_after_the_broker_was_killed(broker, alice, managers, product):
    content = filler(3_000_000, 6)
    upload = begin(alice, product, content)["upload"]
    for number in range(16):
        frame(alice, upload, number * 65536, content[number * 65536:(number + 1) * 65536])
    assert news(alice, upload)["offset"] == 16 * 65536
    alice.close()
    broker.restart(kill=True)
    again = managers("alice")
    assert begin(again, product, content)["offset"] == 16 * 65536
    digest = again.upload(product, content)
    assert (broker.store / "blobs" / digest[:2] / digest).read_bytes() == content


def test_bytes_that_are_not_those_of_the_digest_are_refused_and_dropped(broker, alice, product):
    content = filler(100_000, 7)
    upload = begin(alice, product, content)["upload"]
    frame(alice, upload, 0, bytes(65536))
    frame(alice, upload, 65536, content[65536:])
    answer = news(alice, upload)
    assert answer["error"]["name"] == "image_hash_mismatch" and not answer["done"]
    assert not list((broker.store / "partial").iterdir())
    assert alice.upload(product, content)


def test_a_gap_between_frames_says_where_to_go_on(alice, product):
    content = filler(300_000, 8)
    upload = begin(alice, product, content)["upload"]
    frame(alice, upload, 65536, content[65536:131072])
    answer = news(alice, upload)
    assert answer["error"]["name"] == "resume_mismatch" and answer["offset"] == 0


def test_a_repeated_frame_is_answered_at_once_with_how_far_it_is(alice, product):
    content = filler(300_000, 8)
    upload = begin(alice, product, content)["upload"]
    frame(alice, upload, 0, content[:65536])

    def stored():
        alice.messages.clear()
        frame(alice, upload, 65535, content[65535:65536])
        return news(alice, upload)["offset"]
    eventually(lambda: stored() == 65536, 5, "the first frame is in the file")


def test_more_than_was_announced_is_refused(alice, product):
    content = filler(1000, 8)
    upload = begin(alice, product, content)["upload"]
    frame(alice, upload, 0, content + b"x")
    assert news(alice, upload)["error"]["name"] == "size_mismatch"


def test_another_manager_cannot_add_to_an_upload(alice, managers, product):
    alice.ask("manager.set", {"name": "bob", "product": product, "role": "developer"})
    bob = managers("bob")
    content = filler(1000, 8)
    upload = begin(alice, product, content)["upload"]
    bob.publish("ota/v1/m/bob/upload", struct.pack(">QQ", int(upload, 16), 0) + content)
    assert news(bob, upload)["error"]["name"] == "not_found"


def test_a_full_store_says_so_before_the_first_byte(brokers, closing):
    broker = brokers(options={"store_quota": "1M"}).start()
    alice = closing.keep(Manager(broker, "alice")).connect()
    alice.ask("product.create", {"name": "thermo"})
    with pytest.raises(CommandError) as error:
        begin(alice, "thermo", filler(1_500_000, 1))
    assert error.value.name == "quota_exceeded"


def test_a_disk_without_its_reserve_takes_no_blob(brokers, closing):
    disk = os.statvfs("/tmp")
    free = 100 * disk.f_bavail // disk.f_blocks
    if free >= 90:
        pytest.skip("the disk is nearly empty: no reserve can be missed")
    broker = brokers(options={"store_reserve": min(free + 1, 90)}).start()
    alice = closing.keep(Manager(broker, "alice")).connect()
    alice.ask("product.create", {"name": "thermo"})
    with pytest.raises(CommandError) as error:
        begin(alice, "thermo", filler(1000, 1))
    assert error.value.name == "insufficient_storage"


@pytest.fixture
def released(alice, product, devices, trust):
    """Two devices with an offer of a 1 MiB image."""
    made = devices(2)
    image = Image(product, "2.0", os.urandom(1 << 20))
    alice.release(trust, alice.push(trust, image), product)
    for device in made:
        device.wait_offer()
        device.report(1, "downloading", done=0, total=len(image.bytes))
    return made, image


def test_chunks_are_the_bytes_of_the_pack(released):
    (first, second), image = released
    assert first.fetch(image.pack_digest, len(image.pack)) == image.pack
    assert second.fetch(image.index_digest, len(image.index)) == image.index


def chunk_of(device, seconds=10):
    message = device.wait_message(lambda topic, _: topic.endswith("/chunk"), seconds, "a frame")
    return struct.unpack(">BBHII", message[2][:12])


def get(device, blob, ranges):
    device.publish(device.topic("get"), json.dumps({
        "v": 1, "transfer": 7, "blob": blob, "ranges": ranges}), 0)


@pytest.mark.parametrize("what", ["unknown", "beyond", "other product"])
def test_chunks_that_are_not_for_a_device_are_refused(alice, released, what):
    (device, _), image = released
    blob, ranges = image.pack_digest, [[0, 1]]
    if what == "unknown":
        blob = "ab" * 32
    elif what == "beyond":
        ranges = [[1_000_000, 1]]
    else:
        alice.ask("product.create", {"name": "other"})
        content = filler(70_000, 3)
        blob = alice.upload("other", content)
    get(device, blob, ranges)
    kind, _, error, transfer, _ = chunk_of(device)
    assert (kind, transfer) == (3, 7) and error != 0


def test_a_device_gets_what_it_asks_for_and_no_more_than_its_window(released):
    (device, _), image = released
    get(device, image.pack_digest, [[0, 5], [8, 5]])
    get(device, image.pack_digest, [[2, 1], [5, 2]])
    device.wait(lambda: len(device.of_topic(device.topic("chunk"))) >= 3, 10, "three frames")
    numbers = [struct.unpack(">BBHII", message[2][:12])[4]
               for message in device.of_topic(device.topic("chunk"))]
    assert numbers == [2, 5, 6]


def test_a_quarantined_device_gets_no_chunks(alice, released):
    (device, _), image = released
    alice.ask("device.set", {"device": device.name, "development": True})
    get(device, image.pack_digest, [[0, 1]])
    assert chunk_of(device)[0] == 3


def test_malformed_messages_are_counted_and_change_nothing(alice, devices):
    device = devices(1)[0]
    for leaf in ("hello", "report", "consent", "get"):
        for payload in (b"", b"{", b"[]", b'{"v":1}', bytes(range(256)), b'{"v":1}' * 900):
            device.publish(device.topic(leaf), payload, 0)
    device.hello()
    status = alice.ask("status")
    assert status["refused"]["malformed"] >= 20
    assert alice.ask("device.show", {"device": "d1"})["version"] == "1.0"


def test_a_device_that_floods_is_slowed_and_others_are_not(alice, devices):
    noisy, quiet = devices(2)
    for _ in range(200):
        noisy.mqtt.publish(noisy.topic("consent"), json.dumps({
            "v": 1, "consent": {"download": True, "install": True, "restart": True}}), 0)
    assert quiet.hello()["type"] == "welcome"
    noisy.wait(lambda: alice.ask("status")["refused"]["rate_limited"] > 100, 10, "the limit")
