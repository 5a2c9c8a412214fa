"""Commands: every verb answers as PROTOCOL.md section 4 says."""
import pytest

from harness.firmware import Image, filler
from harness.manager import CommandError
from harness.process import eventually


def refused(name, ask, *args, **more):
    with pytest.raises(CommandError) as error:
        ask(*args, **more)
    assert error.value.name == name, error.value
    return error.value.message


def image_of(product, version, size=200_000):
    return Image(product, version, filler(size, int(version[0])))


PRODUCT = {"name", "title", "import_only", "second_approval", "default_hardware", "devices",
           "online", "quarantined", "next_number", "default_release", "created"}
DEVICE = {"device", "product", "status", "online", "first", "seen", "hardware", "version",
          "digest", "security_version", "floor", "root", "number", "slot_size", "groups",
          "development", "pin", "updates_disabled", "notes", "consent", "reason", "lease",
          "window"}
FIRMWARE = {"product", "version", "digest", "image", "size", "security_version", "hardware",
            "development", "packs", "index", "created", "added", "proven", "released",
            "running"}
RELEASE = {"product", "number", "firmware", "version", "mode", "target", "state", "reason",
           "manager", "approver", "created", "started", "changed", "not_before", "deadline",
           "not_after", "force", "allow_downgrade", "rollback_on_halt", "max_concurrent",
           "rate", "fast_now", "wave", "waves", "targeted", "counts", "errors"}
UPDATE = {"device", "release", "version", "attempt", "state", "since", "wave", "failures",
          "done", "total", "interrupted", "penalty", "due"}


def test_products_are_created_changed_shown_and_listed(alice):
    made = alice.ask("product.create", {"name": "lamp", "title": "Lamps", "import_only": True})
    assert set(made) == PRODUCT
    assert made["title"] == "Lamps" and made["import_only"] and made["next_number"] == 1
    refused("conflict", alice.ask, "product.create", {"name": "lamp"})
    changed = alice.ask("product.update", {"name": "lamp", "second_approval": True})
    assert changed["second_approval"] and changed["import_only"]
    for name in ("a", "b", "c"):
        alice.ask("product.create", {"name": name})
    names = [item["name"] for item in alice.every("product.list", {"limit": 2})]
    assert names == ["a", "b", "c", "lamp"]
    shown = alice.ask("product.show", {"name": "lamp"})
    assert PRODUCT | {"versions", "states", "status"} == set(shown)
    refused("not_found", alice.ask, "product.show", {"name": "nothing"})


def test_devices_are_imported_approved_denied_and_removed(alice, product):
    answer = alice.ask("device.import", {"product": product,
                                         "devices": ["d1", "d2", "d1", "not an id", ".."]})
    assert answer == {"added": 2, "existing": 1, "invalid": 2,
                      "invalid_ids": ["not an id", ".."]}
    assert alice.ask("device.show", {"device": "d1"})["status"] == "approved"
    answer = alice.ask("device.deny", {"devices": ["d1", "d9"]})
    assert answer == {"changed": 1, "unchanged": 0, "unknown": 1}
    assert alice.ask("device.deny", {"devices": ["d1"]})["unchanged"] == 1
    assert alice.ask("device.approve", {"devices": ["d1"]})["changed"] == 1
    assert alice.ask("device.remove", {"devices": ["d2"]})["changed"] == 1
    assert alice.ask("device.show", {"device": "d2"})["status"] == "decommissioned"


def test_an_unknown_device_is_quarantined_until_it_is_approved(broker, alice, product, devices):
    stranger = devices(1, first=7, join=False)[0]
    alice.ask("device.remove", {"devices": ["d7"]})  # imported by the fixture
    unknown = type(stranger)(broker, "newcomer", product)
    try:
        assert unknown.join()["status"] == "quarantined"
        shown = alice.ask("device.show", {"device": "newcomer"})
        assert set(shown) == DEVICE and shown["online"] and shown["version"] == "1.0"
        assert alice.ask("device.why", {"device": "newcomer"})["rule"] == "quarantined"
        alice.ask("device.approve", {"devices": ["newcomer"]})
        assert unknown.hello()["status"] == "approved"
    finally:
        unknown.close()


