"""kill -9 at any moment: the agent before or after any of its calls, the broker at random times.
OTA_KILLS says how many of each kind (`./dev kills`); ctest runs a few. OTA_SHARE=2/8 takes the
second eighth of the agent's."""
import os
import random
import time

import pytest
from harness import breaking, places
from harness.broker import Broker
from harness.firmware import Image, filler
from harness.process import eventually

KILLS = int(os.environ.get("OTA_KILLS", "60"))
BROKER_KILLS = int(os.environ.get("OTA_BROKER_KILLS", "3"))
SHARE, SHARES = map(int, os.environ.get("OTA_SHARE", "1/1").split("/"))


@pytest.fixture
def stage(suite, directory, pki, trust, closing):
    stock = closing.keep(Broker(suite, directory / "broker", pki, plugin=None, quiet=True)).start()
    plugin = closing.keep(breaking.Plugin(stock, trust)).connect()
    return breaking.Stage(stock, plugin, trust, directory)


def ends_as_if_nothing_had_happened(outcome, text):
    story = text.split(":")[0]
    assert outcome.end["state"] == ("rolled_back" if story == "revert" else "succeeded"), text
    assert outcome.status in (None, -9), text  # None: it struck after the end, or not at all


@pytest.mark.skipif(places.SANITIZED,
                    reason="a sanitizer is in the place of the breaker")
def test_an_agent_that_is_killed_at_any_call_ends_its_update_well(stage):
    counts = {story: breaking.count_calls(stage, story, "kill-before")
              for story in breaking.STORIES}
    points = [(story, f"kill-{side}", when) for story, count in counts.items()
              for when in range(1, count + 1) for side in ("before", "after")]
    chosen = breaking.share(points, KILLS, SHARE - 1, SHARES)
    outcomes = breaking.play_all(stage, chosen, ends_as_if_nothing_had_happened)
    struck = sum(1 for outcome in outcomes if outcome.struck)
    print(f"\ncalls: {counts}; {len(chosen)} of {len(points)} points tried, {struck} kills struck, "
          f"every update ended well")
    assert struck >= len(chosen) * 0.6, f"only {struck} kills struck"


# --- the broker ---

PASSAGE = ["downloading", "downloaded", "verified", "installing", "installed", "restarting",
           "trial", "succeeded"]


def stored_reports(alice, device, number):
    """What the device itself has said of the release and the store has kept, oldest first."""
    rows, after = [], {}
    while True:
        page = alice.ask("device.log", {"device": device, "release": number, "limit": 100, **after})
        rows += page["items"]
        if "next" not in page:
            return [row for row in reversed(rows) if row["seq"]]
        after = {"after": page["next"]}


def check_reports(alice, device, number, first_seq, size, kills):
    """None is lost but progress, which is sent once and not kept: only within the download may a
    number be missing. None is doubled; and hardly a byte was fetched twice. Returns the number
    that the next report should have."""
    told = sorted(stored_reports(alice, device, number), key=lambda row: row["seq"])
    assert told[0]["seq"] == first_seq, (device, number, told)
    for before, row in zip(told, told[1:]):
        assert row["seq"] == before["seq"] + 1 or \
            row["seq"] > before["seq"] and before["state"] == "downloading", (device, before, row)
    states = [row["state"] for row in told]
    assert [state for state in PASSAGE if state in states] == PASSAGE, states
    assert all(states.count(state) == 1 for state in PASSAGE[1:]), states
    fetched = max(row.get("fetched", 0) for row in told)
    assert size <= fetched <= size + kills * (1 << 20), (device, fetched, kills)
    return told[-1]["seq"] + 1


def test_updates_survive_a_broker_that_is_killed_again_and_again(alice, agents, trust, product,
                                                                 broker):
    """The real plugin, killed while agents fetch, install, prove and report."""
    rate = 400_000
    version, killed = 1, 0
    chance = random.Random(11)
    fleet = [agents(name, settings={"rate_limit": rate, "confirm_timeout": "60s",
                                    "log_level": "info"}).start()
             for name in ("b1", "b2")]
    next_seq = {agent.device: 1 for agent in fleet}
    while killed < BROKER_KILLS:
        version += 1
        before = killed
        new = Image(product, f"{version}.0", filler(1_500_000, version))
        number = alice.release(trust, alice.push(trust, new), product)["number"]
        alice.close()
        deadline = time.monotonic() + 90 * places.PATIENCE
        while not all(agent.running_bytes() == new.bytes for agent in fleet):
            assert time.monotonic() < deadline, "\n".join(agent.tail() for agent in fleet)
            time.sleep(chance.uniform(0.3, 2.5))
            broker.restart(kill=True)
            killed += 1
        alice.connect()
        for agent in fleet:
            eventually(lambda: breaking.is_settled(agent), 60, agent.tail)
            updates = alice.ask("device.show", {"device": agent.device})
            assert updates["version"] == new.version
            assert updates["update"]["state"] == "succeeded", updates
            assert updates["update"]["release"] == number
            next_seq[agent.device] = check_reports(alice, agent.device, number,
                                                   next_seq[agent.device], len(new.bytes),
                                                   killed - before)
    print(f"\n{killed} kills of the broker over {version - 1} releases to {len(fleet)} devices, "
          f"every update ended well, {sum(next_seq.values()) - len(fleet)} reports numbered")
