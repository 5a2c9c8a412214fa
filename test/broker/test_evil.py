"""What an evil broker signs anew, spoils, borrows or holds back. Whatever it says to a real agent,
the version that runs stays, the boot state stays, the agent lives, and the report names what was
wrong."""
import base64
import json
import time

import pytest
from harness import signing
from harness.evil import NEW, NOW, OLD, OTHER, PRODUCT, YEAR, scene  # noqa: F401
from harness.firmware import Image, filler
from harness.process import eventually
from harness.signing import Key, envelope

# --- ways to spoil an envelope: (name, what it does to the envelope's text, the error) ---

def edit(change):
    def spoil(text, _scene):
        parts = json.loads(text)
        changed = change(parts)
        return json.dumps(parts if changed is None else changed, separators=(",", ":"))
    return spoil


def flip(text, place):
    content = bytearray(base64.b64decode(text))
    content[place % len(content)] ^= 4
    return base64.b64encode(content).decode()


def set_signatures(value):
    return edit(lambda parts: parts.update(signatures=value))


def change_signature(change):
    return edit(lambda parts: [one.update(sig=base64.b64encode(change(base64.b64decode(
        one["sig"]))).decode()) for one in parts["signatures"]] and None)


def signed_anew(*key_names, kind=None):
    """The same payload, well signed by others."""
    def spoil(text, scene):
        parts = json.loads(text)
        name = kind or next(kind for kind, full in signing.TYPES.items()
                            if full == parts["payloadType"])
        keys = [Key("stranger") if key == "stranger" else getattr(scene.trust, f"{key}_key")
                for key in key_names]
        return envelope(name, base64.b64decode(parts["payload"]), keys)
    return spoil


def borrowed_name(text, scene):
    """A stranger's signature under a trusted key's id."""
    parts = json.loads(signed_anew("stranger")(text, scene))
    parts["signatures"][0]["keyid"] = json.loads(text)["signatures"][0]["keyid"]
    return json.dumps(parts)


def twice_the_same_member(text, _scene):
    return text[:-1] + ',"payload":' + json.dumps(json.loads(text)["payload"]) + "}"


INVALID, STRANGER = "signature_invalid", "signer_not_trusted"
SPOILED = {
    "no signatures": (set_signatures([]), INVALID),
    "signatures left out": (edit(lambda parts: parts.pop("signatures") and None), INVALID),
    "a flipped bit at the payload's beginning":
        (edit(lambda parts: parts.update(payload=flip(parts["payload"], 3))), INVALID),
    "a flipped bit at the payload's end":
        (edit(lambda parts: parts.update(payload=flip(parts["payload"], -2))), INVALID),
    "a byte behind the payload":
        (edit(lambda parts: parts.update(payload=base64.b64encode(
            base64.b64decode(parts["payload"]) + b" ").decode())), INVALID),
    "a flipped bit in the signature":
        (change_signature(lambda sig: bytes([sig[0] ^ 1]) + sig[1:]), INVALID),
    "a signature of zeros": (change_signature(lambda sig: bytes(64)), INVALID),
    "a signature of 63 bytes": (change_signature(lambda sig: sig[:-1]), INVALID),
    "a signature of 65 bytes": (change_signature(lambda sig: sig + b"\0"), INVALID),
    "an empty signature": (change_signature(lambda sig: b""), INVALID),
    "the algorithm none":
        (edit(lambda parts: parts["signatures"][0].update(alg="none")), INVALID),
    "signed by a stranger": (signed_anew("stranger"), STRANGER),
    "signed by the root key": (signed_anew("root"), STRANGER),
    "signed by the head key": (signed_anew("head"), STRANGER),
    "a stranger's signature under a trusted id": (borrowed_name, INVALID),
    "another type written over":
        (edit(lambda parts: parts.update(payloadType=signing.TYPES["head"])), INVALID),
    "a member twice": (twice_the_same_member, INVALID),
    "text behind the end": (lambda text, _scene: text + "{}", INVALID),
    "a NUL inside": (lambda text, _scene: text.replace('"payload"', '"payload\0"'), "bad_request"),
    "no JSON": (lambda text, _scene: "hello", INVALID),
    "65 KiB": (lambda text, _scene: text + " " * 65536, "bad_request"),
}


def spoiled(which):
    """Rows of attacks that spoil the release's or the firmware's envelope."""
    for name, (spoil, error) in SPOILED.items():
        def attack(scene, number, spoil=spoil):
            firmware = scene.trust.firmware(NEW)
            release = scene.trust.release(PRODUCT, number, firmware)
            if which == "release":
                release = spoil(release, scene)
            else:
                firmware = spoil(firmware, scene)
            return release, firmware
        yield f"{which}: {name}", attack, error