def test_a_device_takes_notes_groups_pins_and_switches(alice, product, devices, trust):
    devices(1)
    alice.push(trust, image_of(product, "2.0"))
    alice.ask("group.create", {"product": product, "group": "beta"})
    shown = alice.ask("device.set", {"device": "d1", "notes": "in the \u00abcellar\u00bb",
                                     "groups": ["beta"], "development": True, "pin": "2.0",
                                     "updates_disabled": True})
    assert shown["notes"] == "in the \u00abcellar\u00bb" and shown["groups"] == ["beta"]
    assert shown["development"] and shown["pin"] == "2.0" and shown["updates_disabled"]
    shown = alice.ask("device.set", {"device": "d1", "pin": "", "development": False})
    assert shown["pin"] == "" and not shown["development"] and shown["groups"] == ["beta"]
    refused("not_found", alice.ask, "device.set", {"device": "d1", "pin": "9.9"})
    refused("not_found", alice.ask, "device.set", {"device": "d1", "groups": ["nobody"]})


def test_device_lists_filter_and_page(alice, product, devices):
    devices(5)
    alice.ask("device.import", {"product": product, "devices": ["x1", "x2"]})
    alice.ask("device.deny", {"devices": ["x2"]})

    def ids(**args):
        return [item["device"] for item in alice.every("device.list", args)]
    assert ids(product=product, limit=2) == ["d1", "d2", "d3", "d4", "d5", "x1", "x2"]
    assert ids(limit=3) == ["d1", "d2", "d3", "d4", "d5", "x1", "x2"]
    assert ids(product=product, online=True) == ["d1", "d2", "d3", "d4", "d5"]
    assert ids(product=product, status="denied") == ["x2"]
    assert ids(product=product, search="x") == ["x1", "x2"]
    assert ids(product=product, version="1.0") == ["d1", "d2", "d3", "d4", "d5"]


def test_groups_are_made_edited_listed_and_deleted(alice, product, devices):
    devices(2)
    assert alice.ask("group.create", {"product": product, "group": "beta"})["devices"] == 0
    refused("conflict", alice.ask, "group.create", {"product": product, "group": "beta"})
    answer = alice.ask("group.edit", {"product": product, "group": "beta",
                                      "add": ["d1", "d2", "nobody"]})
    assert answer == {"changed": 2, "unchanged": 0, "unknown": 1}
    answer = alice.ask("group.edit", {"product": product, "group": "beta", "remove": ["d2"]})
    assert answer["changed"] == 1
    assert alice.every("group.list", {"product": product}) == \
        [{"product": product, "group": "beta", "devices": 1}]
    alice.ask("group.delete", {"product": product, "group": "beta"})
    assert alice.every("group.list", {"product": product}) == []
    refused("not_found", alice.ask, "group.edit", {"product": product, "group": "beta"})


def test_firmware_is_added_listed_shown_and_deleted(alice, product, trust):
    image = image_of(product, "2.0")
    envelope = alice.push(trust, image)
    shown = alice.ask("firmware.show", {"product": product, "version": "2.0"})
    assert FIRMWARE <= set(shown) and shown["envelope"] == envelope
    assert shown["image"] == image.digest and shown["size"] == len(image.bytes)
    assert [pack["sha256"] for pack in shown["packs"]] == [image.pack_digest]
    assert "base" not in shown["packs"][0]
    alice.push(trust, image_of(product, "10.0"))
    listed = alice.every("firmware.list", {"product": product, "limit": 1})
    assert [item["version"] for item in listed] == ["10.0", "2.0"]
    alice.ask("firmware.delete", {"product": product, "version": "10.0"})
    refused("not_found", alice.ask, "firmware.show", {"product": product, "version": "10.0"})


def test_a_version_that_is_there_with_other_bytes_is_refused(alice, product, trust):
    alice.push(trust, image_of(product, "2.0"))
    other = Image(product, "2.0", filler(100_000, 9))
    with pytest.raises(CommandError) as error:
        alice.push(trust, other)
    assert error.value.name == "version_exists"


def test_firmware_without_its_blobs_or_with_those_of_another_is_refused(alice, product, trust):
    image, other = image_of(product, "2.0"), image_of(product, "3.0")
    envelope = trust.firmware(image)
    args = {"firmware": envelope, "packs": [image.pack_digest]}
    assert "index" in refused("not_found", alice.ask, "firmware.add", args)
    alice.upload(product, image.index)
    assert "no blob" in refused("not_found", alice.ask, "firmware.add", args)
    alice.upload(product, other.pack)
    refused("manifest_invalid", alice.ask, "firmware.add",
            {"firmware": envelope, "packs": [other.pack_digest]})
    refused("manifest_invalid", alice.ask, "firmware.add",
            {"firmware": envelope, "packs": [image.index_digest]})
    alice.upload(product, image.pack)
    assert alice.ask("firmware.add", args)["version"] == "2.0"


