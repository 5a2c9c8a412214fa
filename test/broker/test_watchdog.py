"""The machine's watchdog, with a named pipe where the device would be: when the agent feeds it, and
that it ends it only in good order."""
import os
import signal
import time

import pytest
from harness.agent import Machine
from harness.process import eventually
from harness.stock import agents, image, plugin, stock  # noqa: F401


class Watchdog:
    """What a watchdog device would have seen."""

    def __init__(self, path):
        self.path, self.seen = path, b""
        os.mkfifo(path)
        self.reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def food(self):
        try:
            self.seen += os.read(self.reader, 4096)
        except BlockingIOError:
            pass
        return self.seen

    def close(self):
        os.close(self.reader)


@pytest.fixture
def watchdog(directory, closing):
    return closing.keep(Watchdog(directory / "watchdog"))


def test_it_is_fed_while_the_agents_loop_turns_and_no_longer(agents, plugin, watchdog):
    agent = agents(settings={"watchdog": watchdog.path, "watchdog_when": "always",
                             "watchdog_timeout": "1s"}).start()
    plugin.wait_hello("d1")
    eventually(lambda: len(watchdog.food()) >= 4, 20, "food")
    agent.signal(signal.SIGSTOP)
    time.sleep(0.2)
    before = len(watchdog.food())
    time.sleep(1.5)
    assert len(watchdog.food()) == before, "a stopped agent feeds it"
    agent.signal(signal.SIGCONT)
    eventually(lambda: len(watchdog.food()) > before, 20, "food again")
    agent.stop()
    assert watchdog.food().strip(b"\0") == b"V", "ended in good order, and once"


def test_an_agent_that_is_killed_leaves_it_running(agents, plugin, watchdog):
    agent = agents(settings={"watchdog": watchdog.path, "watchdog_when": "always",
                             "watchdog_timeout": "1s"}).start()
    plugin.wait_hello("d1")
    eventually(watchdog.food, 20, "food")
    agent.kill()
    assert watchdog.food().strip(b"\0") == b""


def test_it_runs_from_the_boot_of_a_version_on_trial_to_its_commit(agents, plugin, watchdog):
    machine = Machine(agents(settings={"watchdog": watchdog.path, "watchdog_timeout": "1s"}),
                      1 << 20)
    agent = machine.agent
    machine.boot()
    plugin.wait_hello("d1")
    plugin.grants = False
    plugin.offer("d1", image("2.0"), 1)
    plugin.wait_report("d1", "restarting", 1)
    assert watchdog.food() == b"", "nothing is on trial"
    machine.halts()
    assert machine.select() == str(agent.slot_b)
    assert watchdog.food() == b"\0", "the boot selector starts it"
    agent.start()
    hello = plugin.wait_hello("d1", matches=lambda hello: "trial" in hello)
    eventually(lambda: len(watchdog.food()) >= 4, 20, "food")
    assert b"V" not in watchdog.food()
    plugin.control("d1", "grant", nonce=hello["nonce"], release=1, attempt=1)
    plugin.wait_report("d1", "succeeded", 1)
    eventually(lambda: watchdog.food().endswith(b"V"), 20, "its end")
    time.sleep(0.7)
    assert watchdog.food().strip(b"\0") == b"V"


def test_a_watchdog_that_is_missing_is_named_and_no_reason_to_stop(agents, plugin, directory):
    agent = agents(settings={"watchdog": directory / "none", "watchdog_when": "always"}).start()
    plugin.wait_hello("d1")
    agent.wait_log(r"the watchdog '.*/none'.*No such file.*\(io_error\)")
