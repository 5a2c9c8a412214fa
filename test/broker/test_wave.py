"""Five hundred simulated devices in waves on a real broker: a release that halts itself, with the
broker killed again and again meanwhile."""
import hashlib
import time

import pytest

from harness.firmware import Image, filler

COUNT = 500
WAVES = [{"share": 100}, {"share": 1000}, {"share": 10000}]
# The second wave cannot pass without the three that vanish, whatever is known of them.
RULES = {"success": 9700, "errors": 500, "error_count": 3, "sample": 1, "bake_s": 1,
         "silence_s": 8}
PLACES = 100


def wave_of(device, number):
    bucket = int.from_bytes(hashlib.sha256(f"{device}/{number}".encode()).digest()[:4],
                            "big") % 10000
    return next(at for at, wave in enumerate(WAVES) if bucket < wave["share"])


@pytest.fixture
def members():
    """The devices of each wave of release 1."""
    waves = [[], [], []]
    for n in range(1, COUNT + 1):
        waves[wave_of(f"d{n}", 1)].append(f"d{n}")
    assert waves[0] and len(waves[1]) > 10
    return waves


@pytest.fixture
def run(alice, fleets, trust, product, members):
    """The fleet, joined, and the release made; three of the second wave will vanish."""
    fleet = fleets(COUNT, install_time="50ms", restart_time="300ms", backoff="200ms",
                   backoff_max="1s", timeout="3s",
                   fate=[f"{device}=vanish" for device in members[1][:3]])
    fleet.join()
    envelope = alice.push(trust, Image(product, "2.0", filler(300_000, 7)))
    alice.release(trust, envelope, product, mode="fast", waves=WAVES, thresholds=RULES,
                  max_concurrent=PLACES)
    return fleet


def shown(alice, product):
    return alice.ask("release.show", {"product": product, "number": 1}, 30)


def wait_state(alice, product, fleet, state, seconds=90):
    fleet.wait(lambda _: shown(alice, product)["state"] == state, seconds,
               lambda: f"{state}, but {shown(alice, product)}")
    return shown(alice, product)


def check_halted(alice, product, members, least_lost=3):
    now = shown(alice, product)
    assert now["wave"] == 1, now
    # A vanished one whose last report died with the broker was silent before it restarted.
    silent = {state: now["waves"][1]["counts"].get(state, 0) for state in ("lost", "timed_out")}
    assert sum(silent.values()) == 3 and silent["lost"] >= least_lost, now
    assert set(now["waves"][2]["counts"]) == {"targeted"}, now
    assert now["targeted"] == COUNT
    lost = [item["device"] for state in silent for item in alice.every(
        "release.devices", {"product": product, "number": 1, "state": state})]
    assert sorted(lost) == sorted(members[1][:3])
    assert sum(error["count"] for error in now["errors"]) == 3, now["errors"]
    why = alice.ask("device.why", {"device": members[2][0]})
    assert why["rule"] == "halted", why
    assert now["reason"]


def finish(alice, fleets, product, fleet, members):
    """A manager retries, the vanished come back with the old version, the release goes on."""
    answer = alice.ask("release.retry", {"product": product, "number": 1})
    assert answer == {"changed": 3, "unchanged": 0, "unknown": 0}, answer
    for device in members[1][:3]:
        fleets(1, first=int(device[1:]), install_time="50ms", restart_time="300ms").join()
    if shown(alice, product)["state"] == "halted":
        alice.ask("release.resume", {"product": product, "number": 1})
    fleet.wait(lambda _: shown(alice, product)["counts"] == {"succeeded": COUNT}, 120,
               lambda: str(shown(alice, product)))
    assert shown(alice, product)["state"] == "done"


def test_a_release_halts_in_its_second_wave_and_ends_after_a_retry(alice, fleets, product, run,
                                                                   members):
    wait_state(alice, product, run, "halted")
    check_halted(alice, product, members)
    finish(alice, fleets, product, run, members)
    callbacks = alice.ask("status")["callbacks"]
    for name in ("hello", "report", "get", "acl"):
        print(name, callbacks[name])
        assert callbacks[name]["max_us"] < 20_000 * 5  # the machine may be busy
        assert callbacks[name]["count"] > 0


def downloading(alice, product):
    return shown(alice, product)["counts"].get("downloading", 0)


def test_it_ends_the_same_although_the_broker_is_killed_ten_times(broker, alice, fleets,
                                                                  product, run, members):
    for _ in range(10):
        time.sleep(0.7)
        assert downloading(alice, product) <= PLACES
        alice.close()
        broker.restart(kill=True)
        alice.connect()
    wait_state(alice, product, run, "halted")
    check_halted(alice, product, members, least_lost=0)
    assert alice.ask("audit.verify")["intact"]
    finish(alice, fleets, product, run, members)
    events = [event for event in alice.every("event.list", {"product": product, "limit": 500})
              if event["type"] == "update" and event["state"] == "succeeded"]
    assert len({event["device"] for event in events}) == len(events) == COUNT
