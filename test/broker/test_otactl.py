"""The manager's command line against a real broker: what it does, what it refuses, and how it
says so."""
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from harness import places
from harness.agent import Agent
from harness.firmware import Image, filler
from harness.process import eventually

REFUSED, USAGE, UNREACHABLE = 1, 2, 3
# Tests that ask nothing of the broker's version.
once = pytest.mark.skipif(os.environ.get("OTA_SUITE", "bookworm") != "bookworm",
                          reason="one broker tells it all")


def run(otactl, *arguments, **settings):
    """Returns status, output, errors; for what is meant to fail."""
    done = subprocess.run([str(places.OTACTL), *map(str, arguments)], cwd=otactl.home,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60 * places.PATIENCE,
                          env={**os.environ, "XDG_CONFIG_HOME": str(otactl.home),
                               "XDG_CACHE_HOME": str(otactl.home / "cache"),
                               "ASAN_OPTIONS": "detect_leaks=0", **settings})
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def thermo(otactl):
    otactl("product", "create", "thermo", "--hardware", "board-1")
    return otactl


def make_image(otactl, name, size, seed):
    path = otactl.home / name
    path.write_bytes(filler(size, seed))
    return path


def push(otactl, version, size=400_000, *options):
    path = make_image(otactl, f"image-{version}", size, int(version[0]))
    otactl("firmware", "sign", path, "--version", version, "--hardware", "board-1")
    otactl("firmware", "push", path, *options)
    return path


@pytest.fixture
def device(broker, thermo, directory, trust, closing):
    """A real agent that runs version 1.0."""
    thermo("device", "import", "d1")
    image = Image("thermo", "1.0", filler(100_000, 1))
    agent = closing.keep(Agent(broker, "d1", directory / "d1", trust, image)).start()
    eventually(lambda: thermo.json("device", "show", "d1")["online"], 20, agent.tail)
    return agent


def test_a_firmware_is_signed_pushed_released_and_watched(thermo, device):
    path = push(thermo, "2.0", 1_500_000)
    seen = thermo("release", "create", "2.0", "--fast", "--device", "d1", "--watch")
    assert "done: succeeded 1" in seen
    assert device.running_bytes() == path.read_bytes()
    shown = thermo.json("device", "show", "d1")
    assert (shown["version"], shown["update"]["state"]) == ("2.0", "succeeded")
    assert thermo.json("device", "history", "d1")[0]["state"] == "succeeded"
    assert "on_target" in thermo("device", "why", "d1")
    assert thermo.json("audit", "verify")["intact"] is True


@once
def test_an_image_that_changed_after_signing_is_not_pushed(thermo):
    path = make_image(thermo, "image", 300_000, 3)
    thermo("firmware", "sign", path, "--version", "3.0", "--hardware", "board-1")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    status, _, errors = run(thermo, "firmware", "push", path)
    assert status == REFUSED and "image_hash_mismatch" in errors and "3.0" in errors
    assert thermo.json("firmware", "list") == []


@once
def test_an_unproven_version_is_refused_for_all_by_name(thermo, device):
    push(thermo, "2.0")
    status, _, errors = run(thermo, "release", "create", "2.0", "--fast")
    assert status == REFUSED and errors.startswith("otactl: not_proven: ")


@once
def test_a_dry_run_starts_nothing_and_says_why_others_are_left_out(thermo, device):
    push(thermo, "2.0")
    thermo("device", "pin", "d1", "2.0")
    seen = thermo("release", "dry-run", "2.0")
    assert "nothing was started" in seen
    assert thermo.json("release", "list") == []


def test_an_upload_goes_on_after_the_broker_was_killed(thermo, broker):
    path = make_image(thermo, "big", 24_000_000, 4)
    thermo("firmware", "sign", path, "--version", "4.0", "--hardware", "board-1")
    pushing = subprocess.Popen([str(places.OTACTL), "firmware", "push", path, "--level", "1",
                                "--timeout", "10s"], cwd=thermo.home, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env={**os.environ, "XDG_CONFIG_HOME": str(thermo.home),
                                    "ASAN_OPTIONS": "detect_leaks=0"})
    uploads = broker.store
    eventually(lambda: any(part.stat().st_size > 4_000_000 for part in uploads.rglob("*")
                           if part.is_file() and "sqlite" not in part.name
                           and "db" not in part.suffix), 60, "an upload under way")
    broker.restart(kill=True)
    out, _ = pushing.communicate(timeout=120 * places.PATIENCE)
    assert pushing.returncode == 0, out
    shown = thermo.json("firmware", "show", "4.0")
    assert shown["packs"][0]["size"] > 20_000_000


