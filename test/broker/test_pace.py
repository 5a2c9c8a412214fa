"""How soon the plugin answers, and how much it says at a time."""
import json
import time

from harness.device import Device
from harness.firmware import Image, filler

EVENTS_AT_A_TIME = 200  # SERVICE_EVENTS_MAX


def test_what_waits_for_the_store_does_not_wait_for_the_brokers_timer(alice, product):
    """An idle broker's timer comes 100 ms after the last message at the soonest."""
    taken = []
    for number in range(20):
        start = time.monotonic()
        alice.ask("product.update", {"name": product, "title": f"title {number}"})
        taken.append(time.monotonic() - start)
        time.sleep(0.02)
    assert min(taken) < 0.08, taken


def test_reports_that_come_together_are_each_acknowledged_once(broker, alice, trust, product,
                                                               closing):
    alice.ask("device.import", {"product": product, "devices": ["d1", "d2"]})
    devices = [closing.keep(Device(broker, name, product)) for name in ("d1", "d2")]
    for device in devices:
        device.join()
    alice.release(trust, alice.push(trust, Image(product, "2.0", filler(100_000))), product,
                  mode="fast")
    for device in devices:
        device.wait_offer()
    sent = {device: [device.report(1, "downloading", acked=False) for _ in range(15)]
            for device in devices}
    for device in devices:
        device.wait(lambda: len([seq for ack in device.report_acks() for seq in ack["seqs"]]) >= 15, 20,
                    "all acknowledgements")
        time.sleep(0.3)
        assert sorted(seq for ack in device.report_acks() for seq in ack["seqs"]) == sent[device]


def test_what_a_whole_fleet_does_at_once_is_a_gap_to_watchers_and_whole_in_the_list(
        alice, fleets, trust, product):
    count = 700
    fleet = fleets(count, mute="true", connect_rate=2000)
    fleet.join(120)
    envelope = alice.push(trust, Image(product, "2.0", filler(100_000)))
    time.sleep(1)
    alice.subscribe(f"ota/v1/p/{product}/events", 0)
    alice.release(trust, envelope, product, mode="fast")
    fleet.wait(lambda now: now["offered_devices"] == count, 60, "all are told")
    _, _, payload, _ = alice.wait_message(
        lambda topic, payload: topic.endswith("/events") and json.loads(payload)["type"] == "gap",
        10, "the gap")
    gap = json.loads(payload)
    assert set(gap) == {"v", "seq", "time_ms", "product", "type"}
    with alice.condition:
        events = [json.loads(payload) for _, topic, payload, _ in alice.messages
                  if topic.endswith("/events")]
    told = [event for event in events if event["type"] == "update"]
    assert EVENTS_AT_A_TIME <= len(told) < count
    stored, after = set(), 0
    while len(stored) < count:
        page = alice.ask("event.list", {"product": product, "after": str(after), "limit": 500})
        assert page["items"], f"{len(stored)} of {count} are in the list"
        stored |= {event["device"] for event in page["items"]
                   if event["type"] == "update" and event["state"] == "offered"}
        after = page["items"][-1]["seq"]
    assert gap["seq"] <= after
