"""The real agent under fault injection (strace): its storage failing, interrupted, or lying. With
OTA_FAULTS=all every error at every call (some minutes); else each once."""
import os
import time

import pytest
from harness import fault
from harness.firmware import Image, filler
from harness.process import eventually

FINAL = ("succeeded", "rolled_back", "failed", "rejected")


def update_of(alice, device):
    return alice.ask("device.show", {"device": device}).get("update", {})


def restarts_until(agent, alice, states, seconds):
    """Starts the agent again whenever it ended by itself, as an init system does."""
    def reached():
        if not agent.is_running():
            agent.start()
            agent.expected_dead = True
        return update_of(alice, agent.device).get("state") in states
    eventually(reached, seconds,
               lambda: f"{states}, but {update_of(alice, agent.device)}\n{agent.tail(60)}")


class Versions:
    """Releases one version after the other."""

    def __init__(self, alice, trust, product, size=400_000):
        self.alice, self.trust, self.product, self.size = alice, trust, product, size
        self.major = 1

    def next(self):
        self.major += 1
        image = Image(self.product, f"{self.major}.0", filler(self.size, self.major))
        self.alice.release(self.trust, self.alice.push(self.trust, image), self.product,
                           mode="fast")
        return image


CALLS = ("pwrite64", "fdatasync,fsync", "rename", "fallocate")
ERRORS = ("ENOSPC", "EIO", "EROFS", "EDQUOT")
PAIRS = ([(calls, error) for calls in CALLS for error in ERRORS]
         if os.environ.get("OTA_FAULTS") == "all" else list(zip(CALLS, ERRORS)))


@pytest.fixture(autouse=True)
def one_broker(suite):
    if suite != "bookworm":
        pytest.skip("one broker is enough for the agent's own storage")


@pytest.mark.parametrize("calls, error", PAIRS)
def test_a_storage_error_is_named_and_harms_nothing(alice, agents, trust, product, calls, error):
    agent = agents("d1", settings={"confirm_timeout": "120s"})
    agent.start()
    eventually(lambda: agent.current.exists(), 20, "the factory's version runs")
    agent.stop()
    new = Versions(alice, trust, product).next()
    fault.inject(agent, calls, f"error={error}:when=12+")
    agent.start()
    agent.expected_dead = True
    time.sleep(2.5)
    assert agent.process.poll() in (None, 0, 1), agent.tail(60)
    assert b"Sanitizer" not in agent.log().encode()
    fault.whole(agent, agent.image, new)
    agent.kill()
    # The disk is well again.
    fault.heal(agent)
    restarts_until(agent, alice, FINAL, 60)
    state = update_of(alice, "d1")
    running = fault.whole(agent, agent.image, new)
    if state["state"] == "succeeded":
        assert running is new
    else:
        assert running is agent.image
        wanted = {"ENOSPC": "insufficient_storage", "EDQUOT": "insufficient_storage"}
        assert state["error"]["name"] in (wanted.get(error, "slot_error"), "io_error"), state


def test_a_disk_that_says_it_wrote_and_did_not_installs_nothing(alice, agents, trust, product):
    agent = agents("d1", settings={"confirm_timeout": "120s"})
    agent.start()
    eventually(lambda: agent.current.exists(), 20, "the factory's version runs")
    agent.stop()
    new = Versions(alice, trust, product).next()
    fault.inject(agent, "pwrite64", "retval=65536:when=20..22")
    agent.start()
    agent.expected_dead = True
    restarts_until(agent, alice, FINAL, 60)
    fault.whole(agent, agent.image, new)


def test_interrupted_calls_are_made_again(alice, agents, trust, product):
    agent = agents("d1", settings={"confirm_timeout": "120s"})
    new = Versions(alice, trust, product).next()
    fault.inject(agent, "pwrite64,fdatasync,fsync", "error=EINTR:when=1+3")
    agent.start()
    restarts_until(agent, alice, ("succeeded",), 60)
    assert agent.running_bytes() == new.bytes