@once
@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="there is no second file system")
def test_copies_of_images_are_kept_on_another_file_system(thermo):
    path = make_image(thermo, "image", 300_000, 5)
    thermo("firmware", "sign", path, "--version", "5.0", "--hardware", "board-1")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as cache:
        status, out, errors = run(thermo, "firmware", "push", path, XDG_CACHE_HOME=cache)
        assert status == 0 and "no copy" not in out + errors
        assert [one.read_bytes() for one in Path(cache, "otactl/images").iterdir()] == \
            [path.read_bytes()]


@once
def test_lists_hold_everything_however_many_pages_it_takes(thermo):
    ids = [f"gw-{number:04}" for number in range(1203)]
    (thermo.home / "ids").write_text("# all of them\n" + "\n".join(ids) + "\n")
    assert "1203 added" in thermo("device", "import", "--file", "ids")
    assert sorted(item["device"] for item in thermo.json("device", "list")) == ids
    assert len(thermo.json("device", "list", "--limit", "7")) == 7
    assert len(thermo("device", "list").splitlines()) == 1204


@once
def test_bad_ids_are_counted_and_named(thermo):
    seen = thermo("device", "import", "good", "bad/one", "bad two")
    assert "1 added" in seen and "2 invalid" in seen and "bad/one" in seen


@once
def test_usage_errors_name_the_offender_and_what_is_allowed(otactl):
    for arguments, named in ((("devcie", "list"), "devcie"), (("device", "lst"), "lst"),
                             (("device", "list", "--sttus", "x"), "--sttus"),
                             (("device", "list", "--status", "nice"), "nice"),
                             (("device", "show"), "DEVICE"),
                             (("device", "list", "--timeout", "soon"), "soon"),
                             (("release", "watch", "one"), "one")):
        status, out, errors = run(otactl, *arguments)
        assert status == USAGE, (arguments, out, errors)
        assert named in errors, (arguments, errors)
        assert any(word in errors for word in ("allowed", "wants", "must be", "is a number"))


@once
def test_a_configuration_with_an_unknown_key_is_refused_with_its_line(otactl):
    path = otactl.home / "otactl.conf"
    path.write_text(path.read_text() + "brokr = x\n")
    status, _, errors = run(otactl, "whoami")
    assert status == USAGE and "brokr" in errors and "otactl.conf" in errors
    assert str(len(path.read_text().splitlines())) in errors


@once
def test_nobody_at_the_address_is_unreachable(otactl):
    port = places.Port()
    status, _, errors = run(otactl, "whoami", "--broker", f"localhost:{port.number}")
    port.release()
    assert status == UNREACHABLE and "unreachable" in errors and "Connection refused" in errors


@once
def test_a_broker_of_another_ca_or_name_is_not_spoken_to(otactl, broker, directory):
    from pki import Pki
    other = Pki(directory / "other")
    status, _, errors = run(otactl, "whoami", "--ca", other.ca)
    assert status == UNREACHABLE and "tls_verify_failed" in errors
    (otactl.home / "hosts").write_text("")
    status, _, errors = run(otactl, "whoami", "--broker", f"127.0.0.2:{broker.port}")
    assert status == UNREACHABLE


@once
def test_a_device_certificate_commands_nothing(otactl, broker):
    stem = broker.pki.device("d9")
    status, out, errors = run(otactl, "product", "list", "--cert", f"{stem}.crt", "--key",
                              f"{stem}.key", "--timeout", "3s")
    assert status != 0 and not out, errors


@once
def test_json_answers_are_json_also_when_refused(thermo):
    for arguments in (("whoami",), ("status",), ("product", "list"), ("product", "show", "thermo"),
                      ("device", "list"), ("group", "list"), ("firmware", "list"),
                      ("release", "list"), ("audit", "list"), ("root", "show"), ("explain",),
                      ("doctor",), ("token", "list"), ("manager", "list")):
        thermo.json(*arguments)
    status, out, _ = run(thermo, "device", "show", "nobody", "--json")
    assert status == REFUSED and json.loads(out)["error"]["name"] == "not_found"


