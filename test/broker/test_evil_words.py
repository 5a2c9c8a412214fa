"""What an evil broker serves, what it says out of turn, and what somebody does to the device's own
files between check and use: the version that runs stays, and a good update is still installed."""
import json
import secrets
import struct

import pytest
from harness.evil import NEW, OLD, OTHER, PRODUCT, Scene, scene  # noqa: F401
from harness.firmware import sha256
from harness.process import eventually
from harness.signing import Key

# --- what it serves ---

def spoil_chunk(blob, number, change):
    return lambda which, at, data: change(data) if (which, at) == (blob, number) else data


BLOBS = {
    "a flipped bit in the index": (NEW.index_digest, 0, -1),
    "a flipped bit in the pack's header": (NEW.pack_digest, 0, 20),
    "a flipped bit in the pack's table": (NEW.pack_digest, 0, 110),
    "a flipped bit in the first chunk": (NEW.pack_digest, 0, 5000),
    "a flipped bit in a middle chunk": (NEW.pack_digest, 5, 100),
    "a flipped bit in the last byte": (NEW.pack_digest, (len(NEW.pack) - 1) // 65536, -1),
}


def fails_while_fetching(scene, names, **offer):
    number = scene.next()
    standing = scene.agent.slot_a.read_bytes(), scene.agent.current.readlink()
    firmware = scene.trust.firmware(NEW)
    scene.offer(scene.trust.release(PRODUCT, number, firmware), firmware, **offer)
    report = scene.evil.wait_report("d1", "failed", number, seconds=60)
    assert report["error"]["name"] in names, report
    assert report["version"] == "1.0"
    assert (scene.agent.slot_a.read_bytes(), scene.agent.current.readlink()) == standing
    assert scene.agent.running_bytes() == OLD.bytes
    assert scene.agent.is_running()


@pytest.mark.parametrize("name", BLOBS)
def test_a_spoiled_blob_installs_nothing(scene, name):
    blob, number, place = BLOBS[name]

    def change(data):
        data = bytearray(data)
        data[place] ^= 16
        return bytes(data)
    scene.evil.spoil = spoil_chunk(blob, number, change)
    fails_while_fetching(scene, ("segment_hash_mismatch", "size_mismatch", "manifest_invalid",
                                 "image_hash_mismatch"))
    scene.evil.spoil = None
    scene.installs_a_good_one()


@pytest.mark.parametrize("change", [
    lambda data: data[:-1], lambda data: data + b"\0", lambda data: b""],
    ids=["shorter", "longer", "empty"])
def test_a_chunk_of_another_length_is_asked_for_again(scene, change):
    scene.evil.spoil = spoil_chunk(NEW.pack_digest, 3, change)
    number, firmware = scene.next(), scene.trust.firmware(NEW)
    scene.offer(scene.trust.release(PRODUCT, number, firmware), firmware)
    scene.evil.wait(lambda: len([1 for _, get in scene.evil.gets if any(
        first <= 3 < first + count for first, count in get["ranges"])
        and get["blob"] == NEW.pack_digest]) >= 2, 20, "chunk 3 asked for twice")
    assert scene.agent.running_bytes() == OLD.bytes
    scene.evil.spoil = None
    scene.evil.wait_report("d1", "succeeded", number, seconds=60)
    assert scene.agent.running_bytes() == NEW.bytes


def test_the_packs_of_another_image_install_nothing(scene):
    scene.evil.put(OTHER)
    fails_while_fetching(scene, ("segment_hash_mismatch", "image_hash_mismatch",
                                 "size_mismatch", "manifest_invalid"), packs=[
        {"sha256": OTHER.pack_digest, "size": len(OTHER.pack)}])
    # the right digest's name over the wrong bytes
    scene.evil.spoil = lambda blob, number, data: \
        OTHER.pack[number * 65536:(number + 1) * 65536] if blob == NEW.pack_digest else data
    fails_while_fetching(scene, ("segment_hash_mismatch", "image_hash_mismatch",
                                 "manifest_invalid"))


def test_a_pack_with_bytes_behind_its_end_installs_nothing(scene):
    longer = NEW.pack + b"\0" * 100_000
    scene.evil.blobs[sha256(longer)] = longer
    fails_while_fetching(scene, ("size_mismatch", "manifest_invalid", "segment_hash_mismatch"),
                         packs=[{"sha256": sha256(longer), "size": len(longer)}])


def test_a_pack_that_is_said_to_be_endless_installs_nothing(scene):
    fails_while_fetching(scene, ("size_mismatch", "manifest_invalid", "segment_hash_mismatch",
                                 "chunk_refused", "download_stalled"),
                         packs=[{"sha256": NEW.pack_digest, "size": 2 ** 53}])


def test_a_blob_that_is_refused_installs_nothing(scene):
    del_from = scene.evil.put
    scene.evil.put = lambda image: None
    fails_while_fetching(scene, ("chunk_refused",))
    scene.evil.put = del_from


def test_a_pack_against_a_base_that_does_not_run_is_not_used(scene):
    fails_while_fetching(scene, ("chunk_refused",), packs=[
        {"sha256": NEW.pack_digest, "size": len(NEW.pack), "base": "33" * 32}])


# --- what it says out of turn ---

def frames(*transfers):
    """Chunks that nobody asked for, and what is no chunk."""
    one = transfers[0]
    yield b""
    yield b"\1"
    yield bytes(12)
    yield b"\1" * 11
    yield struct.pack(">BBHII", 1, 0, 0, one, 0)
    yield struct.pack(">BBHII", 1, 0, 0, one, 0) + bytes(65537)
    yield struct.pack(">BBHII", 2, 0, 0, one, 2 ** 32 - 1)
    yield struct.pack(">BBHII", 3, 0, 9999, one, 0)
    yield struct.pack(">BBHII", 9, 0, 0, one, 0) + b"x"
    for transfer in transfers:
        for number in (0, 1, 11, 2 ** 31, 2 ** 32 - 1):
            yield struct.pack(">BBHII", 1, 0, 0, transfer, number) + secrets.token_bytes(65536)


NOISE = [
    "", "{", "null", "[]", "{}", '{"v":1}', '{"v":2,"type":"rehello"}', "\0" * 100,
    '{"v":1,"type":"wipe"}', '{"v":1,"type":"rehello","type":"rehello"}',
    '{"v":1,"type":"rehello","more":1}', "[" * 8000, '{"v":1,"type":"ack","seqs":[0]}',
    '{"v":1,"type":"ack","seqs":[9007199254740993]}', '{"v":1,"type":"ack","seqs":[-1]}',
    '{"v":1,"type":"ack","seqs":[1,2,3,4,5,6,7,8,9]}',
    '{"v":1,"type":"cancel","release":77,"reason":"aborted"}',
    '{"v":1,"type":"revert","release":1}', '{"v":1,"type":"resume","release":1}',
    '{"v":1,"type":"grant","nonce":"' + "00" * 16 + '","release":1,"attempt":1}',
    '{"v":1,"type":"welcome","nonce":"' + "00" * 16 + '","time":0,"status":"denied",'
    '"product":"pump","groups":[],"shards":4294967295,"roots":[]}',
    json.dumps({"v": 1, "type": "welcome", "nonce": "00" * 16, "time": 2 ** 53,
                "status": "decommissioned", "product": PRODUCT,
                "groups": [f"g{number}" for number in range(32)], "shards": 1,
                "roots": ["x" * 60000] * 8}),
    "x" * (700 << 10),
]


def test_noise_on_every_topic_changes_nothing(scene):
    before = scene.standing()
    for message in NOISE:
        for leaf in ("control", "offer", "chunk"):
            scene.say(leaf, message)
    for frame in frames(1, 0, 2, 2 ** 32 - 1):
        scene.say("chunk", frame)
        scene.say("control", frame)
    for length in range(0, 2000, 37):
        scene.say("offer", '{"v":1,"release":"' + "a" * length)
    count = len(scene.evil.hellos)
    scene.evil.control("d1", "rehello")
    scene.evil.wait_hello("d1", since=count, seconds=60)
    assert scene.standing() == before
    scene.installs_a_good_one()


def test_noise_during_a_download_does_not_spoil_it(suite, directory, pki, closing):
    scene = Scene(suite, directory, pki, closing, rate_limit="1M")
    number, firmware = scene.next(), scene.trust.firmware(NEW)
    scene.offer(scene.trust.release(PRODUCT, number, firmware), firmware)
    scene.evil.wait(lambda: scene.evil.gets, 20, "the first request")
    for frame in frames(7777, 0, 2 ** 32 - 1):  # of transfers that are not under way
        scene.say("chunk", frame)
    for message in NOISE[:-1]:
        if '"welcome"' not in message:
            scene.say("control", message)
    scene.evil.wait_report("d1", "succeeded", number, seconds=90)
    assert scene.agent.running_bytes() == NEW.bytes


def test_a_grant_with_another_nonce_makes_nothing_permanent(suite, directory, pki, closing):
    scene = Scene(suite, directory, pki, closing, confirm_timeout="4s")
    scene.evil.grants = False
    number, firmware = scene.next(), scene.trust.firmware(NEW)
    scene.offer(scene.trust.release(PRODUCT, number, firmware), firmware)
    hello = scene.evil.wait_hello("d1", 60, lambda hello: "trial" in hello)
    for nonce in ("00" * 16, secrets.token_hex(16)):
        scene.evil.control("d1", "grant", nonce=nonce, **hello["trial"])
    for release, attempt in ((number, 2), (number + 1, 1)):
        scene.evil.control("d1", "grant", nonce=hello["nonce"], release=release,
                           attempt=attempt)
    report = scene.evil.wait_report("d1", "rolled_back", number, seconds=60)
    assert report["error"]["name"] == "no_connectivity_after_update"
    assert scene.agent.running_bytes() == OLD.bytes


# --- what is done to the device's own files between check and use ---

def restarted_with(scene, change):
    """A good update is installed but not switched to; its files are changed, and the agent
    started again, now allowed to switch."""
    number, firmware = scene.next(), scene.trust.firmware(NEW)
    scene.offer(scene.trust.release(PRODUCT, number, firmware), firmware)
    scene.evil.wait_report("d1", "installed", number, seconds=60)
    scene.agent.kill()
    change(scene)
    scene.agent.configure(restart="allow")
    scene.agent.start()
    return number


@pytest.fixture
def waiting(suite, directory, pki, closing):
    return Scene(suite, directory, pki, closing, restart="deny")


def test_a_slot_that_was_rewritten_after_its_verification_is_not_kept(waiting):
    def change(scene):
        content = bytearray(NEW.bytes)
        content[-1] ^= 1
        scene.agent.slot_b.write_bytes(content)
    number = restarted_with(waiting, change)
    eventually(lambda: {"failed", "rolled_back"} & set(waiting.evil.states("d1", number)), 60,
               lambda: f"a failure, but {waiting.evil.states('d1', number)}\n"
                       + waiting.agent.tail(60))
    assert waiting.agent.running_bytes() == OLD.bytes
    assert "succeeded" not in waiting.evil.states("d1", number)


def test_envelopes_that_were_rewritten_after_their_check_are_not_obeyed(waiting):
    def change(scene):
        thief = [Key("thief"), Key("thief too")]
        changed = 0
        for path in (scene.agent.directory / "state").rglob("*"):
            content = path.read_bytes() if path.is_file() else b""
            if content.startswith(b"{") and b"vnd.mosquitto-ota.firmware" in content:
                path.write_text(scene.trust.firmware(OTHER, thief))
                changed += 1
        assert changed, list((scene.agent.directory / "state").rglob("*"))
    number = restarted_with(waiting, change)
    eventually(lambda: {"failed", "rolled_back", "rejected"} &
               set(waiting.evil.states("d1", number)), 60,
               lambda: f"a failure, but {waiting.evil.states('d1', number)}\n"
                       + waiting.agent.tail(60))
    assert waiting.agent.running_bytes() == OLD.bytes
    assert "succeeded" not in waiting.evil.states("d1", number)
