"""The broker is gone for an hour while a fleet is on trial. Time is scaled: an hour is to the
default confirm_timeout of five minutes as the outage here is to its own. OTA_OUTAGE=50:10 has 50
agents with a confirm_timeout of 10 s (`./dev outage`); ctest has a few with a short one."""
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import places
from harness.firmware import Image, filler
from harness.island import Island
from harness.process import eventually
from harness.relay import Relay

COUNT, CONFIRM_S = (int(part) for part in os.environ.get("OTA_OUTAGE", "8:3").split(":"))
HOUR_S = 12 * CONFIRM_S
AT_ONCE = {"thresholds": {"success": 0, "errors": 10000, "error_count": 1000000, "sample": 1,
                          "bake_s": 0, "silence_s": 3600}}


@pytest.fixture(autouse=True)
def one_broker(suite):
    if suite != "bookworm":
        pytest.skip("one broker is enough for what agents do without it")


@pytest.fixture
def fleet(agents, closing, broker):
    """Agents behind a relay, on an island where that is possible: there the broker's host is
    another machine, which refuses when the broker is gone. Elsewhere they are told so."""
    island = closing.keep(Island(2)) if Island.is_possible() else None
    address = island.address if island else "127.0.0.1"
    relay = closing.keep(Relay(broker.port, address))
    made = []
    for number in range(1, COUNT + 1):
        agent = agents(f"d{number}", settings={
            "broker": f"localhost:{relay.port}", "log_level": "info", "keepalive": "5s",
            "confirm_timeout": f"{CONFIRM_S}s", "probation": f"{int(CONFIRM_S * 700)}ms",
            "reconnect_min": "20ms", "reconnect_max": f"{int(CONFIRM_S * 400)}ms",
            **({} if island else {"outage_check": "true"})})
        if island:
            island.adopt(agent)
        made.append(agent.start())
    return made, relay


def states(alice):
    return alice.ask("release.show", {"product": "thermo", "number": 1})["counts"]


def test_an_hour_without_a_broker_reverts_nobody(alice, fleet, trust, product, broker):
    agents, relay = fleet
    eventually(lambda: all(d["online"] for d in alice.every("device.list",
                                                            {"product": product})), 60,
               "all are online")
    for agent in agents:
        agent.ask("hold", "restart", 3600, "until all can start together")
    new = Image(product, "2.0", filler(60_000, 2))
    alice.release(trust, alice.push(trust, new), product, **AT_ONCE)
    eventually(lambda: states(alice) == {"installed": COUNT}, 120, lambda: str(states(alice)))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda agent: agent.ask("release", "restart"), agents))
    eventually(lambda: all(agent.current.exists() and agent.running_bytes() == new.bytes
                           for agent in agents), 10, "all run the new version")
    granted = states(alice).get("succeeded", 0)
    alice.close()
    broker.kill()
    relay.refuse()
    gone = time.monotonic()
    time.sleep(HOUR_S / 2)
    broker.start()  # whatever that takes on this machine: nobody reaches it yet
    time.sleep(max(0, gone + HOUR_S - time.monotonic()))
    on_trial = sum(1 for agent in agents if agent.running_bytes() == new.bytes)
    assert on_trial == COUNT, "\n".join(agent.tail(12) for agent in agents)
    relay.open()
    alice.connect()
    back = time.monotonic()
    eventually(lambda: states(alice) == {"succeeded": COUNT}, max(30, 2 * CONFIRM_S),
               lambda: f"{states(alice)}\n" + "\n".join(agent.tail(12) for agent in agents))
    extended = sum("the trial is extended once" in agent.log() for agent in agents)
    reverted = sum("reverting" in agent.log() for agent in agents)
    print(f"\n{COUNT} agents on trial ({granted} granted before), confirm_timeout {CONFIRM_S} s, no "
          f"broker for {back - gone:.1f} s: {extended} trials extended, {reverted} reverted, all "
          f"succeeded {time.monotonic() - back:.1f} s after its return")
    assert reverted == 0
    assert extended >= COUNT - granted