# --- documents that are well signed, but not for here, not for now, or not right ---

def firmware_with(**changes):
    """As if a signer had made a mistake, or were a fool; the release is in order."""
    def attack(scene, number):
        firmware = scene.trust.firmware(NEW, **changes)
        return scene.trust.release(PRODUCT, number, firmware), firmware
    return attack


def component(**changes):
    whole = {"name": "main", "slot_class": "main", "size": len(NEW.bytes), "sha256": NEW.digest,
             "segment_size": NEW.segment_size,
             "index": {"sha256": NEW.index_digest, "size": len(NEW.index)}}
    whole.update(changes)
    return firmware_with(components=[{key: value for key, value in whole.items()
                                      if value is not None}])


def of_size(size):
    return component(size=size, segment_size=1 << 20,
                     index={"sha256": NEW.index_digest, "size": 32 * -(-size // (1 << 20))})


def signed_firmware(*key_names):
    def attack(scene, number):
        keys = [getattr(scene.trust, f"{name}_key") for name in key_names]
        firmware = scene.trust.firmware(NEW, keys)
        return scene.trust.release(PRODUCT, number, firmware), firmware
    return attack


def release_with(keys=None, product=PRODUCT, number=None, of=None, **changes):
    def attack(scene, next_number):
        firmware = scene.trust.firmware(NEW)
        named = scene.trust.firmware(of) if of else firmware
        signers = keys and [getattr(scene.trust, f"{name}_key") for name in keys]
        return scene.trust.release(product, number or next_number, named, signers,
                                   **changes), firmware
    return attack


def exchanged(scene, number):
    """The firmware's envelope where the release's should be, and the other way round."""
    firmware = scene.trust.firmware(NEW)
    return firmware, scene.trust.release(PRODUCT, number, firmware)


BEN = {"keys": ["ben"], "target": {"kind": "group", "name": "beta"}}
DOCUMENTS = [
    ("firmware and release exchanged", exchanged, INVALID),
    ("one of two signatures", signed_firmware("firmware"), "signature_threshold"),
    ("the same key twice", signed_firmware("second", "second"), "signature_threshold"),
    ("a second signature by a release key", signed_firmware("firmware", "release"),
     "signature_threshold"),
    ("the development key on a production device", signed_firmware("development"), STRANGER),
    ("firmware signed by a release key", signed_firmware("release"), STRANGER),
    ("firmware of another product", firmware_with(product="pump"), "wrong_product"),
    ("firmware for other hardware", firmware_with(hardware=["board-2"]),
     "incompatible_hardware"),
    ("firmware for another revision", firmware_with(hardware=["board-1b", "BOARD-1"]),
     "incompatible_hardware"),
    ("firmware below the floor", firmware_with(security_version=0), "version_not_allowed"),
    ("an older version", firmware_with(version="0.9"), "version_not_allowed"),
    ("a pre-release of what runs", firmware_with(version="1.0-rc.1"), "version_not_allowed"),
    ("a version that needs another first", firmware_with(requires_version="1.5"),
     "version_not_allowed"),
    ("firmware that is over", firmware_with(created=NOW - 2 * YEAR, not_after=NOW - YEAR),
     "release_expired"),
    ("no digest", component(sha256=None), "manifest_invalid"),
    ("no index", component(index=None), "manifest_invalid"),
    ("an empty digest", component(sha256=""), "manifest_invalid"),
    ("no size", component(size=None), "manifest_invalid"),
    ("size zero", component(size=0), "manifest_invalid"),
    ("a negative size", component(size=-1), "manifest_invalid"),
    ("a size in floating point", component(size=7e5), "manifest_invalid"),
    ("an index of another size", component(index={"sha256": NEW.index_digest, "size": 32}),
     "manifest_invalid"),
    ("segments of 60,000 bytes", component(segment_size=60000), "manifest_invalid"),
    ("a size of 2^53 + 1", component(size=2 ** 53 + 1), "manifest_invalid"),
    ("2^31 - 1 bytes", of_size(2 ** 31 - 1), "insufficient_storage"),
    ("2^31 + 1 bytes", of_size(2 ** 31 + 1), "insufficient_storage"),
    ("2^32 + 700,000 bytes", of_size(2 ** 32 + len(NEW.bytes)), "insufficient_storage"),
    ("2^53 bytes", of_size(2 ** 53), "insufficient_storage"),
    ("another slot", component(slot_class="bootloader"), "slot_error"),
    ("a slot that is a path", component(slot_class="../../etc"), "manifest_invalid"),
    ("a part that is not ours", firmware_with(extra=True), "manifest_invalid"),
    ("a release of other firmware", release_with(of=OTHER), "manifest_invalid"),
    ("a release of another product", release_with(product="pump"), "wrong_product"),
    ("a release for another device",
     release_with(target={"kind": "device", "name": "d2"}), "wrong_product"),
    ("a release that is over", release_with(created=NOW - 2 * YEAR, not_after=NOW - YEAR),
     "release_expired"),
    ("a release by a firmware key", release_with(keys=["firmware"]), STRANGER),
    ("a release to all by who may release to beta", release_with(keys=["ben"]), STRANGER),
    ("a release to one by who may release to beta",
     release_with(keys=["ben"], target={"kind": "device", "name": "d1"}), STRANGER),
    ("a forced release by who may not force", release_with(force=True, **BEN), STRANGER),
    ("a downgrade by who may not", release_with(allow_downgrade=True, **BEN), STRANGER),
    ("a release by a key that is over", release_with(keys=["carl"]), STRANGER),
    ("a release number in floating point", release_with(number=1e3), "manifest_invalid"),
    ("an unknown mode", release_with(mode="now"), "manifest_invalid"),
    ("an unknown action", release_with(wipe=True), "manifest_invalid"),
]


def run_rows(scene, rows):
    """Each attack, with what went wrong with any; the agent sees them one after another."""
    before, wrong = scene.standing(), []
    for name, attack, error in rows:
        number = scene.next()
        said = len(scene.agent.log())
        scene.offer(*attack(scene, number))
        # What has no readable number can be named in the log only, and that three times.
        has_number = not name.startswith("release:") and name not in UNNUMBERED and \
            error != "bad_request"
        try:
            if has_number:
                check_report(scene, number, error)
            if has_number or IGNORED not in scene.agent.log():
                scene.agent.wait_log(rf"an offer is refused.*{error}", 5, since=said)
            else:
                time.sleep(0.2)
        except AssertionError as failure:
            wrong.append(f"{name}: {failure}")
        if scene.standing() != before:
            wrong.append(f"{name}: changed what stands")
            before = scene.standing()
    assert wrong == [], "\n".join(wrong)
    assert scene.evil.gets == []
    assert set(scene.evil.states("d1")) <= {"rejected"}


def check_report(scene, number, error):
    def find():
        return [report for _, report in scene.evil.reports if report["release"] == number]
    report = eventually(find, 5, f"a report of release {number}")[0]
    assert (report["state"], report.get("error", {}).get("name")) == ("rejected", error), report
    assert (report["version"], report["digest"]) == ("1.0", OLD.digest), report


IGNORED = "release 0 came 3 times"
UNNUMBERED = {"firmware and release exchanged", "a release number in floating point",
              "an unknown mode", "an unknown action"}


@pytest.mark.parametrize("which", ["release", "firmware"])
def test_spoiled_envelopes_install_nothing(scene, which):
    run_rows(scene, list(spoiled(which)))
    scene.installs_a_good_one()


def test_documents_that_are_not_for_this_device_install_nothing(scene):
    run_rows(scene, DOCUMENTS)
    scene.installs_a_good_one()


def test_an_old_release_is_refused_and_one_release_is_done_once(scene):
    firmware = scene.trust.firmware(NEW)
    scene.number = 5
    old = scene.trust.release(PRODUCT, 3, firmware)
    scene.installs_a_good_one()
    standing = scene.agent.running_bytes(), scene.boot_state()
    newer = scene.trust.firmware(Image(PRODUCT, "3.0", filler(1000, 4)))
    scene.offer(scene.trust.release(PRODUCT, 4, newer), newer)
    report = scene.evil.wait_report("d1", "rejected", 4)
    assert report["error"]["name"] == "release_stale"
    scene.offer(old, firmware)
    assert scene.evil.wait_report("d1", "rejected", 3)["error"]["name"] == "release_stale"
    done = scene.trust.release(PRODUCT, 6, firmware)
    reports = len(scene.evil.reports)
    for _ in range(1000):
        scene.offer(done, firmware)
    scene.offer(scene.trust.release(PRODUCT, 2, firmware), firmware)
    scene.evil.wait_report("d1", "rejected", 2, seconds=60)
    assert len(scene.evil.reports) - reports <= 3
    assert (scene.agent.running_bytes(), scene.boot_state()) == standing


def test_a_signer_who_keeps_being_wrong_is_passed_over(scene):
    scene.next()
    for _ in range(6):
        firmware = scene.trust.firmware(NEW)
        release = scene.trust.release(PRODUCT, 1, firmware)
        scene.offer(SPOILED["signed by a stranger"][0](release, scene), firmware)
    scene.agent.wait_log("ignored for 4 hours", 10)
    time.sleep(1)
    assert len([report for _, report in scene.evil.reports if report["state"] == "rejected"]) <= 3
    scene.installs_a_good_one()


# --- roots and heads ---

def roots_told(scene, *roots, head=None):
    """The welcome brings these roots (and a head); returns the version that the agent then has."""
    count = len(scene.evil.hellos)
    extra = {"head": head} if head else {}
    scene.evil.control("d1", "welcome", nonce=scene.evil.hellos[-1][1]["nonce"], time=NOW,
                       status="approved", product=PRODUCT, groups=[], shards=1,
                       roots=list(roots), **extra)
    time.sleep(0.3)
    scene.evil.control("d1", "rehello")
    return scene.evil.wait_hello("d1", since=count)["root"]


def root_of(scene, version, signers, **changes):
    document = scene.trust.document(**changes)
    document["version"] = version
    return envelope("root", document, signers)


def test_only_the_signed_successor_of_the_root_is_believed(scene):
    thief, root_key = Key("thief"), scene.trust.root_key
    document = scene.trust.document()
    document["keys"].append(thief.entry())
    stolen = {"keys": document["keys"], "root": {"threshold": 1, "keys": [thief.id]}}
    for wrong in (root_of(scene, 2, [thief]), root_of(scene, 2, [scene.trust.firmware_key]),
                  root_of(scene, 3, [root_key]), root_of(scene, 1, [root_key]),
                  root_of(scene, 2, [thief], **stolen), root_of(scene, 2, [root_key], **stolen),
                  scene.trust.firmware(NEW)):
        assert roots_told(scene, wrong) == 1
    # a good one behind a bad one, a gap, then the good one
    assert roots_told(scene, root_of(scene, 3, [root_key]), root_of(scene, 2, [root_key])) == 1
    assert roots_told(scene, root_of(scene, 2, [root_key]), root_of(scene, 4, [root_key])) == 2
    assert roots_told(scene, root_of(scene, 2, [root_key])) == 2


def test_a_revoked_key_releases_nothing_more(scene):
    document = scene.trust.document()
    without = [one for one in document["releasers"] if one["manager"] != "alice"]
    assert roots_told(scene, root_of(scene, 2, [scene.trust.root_key],
                                     releasers=without)) == 2
    firmware = scene.trust.firmware(NEW)
    # keys that `document` names anew are the same objects: only the list of releasers differs
    scene.offer(scene.trust.release(PRODUCT, 1, firmware), firmware)
    report = scene.evil.wait_report("d1", "rejected", 1)
    assert report["error"]["name"] in (STRANGER,)
    assert scene.agent.running_bytes() == OLD.bytes


def test_a_release_by_a_key_of_the_next_root_waits_for_that_root(scene):
    dora = Key("dora")
    document = scene.trust.document()
    document["keys"].append(dora.entry())
    releasers = document["releasers"] + [
        {"key": dora.id, "manager": "dora", "products": [PRODUCT], "groups": ["*"],
         "actions": ["release"], "not_after": NOW + YEAR}]
    firmware = scene.trust.firmware(NEW)
    release = scene.trust.release(PRODUCT, 1, firmware, [dora])
    scene.offer(release, firmware)
    assert scene.evil.wait_report("d1", "rejected", 1)["error"]["name"] == STRANGER
    scene.evil.roots = [root_of(scene, 2, [scene.trust.root_key], keys=document["keys"],
                                releasers=releasers)]
    scene.evil.on_hello = lambda device, hello: scene.offer(release, firmware, attempt=2)
    scene.offer(release, firmware, attempt=2)
    scene.evil.wait_report("d1", "succeeded", 1, seconds=60)
    assert scene.evil.states("d1").count("rejected") == 1


def test_time_goes_forward_by_signed_heads_only(scene):
    firmware = scene.trust.firmware(NEW)
    short = {"created": NOW, "not_after": NOW + 1000}

    def head(key, at):
        return envelope("head", {"created": at, "not_after": at + 604800, "root": 1,
                                 "numbers": []}, [key])
    # the broker's own clock, in the welcome, ends nothing; nor does a forged head
    roots_told(scene, head=head(Key("thief"), NOW + YEAR))
    roots_told(scene, head=head(scene.trust.release_key, NOW + YEAR))
    # a signed one does, and an older one afterwards takes nothing back
    roots_told(scene, head=head(scene.trust.head_key, NOW + 2000))
    roots_told(scene, head=head(scene.trust.head_key, NOW - 2000))
    scene.offer(scene.trust.release(PRODUCT, 1, firmware, **short), firmware)
    assert scene.evil.wait_report("d1", "rejected", 1)["error"]["name"] == "release_expired"
    scene.number = 1
    scene.installs_a_good_one()
