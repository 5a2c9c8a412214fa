"""The real agent with one of its calls failing: each call on its storage with each errno, half of
each write, interrupted ones, and each allocation. It may end (an init system starts it again)
but never crash; the version that runs is whole; a failure has a name.

OTA_FAULTS says how many of each kind (`./dev faults`: all); ctest runs a few. OTA_SHARE=2/8 takes the
second eighth."""
import collections
import errno
import os
import random

import pytest
from harness import breaking, liar, places, starving
from harness.broker import Broker

FAULTS = int(os.environ.get("OTA_FAULTS", "12"))
SHARE, SHARES = map(int, os.environ.get("OTA_SHARE", "1/1").split("/"))
STORAGE = {errno.ENOSPC: ("insufficient_storage",), errno.EDQUOT: ("insufficient_storage",),
           errno.EIO: ("slot_error", "io_error", "bootloader_error"),
           errno.EROFS: ("slot_error", "io_error", "bootloader_error")}


@pytest.fixture(autouse=True)
def plain_build(suite):
    if suite != "bookworm":
        pytest.skip("one broker is enough for the agent's own calls")
    if places.SANITIZED:
        pytest.skip("a sanitizer is in the place of the breaker")


@pytest.fixture
def plugin(suite, directory, pki, trust, closing):
    stock = closing.keep(Broker(suite, directory / "broker", pki, plugin=None, quiet=True)).start()
    return closing.keep(breaking.Plugin(stock, trust)).connect()


@pytest.fixture
def stage(plugin, trust, directory):
    return breaking.Stage(plugin.broker, plugin, trust, directory)


def lives(outcome, text):
    """It went on, or ended by itself."""
    assert outcome.status in (None, 0, 1), f"ended with {outcome.status}: {text}"


def usual(text):
    return "rolled_back" if text.startswith("revert") else "succeeded"


def all_points(stage, what, of, stories):
    counts = {story: breaking.count_calls(stage, story, what) for story in stories}
    points = [(story, broken, when) for broken in of for story, count in counts.items()
              for when in range(1, count + 1)]
    return counts, points


def run(stage, what, of, check, most=FAULTS, stories=breaking.STORIES):
    """Tries the points and prints how they ended."""
    counts, points = all_points(stage, what, of, stories)
    chosen = breaking.share(points, most, SHARE - 1, SHARES)
    outcomes = breaking.play_all(stage, chosen, check)
    ends = collections.Counter(outcome.name for outcome in outcomes)
    struck = sum(1 for outcome in outcomes if outcome.struck)
    left = sum(1 for outcome in outcomes if outcome.status is not None)
    print(f"\n{what}: calls {counts}; {len(chosen)} of {len(points)} points tried, {struck} struck, "
          f"0 crashes, 0 wrong slots; the agent ended by itself {left} times; "
          f"ends: {dict(ends.most_common())}")
    assert struck >= len(chosen) * 0.6, f"only {struck} struck"


def test_a_storage_error_is_named_and_harms_nothing(stage):
    def check(outcome, text):
        lives(outcome, text)
        number = int(text.split(": ")[1].split(" at ")[0])
        if outcome.end["state"] != usual(text):
            assert outcome.name in STORAGE[number], text
    run(stage, errno.EIO, STORAGE, check)


def test_what_was_written_by_half_or_interrupted_is_written_again(stage):
    def check(outcome, text):
        lives(outcome, text)
        assert outcome.end["state"] == usual(text), text
    run(stage, "short", ["short"], check)
    run(stage, errno.EINTR, [errno.EINTR], check)


def test_a_disk_that_says_it_wrote_and_did_not_installs_nothing(stage):
    def check(outcome, text):
        lives(outcome, text)
        if outcome.end["state"] != usual(text):
            assert outcome.name == "image_hash_mismatch", text
    run(stage, "lie", ["lie"], check)


def says_out_of_memory(outcome, text):
    """It went on or ended by itself, a library's call by the status for it; what did not end as
    usual has the one name."""
    if outcome.status == starving.NO_MEMORY:
        assert starving.NAMED[starving.NO_MEMORY] in text, text
    else:
        lives(outcome, text)
    if outcome.end["state"] != usual(text):
        assert outcome.name == "out_of_memory", text


def test_an_allocation_that_fails_is_named_and_harms_nothing(stage):
    run(stage, "memory-own", ["memory-own"], says_out_of_memory)


def test_a_library_without_memory_ends_the_process_by_name_and_harms_nothing(stage):
    run(stage, "memory", ["memory"], says_out_of_memory, min(FAULTS, 1000))


def test_memory_that_fails_while_bytes_come_over_https_harms_nothing(plugin, directory, pki, trust,
                                                                     closing):
    server = closing.keep(liar.Liar(pki))
    server.put(breaking.NEW)
    plugin.sources = [server.url]
    stage = breaking.Stage(plugin.broker, plugin, trust, directory, ["update"])
    run(stage, "memory", ["memory"], says_out_of_memory, min(FAULTS, 1000), ["update"])
    assert server.count, "nothing came over HTTPS"


# From here on an allocation comes so late that all of the story is needed for one: a sixteenth.
LATE = 32_000
# More names than above: a device that died so often in its trial may have been given up.
STARVED = {"succeeded", "out_of_memory", "crash_loop", "agent_killed", "health_check_failed",
           "not_responding"}


def test_allocations_that_fail_life_by_life_are_named_until_none_is_left(stage):
    whole = FAULTS >= 1_000_000
    numbers = [*range(1, LATE), *range(LATE, 100_000, 16)] if whole else \
        sorted(random.Random(7).sample(range(1, 60_000), FAULTS))
    done = starving.starve(stage, breaking.STORIES if whole else ["confirm"],
                           numbers[SHARE - 1::SHARES], 16 if whole else 1)
    for story in sorted({each.story for each in done}):
        chains = [each for each in done if each.story == story]
        counts = sum((collections.Counter(each.counts) for each in chains),
                     collections.Counter())
        ends = sum((collections.Counter(each.ends) for each in chains), collections.Counter())
        print(f"\nstarved {story}: {dict(counts)}, 0 crashes, 0 wrong slots; ends: {dict(ends)}; "
              f"none is left to fail from {min((each.clean or 0 for each in chains), default=0)}")
        assert not whole or all(each.clean for each in chains), story
        assert set(ends) <= STARVED, ends