def test_firmware_that_was_released_cannot_be_deleted(alice, product, trust, devices):
    devices(1)
    alice.release(trust, alice.push(trust, image_of(product, "2.0")), product)
    refused("conflict", alice.ask, "firmware.delete", {"product": product, "version": "2.0"})


def test_bases_are_what_the_fleet_runs(alice, product, trust, devices):
    image = image_of(product, "1.0")
    alice.push(trust, image)
    devices(3, digest=image.digest)
    bases = alice.ask("firmware.bases", {"product": product})["items"]
    assert bases == [{"version": "1.0", "digest": image.digest, "count": 3,
                      "blobs": [image.pack_digest]}]


def test_a_dry_run_says_whom_it_would_reach_and_changes_nothing(alice, product, trust, devices):
    devices(3)
    alice.ask("device.set", {"device": "d3", "development": True})
    envelope = alice.push(trust, image_of(product, "2.0"))
    text = trust.release(product, 1, envelope)
    plan = alice.ask("release.create", {"release": text, "dry_run": True})
    assert plan["targeted"] == 2 and plan["proven"] is False
    assert [(skip["reason"], skip["count"], skip["sample"]) for skip in plan["skipped"]] == \
        [("development", 1, ["d3"])]
    assert alice.every("release.list", {"product": product}) == []


def test_an_unproven_version_needs_an_admin_who_overrides(alice, product, trust, devices):
    devices(1)
    envelope = alice.push(trust, image_of(product, "2.0"))
    text = trust.release(product, 1, envelope)
    refused("not_proven", alice.ask, "release.create", {"release": text})
    made = alice.ask("release.create", {"release": text, "override": True})
    assert set(made) == RELEASE and made["state"] in ("scheduled", "running")
    eventually(lambda: alice.ask("release.show", {"product": product, "number": 1})["targeted"]
               == 1, 5, "its start")
    refused("conflict", alice.ask, "release.create", {"release": text, "override": True})


def test_a_release_is_held_resumed_shown_and_aborted(alice, product, trust, devices):
    device = devices(1)[0]
    envelope = alice.push(trust, image_of(product, "2.0"))
    alice.release(trust, envelope, product)
    device.wait_offer()
    name = {"product": product, "number": 1}
    assert alice.ask("release.hold", name)["state"] == "held"
    refused("conflict", alice.ask, "release.hold", name)
    assert alice.ask("release.resume", name)["state"] == "running"
    items = alice.every("release.devices", name)
    assert UPDATE == set(items[0]) and items[0]["state"] == "offered"
    assert alice.every("release.devices", {**name, "state": "failed"}) == []
    assert alice.ask("release.abort", name)["state"] == "aborted"
    shown = alice.ask("release.show", name)
    assert set(shown) == RELEASE | {"envelope"}
    refused("not_found", alice.ask, "release.show", {"product": product, "number": 2})


def test_history_shows_attempts_reports_and_evidence(alice, product, trust, devices):
    device = devices(1)[0]
    alice.release(trust, alice.push(trust, image_of(product, "2.0")), product)
    device.wait_offer()
    device.report(1, "downloading", done=0, total=200_000)
    device.report(1, "failed", error={"name": "image_hash_mismatch", "number": 6,
                                      "message": "the image is not the signed one",
                                      "detail": 0, "state": "verified", "log": "line 1\nline 2"})
    log = alice.every("device.log", {"device": "d1", "release": 1})
    assert log[0]["state"] == "failed" and log[0]["error"]["log"] == "line 1\nline 2"
    assert {"seq", "event", "attempt", "time_ms", "at_ms", "version", "digest"} <= set(log[0])
    updates = alice.every("device.updates", {"device": "d1"})
    assert UPDATE | {"attempts"} <= set(updates[0]) | {"error"}
    assert updates[0]["attempts"][0]["error"]["name"] == "image_hash_mismatch"
    errors = alice.ask("release.show", {"product": product, "number": 1})["errors"]
    assert [(error["name"], error["count"], error["device"]) for error in errors] == \
        [("image_hash_mismatch", 1, "d1")]
    events = alice.every("event.list", {"product": product})
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    assert {"device", "update", "release", "firmware"} == {event["type"] for event in events}