@once
def test_doctor_finds_nothing_on_a_good_installation(thermo):
    findings = thermo.json("doctor")
    assert [one for one in findings if one["finding"] == "bad"] == []
    assert len(findings) >= 12


@once
def test_doctor_names_a_readable_key_a_strange_key_and_a_closed_port(otactl, directory):
    (otactl.home / "firmware.key").chmod(0o644)
    (otactl.home / "release.key").unlink()
    otactl("key", "generate", otactl.home / "release.key")
    port = places.Port()
    status, out, _ = run(otactl, "doctor", "--broker", f"localhost:{port.number}")
    port.release()
    assert status == REFUSED
    assert "can be read by others" in out and "chmod 600" in out
    assert "the release key is not in the trust root" in out
    assert "Connection refused" in out and "→" in out


@once
def test_init_makes_keys_that_only_the_owner_reads_and_never_overwrites(otactl, directory):
    home = {"XDG_CONFIG_HOME": str(directory / "new")}
    status, out, errors = run(otactl, "init", "--manager", "bob", "--algorithm", "ecdsa-p256", **home)
    assert status == 0, errors
    keys = directory / "new/ota-keys"
    assert {path.name for path in keys.iterdir()} == {"root.key", "firmware.key", "release.key",
                                                      "head.key", "root.json"}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in keys.glob("*.key"))
    before = {path: path.read_bytes() for path in keys.iterdir()}
    status, out, errors = run(otactl, "init", "--manager", "bob", **home)
    assert status == REFUSED and "conflict" in errors and "root.json" in errors
    assert before == {path: path.read_bytes() for path in keys.iterdir()}


@once
def test_encrypted_keys_need_their_passphrase(otactl, directory):
    home = {"XDG_CONFIG_HOME": str(directory / "new"), "OTACTL_PASSPHRASE": "correct horse"}
    assert run(otactl, "init", "--manager", "bob", **home)[0] == 0
    key = directory / "new/ota-keys/firmware.key"
    assert b"ENCRYPTED" in key.read_bytes()
    assert run(otactl, "key", "show", key, **home)[0] == 0
    assert run(otactl, "key", "show", key, **{**home, "OTACTL_PASSPHRASE": "wrong"})[0] == REFUSED


def test_a_rotated_root_brings_a_new_releaser_and_drops_the_old(thermo, device, directory):
    push(thermo, "2.0")
    thermo("key", "generate", "new.key")
    (thermo.home / "new.pub").write_text(thermo("key", "show", "new.key", "--json"))
    old = thermo.json("key", "show", "release.key")["id"]
    thermo("root", "rotate", "--revoke", old, "--add-releaser", "alice2", "--releaser-key",
           "new.pub", "--actions", "release,force", "--output", "root2.json")
    assert "2" in thermo("root", "update", "root2.json")
    status, _, errors = run(thermo, "release", "create", "2.0", "--fast", "--device", "d1")
    assert status == REFUSED and "signer_not_trusted" in errors
    seen = thermo("release", "create", "2.0", "--fast", "--device", "d1", "--watch",
                  "--signing-key", "new.key")
    assert "done: succeeded 1" in seen
    assert thermo.json("device", "show", "d1")["root"] == 2
    # The next number hangs on a release that the root in our hands, version 1, does not know.
    push(thermo, "3.0")
    status, _, errors = run(thermo, "release", "create", "3.0", "--fast", "--device", "d1",
                            "--signing-key", "new.key")
    assert status == REFUSED and "--number 2" in errors
    thermo("release", "create", "3.0", "--fast", "--device", "d1", "--signing-key", "new.key",
           "--number", "2", "--watch")


@once
def test_the_next_ca_comes_with_the_root_before_the_old_one_ends(thermo, device, broker):
    status, _, errors = run(thermo, "root", "rotate", "--anchors",
                            f"{broker.pki.broker}.crt")
    assert status == USAGE and "is not a CA's certificate" in errors
    status, _, errors = run(thermo, "root", "rotate", "--anchors", "release.key")
    assert status == USAGE and "'release.key': certificate 1 is no PEM" in errors
    bad = broker.pki.bad()
    thermo("root", "rotate", "--anchors", f"{bad['other-ca']}.crt", "--output", "root2.json")
    assert "of the CA 'another CA'" in thermo("root", "show", "root2.json")
    thermo("root", "update", "root2.json")
    eventually(lambda: thermo.json("device", "show", "d1")["root"] == 2, 20, device.tail)
    broker.certificate = bad["broker-other-ca"]
    broker.restart()
    assert "tls_verify_failed" in run(thermo, "status")[2]
    eventually(lambda: device.log().count("connected to the broker") == 2, 60, device.tail)
    device.kill()
    device.start()
    eventually(lambda: device.log().count("connected to the broker") == 3, 60, device.tail)


