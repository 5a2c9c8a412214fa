"""An agent through two days of outages, its own time running faster (libfaketime): pauses,
keepalive and confirm times are the defaults, as it sees them. OTA_SOAK=48:400 are 48 hours 400
times as fast (`./dev soak`); ctest has two hours."""
import os
import random
import time

import pytest
from harness import clock
from harness.process import eventually
from harness.relay import Relay
from harness.stock import OLD, agents, plugin, stock  # noqa: F401

HOURS, SPEED = (int(part) for part in os.environ.get("OTA_SOAK", "2:400").split(":"))


@pytest.fixture(autouse=True)
def one_broker(suite):
    if suite != "bookworm":
        pytest.skip("one broker is enough for how an agent comes back")


def descriptors(agent):
    return len(os.listdir(f"/proc/{agent.pid}/fd"))


def threads(agent):
    return len(os.listdir(f"/proc/{agent.pid}/task"))


class Weather:
    """Outages as they come: the broker's host refuses, swallows, or ends connections."""

    def __init__(self, relay, chance):
        self.relay, self.chance = relay, chance

    def strike(self, seconds):
        kind = self.chance.choice(("refuse", "hold", "cut"))
        getattr(self.relay, kind)()
        time.sleep(0 if kind == "cut" else seconds)
        if kind == "hold":
            self.relay.cut()  # what was swallowed is not delivered late
        self.relay.open()
        return kind


def test_an_agent_comes_back_after_each_outage_and_stays_as_small(agents, plugin, stock, closing):
    relay = closing.keep(Relay(stock.port))
    weather = Weather(relay, random.Random(5))
    agent = agents(settings={"broker": f"localhost:{relay.port}", "log_level": "info",
                             "reconnect_min": "1s", "reconnect_max": "120s", "keepalive": "300s"})
    clock.hasten(agent, SPEED).start()
    plugin.wait_hello("d1")
    sizes, back, kinds = [], [], []
    ends = time.monotonic() + HOURS * 3600 / SPEED
    while time.monotonic() < ends:
        hellos = len(plugin.hellos)
        hour = 3600 / SPEED
        kinds.append(weather.strike(weather.chance.uniform(0.002, 0.9) * hour))
        well = time.monotonic()
        eventually(lambda: len(plugin.hellos) > hellos, 20, agent.tail)
        back.append((time.monotonic() - well) * SPEED)
        time.sleep(weather.chance.uniform(0.01, 0.2) * hour)
        sizes.append((agent.resident_bytes() >> 10, descriptors(agent), threads(agent)))
    quarter = max(1, len(sizes) // 4)
    first, last = sizes[quarter:2 * quarter] or sizes, sizes[-quarter:]
    made = agent.log().count("connected to the broker")
    print(f"\n{HOURS} h at {SPEED} times the speed: {len(kinds)} outages "
          f"({', '.join(f'{kinds.count(k)} {k}' for k in sorted(set(kinds)))}), {made} connections; "
          f"back after {sum(back) / len(back):.0f} s on average, {max(back):.0f} s at most; "
          f"resident {max(s[0] for s in first)} KiB in the second quarter, {max(s[0] for s in last)} in "
          f"the last; descriptors {max(s[1] for s in first)} and {max(s[1] for s in last)}, "
          f"threads {max(s[2] for s in first)} and {max(s[2] for s in last)}")
    assert made >= len(kinds)
    assert max(s[0] for s in last) <= max(s[0] for s in first) * 1.05
    assert max(s[1] for s in last) <= max(s[1] for s in first)
    assert max(s[2] for s in last) <= max(s[2] for s in first)


def test_a_link_that_says_nothing_is_made_anew(agents, plugin):
    """A connection was seen that was up and neither sent nor received."""
    plugin.answers = False
    agent = clock.hasten(agents(settings={"log_level": "info"}), 30).start()
    agent.wait_log("the broker has not answered for 60 s: connecting anew", 20)
    plugin.answers = True
    agent.wait_log("the plugin knows this device as approved", 20)