def test_a_device_is_sent_back_only_where_that_was_signed(alice, product, trust, devices):
    device = devices(1)[0]
    image = image_of(product, "2.0")
    envelope = alice.push(trust, image)
    back = {"device": "d1", "release": 1}
    refused("not_found", alice.ask, "device.revert", back)
    alice.release(trust, envelope, product, rollback_on_halt=True)
    device.wait_offer()
    refused("conflict", alice.ask, "device.revert", back)
    device.version, device.digest = "2.0", image.digest
    device.report(1, "succeeded")
    alice.ask("device.revert", back)
    device.wait(lambda: device.controls("revert"), 5, "revert")
    alice.release(trust, envelope, product, number=2)
    refused("conflict", alice.ask, "device.revert", {"device": "d1", "release": 2})


def test_events_are_published_as_they_are_stored(alice, product, trust, devices):
    assert alice.subscribe(f"ota/v1/p/{product}/events", 0) == 0
    device = devices(1)[0]
    alice.release(trust, alice.push(trust, image_of(product, "2.0")), product)
    device.wait_offer()
    device.report(1, "downloading", done=0, total=200_000)
    alice.wait_message(lambda topic, payload: topic.endswith("/events") and
                       b'"downloading"' in payload, 10, "an event")


def test_a_ping_makes_a_device_say_hello_again(alice, product, devices):
    device = devices(1)[0]
    assert alice.ask("device.ping", {"device": "d1"})["online"] is True
    device.wait(lambda: device.controls("rehello"), 5, "rehello")


WRONG = [
    ("product.create", {}, "name"),
    ("product.create", {"name": "UPPER"}, "name"),
    ("product.create", {"name": "x", "more": 1}, "more"),
    ("device.list", {"limit": 0}, "limit"),
    ("device.list", {"limit": 501}, "limit"),
    ("device.list", {"state": "asleep"}, "state"),
    ("release.hold", {"product": "thermo", "number": 1.5}, "number"),
    ("device.import", {"product": "thermo", "devices": []}, "devices"),
    ("manager.set", {"name": "x", "product": "*", "role": "king"}, "role"),
    ("nothing.at.all", {}, "nothing.at.all"),
]


def test_a_wrong_request_names_what_is_wrong(alice):
    for verb, args, says in WRONG:
        assert says in refused("bad_request", alice.ask, verb, args), (verb, args)


def test_the_same_key_is_done_once(alice):
    first = alice.ask("product.create", {"name": "lamp"}, key="k1")
    again = alice.ask("product.create", {"name": "lamp"}, key="k1")
    assert again == first
    refused("conflict", alice.ask, "product.create", {"name": "other"}, key="k1")


def test_a_key_is_remembered_when_the_broker_was_killed(broker, alice, managers):
    first = alice.ask("product.create", {"name": "lamp"}, key="k1")
    alice.close()
    broker.restart(kill=True)
    assert managers("alice").ask("product.create", {"name": "lamp"}, key="k1") == first


def test_status_has_times_queues_and_limits(alice, product, devices):
    devices(2)
    status = alice.ask("status")
    assert status["devices"] == 2 and status["online"] == 2
    assert status["callbacks"]["hello"]["count"] == 2
    assert status["callbacks"]["command"]["p99_us"] >= status["callbacks"]["command"]["p50_us"]
    assert status["stored"]["commits"] > 0 and status["limits"]["chunk_budget"] == 50


def test_everything_is_there_after_the_broker_was_killed(broker, alice, managers, product, trust,
                                                         devices):
    made = devices(2)
    alice.ask("group.create", {"product": product, "group": "beta"})
    alice.ask("device.set", {"device": "d1", "groups": ["beta"], "notes": "kept"})
    alice.push(trust, image_of(product, "2.0"))
    alice.ask("manager.set", {"name": "bob", "product": product, "role": "viewer"})
    verbs = [("product.show", {"name": product}), ("device.show", {"device": "d1"}),
             ("firmware.show", {"product": product, "version": "2.0"}),
             ("group.list", {"product": product}), ("manager.list", {}), ("root.show", {})]
    for client in made:
        client.close()
    eventually(lambda: alice.ask("status")["online"] == 0, 10, "both to be gone")
    before = [alice.ask(verb, args) for verb, args in verbs]
    alice.close()
    broker.restart(kill=True)
    again = managers("alice")
    assert [again.ask(verb, args) for verb, args in verbs] == before


def test_too_many_commands_at_once_are_refused_by_name(alice):
    """Each gets an answer: nobody waits in vain for one that was not even read."""
    sent = [alice.send("whoami") for _ in range(700)]
    answers = [alice.reply(identity) for identity in sent]
    names = {answer["error"]["name"] for answer in answers if not answer["ok"]}
    assert names <= {"rate_limited"} and sum(answer["ok"] for answer in answers) >= 400