@once
def test_a_skipped_root_version_is_refused(thermo):
    thermo("root", "rotate", "--floor", "thermo=2", "--output", "root2.json")
    thermo("root", "rotate", "root2.json", "--floor", "thermo=3", "--output", "root3.json")
    status, _, errors = run(thermo, "root", "update", "root3.json")
    assert status == REFUSED and "root_gap" in errors


def test_watch_shows_what_happens_as_it_happens(thermo, broker, device):
    push(thermo, "2.0")
    watching = subprocess.Popen([str(places.OTACTL), "watch", "--json"], cwd=thermo.home, text=True,
                                stdout=subprocess.PIPE,
                                env={**os.environ, "XDG_CONFIG_HOME": str(thermo.home),
                                     "ASAN_OPTIONS": "detect_leaks=0"})
    time.sleep(1 * places.PATIENCE)
    thermo("release", "create", "2.0", "--fast", "--device", "d1")
    states = set()
    deadline = time.monotonic() + 40 * places.PATIENCE
    while "succeeded" not in states and time.monotonic() < deadline:
        states.add(json.loads(watching.stdout.readline()).get("state"))
    watching.terminate()
    assert watching.wait(20 * places.PATIENCE) == 0
    assert "succeeded" in states


def test_two_sessions_of_one_manager_do_not_break_each_other(thermo, broker, device):
    """Where the broker makes the client id of the name, the second throws the first off."""
    watching = subprocess.Popen([str(places.OTACTL), "watch"], cwd=thermo.home, text=True,
                                stdout=subprocess.DEVNULL,
                                env={**os.environ, "XDG_CONFIG_HOME": str(thermo.home),
                                     "ASAN_OPTIONS": "detect_leaks=0"})
    for number in range(12):
        thermo("group", "create", f"g{number}")
    watching.terminate()
    assert watching.wait(20 * places.PATIENCE) == 0
    assert len(thermo.json("group", "list")) == 12


@once
def test_two_firmware_keys_are_needed_once_the_root_says_so(thermo, device):
    """What the README advises: two people, two keys, one threshold."""
    thermo("key", "generate", "second.key")
    (thermo.home / "second.pub").write_text(thermo("key", "show", "second.key", "--json"))
    thermo("root", "rotate", "--add-firmware", "second.pub", "--firmware-threshold", "2",
           "--output", "root2.json")
    thermo("root", "update", "root2.json")
    path = make_image(thermo, "image", 300_000, 2)
    thermo("firmware", "sign", path, "--version", "2.0", "--hardware", "board-1")
    status, _, errors = run(thermo, "firmware", "push", path)
    assert status == REFUSED and "signature_threshold" in errors
    thermo("firmware", "cosign", f"{path}.firmware.json", "--signing-key", "second.key")
    thermo("firmware", "push", path)
    seen = thermo("release", "create", "2.0", "--fast", "--device", "d1", "--watch")
    assert "done: succeeded 1" in seen


@once
def test_a_manifest_that_our_own_root_does_not_confirm_is_not_released(thermo, device, directory):
    """Whatever the plugin says: the digest that is signed comes from a manifest we verified."""
    push(thermo, "2.0")
    strange = {"XDG_CONFIG_HOME": str(directory / "strange")}
    assert run(thermo, "init", "--manager", "eve", **strange)[0] == 0
    root = thermo.home / "root.json"
    good = root.read_bytes()
    root.write_bytes((directory / "strange/ota-keys/root.json").read_bytes())
    status, _, errors = run(thermo, "release", "create", "2.0", "--fast", "--device", "d1")
    assert status == REFUSED and "signer_not_trusted" in errors and str(root) in errors
    assert thermo.json("release", "list") == []
    root.write_bytes(good)
    thermo("release", "create", "2.0", "--fast", "--device", "d1")
