"""The agent on a stock Mosquitto, with a stand-in where the plugin would be: the way back, the
application it supervises, and slots that are partitions."""
import ctypes
import os
import signal
import time
from pathlib import Path

import pytest
from harness import places
from harness.agent import Machine
from harness.firmware import Image
from harness.process import eventually
from harness.stock import OLD, agents, image, plugin, relay, relayed, stock  # noqa: F401


# --- the way back ---

def rolled_back(plugin, agent, name, seconds=60, number=1):
    report = plugin.wait_report("d1", "rolled_back", number, seconds)
    assert report["error"]["name"] == name, report
    assert report["version"] == "1.0"
    assert agent.running_bytes() == OLD.bytes
    assert agent.status()["slot"] == "a"
    return report


def test_a_version_that_is_not_healthy_is_reverted_with_its_evidence(agents, plugin):
    agent = agents(settings={"health_command": "sh -c 'exit 3'",
                             "health_timeout": places.patient(0.5)}).start()
    plugin.wait_hello("d1")
    plugin.offer("d1", image("2.0"), 1)
    report = rolled_back(plugin, agent, "health_check_failed")
    assert "exited with code 3" in report["error"]["message"]
    assert report["error"]["detail"] == 3
    assert "trial" in report["error"]["log"]


def application(version, line, size=200_000):
    """An image that is a shell script."""
    head = f"# {version}\n{line}\nexit\n".encode()
    return Image("thermo", version, head + b"#" * (size - len(head)))


def test_a_version_that_just_crashed_is_not_granted_its_commit(agents, plugin):
    """It counted as running until it was started again, and so outlived its probation."""
    good = application("1.0", "while :; do sleep 1; done")
    agent = agents(image=good, settings={"command": "sh {slot}", "probation": "1600ms"}).start()
    plugin.wait_hello("d1")
    plugin.offer("d1", application("2.0", "echo started >>$0.starts; sleep 0.8; exit 7"), 1)
    report = plugin.wait_report("d1", "rolled_back", 1)
    assert report["error"]["name"] == "crash_loop"
    assert agent.slot_b.with_name("slot-b.starts").read_text().count("started") == 3
    assert agent.running_bytes() == good.bytes


def test_a_version_without_a_grant_is_reverted(agents, plugin):
    plugin.grants = False
    agent = agents(settings={"confirm_timeout": "6s"}).start()
    plugin.wait_hello("d1")
    plugin.offer("d1", image("2.0"), 1)
    report = rolled_back(plugin, agent, "no_connectivity_after_update")
    assert "not granted" in report["error"]["message"]


def test_an_outage_that_is_not_the_devices_own_extends_the_trial(agents, plugin, relay):
    agent = relayed(agents(settings={"confirm_timeout": "3s", "outage_check": "true"}),
                    relay).start()
    plugin.wait_hello("d1")
    plugin.offer("d1", image("2.0"), 1)
    plugin.wait_report("d1", "restarting", 1)
    relay.refuse()
    time.sleep(5)
    assert agent.status()["slot"] == "b"
    relay.open()
    plugin.wait_report("d1", "succeeded", 1)


def test_a_manager_can_have_the_previous_version_back(agents, plugin):
    agent = agents().start()
    plugin.wait_hello("d1")
    plugin.offer("d1", image("2.0"), 1, rollback_on_halt=True)
    plugin.wait_report("d1", "succeeded", 1)
    plugin.control("d1", "revert", release=1)
    rolled_back(plugin, agent, "reverted_by_manager")


def test_a_manager_cannot_have_it_back_without_a_signature_for_that(agents, plugin):
    agent = agents().start()
    plugin.wait_hello("d1")
    new = image("2.0")
    plugin.offer("d1", new, 1)
    plugin.wait_report("d1", "succeeded", 1)
    plugin.control("d1", "revert", release=1)
    agent.wait_log("the way back is refused")
    assert agent.running_bytes() == new.bytes


# --- the application ---

def test_a_killed_agent_finds_its_application_again(agents, plugin):
    agent = agents().start()
    plugin.wait_hello("d1")
    run = agent.directory / "state" / "application.run"
    first = run.read_text()
    for _ in range(3):
        agent.kill()
        agent.start()
        plugin.wait_hello("d1")
    assert run.read_text() == first
    os.kill(int(first.split()[0]), 0)


PR_SET_CHILD_SUBREAPER = 36


def test_an_application_that_ended_and_that_nobody_has_waited_for_is_not_taken_for_running(agents):
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    assert prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        agent = agents("gw1").start()
        agent.wait_log("version 1.0 runs")
        pid = int((agent.directory / "state" / "application.run").read_text().split()[0])
        agent.kill()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: f"{pid} (" in (stat := Path(f"/proc/{pid}/stat").read_text()) and
                   stat.rpartition(") ")[2][0] == "Z", 10, "a zombie")
        before = len(agent.log())
        agent.start()
        agent.wait_log("version 1.0 runs", since=before)
        os.waitpid(pid, 0)
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    assert "not ours to wait for" not in agent.log()[before:], agent.tail()


def test_the_application_is_not_touched_before_the_switch_it_allowed(agents, plugin):
    agent = agents().start()
    plugin.wait_hello("d1")
    run = agent.directory / "state" / "application.run"
    first = run.read_text()
    agent.ask("hold", "restart", 60, "busy")
    plugin.offer("d1", image("2.0"), 1)
    plugin.wait_report("d1", "installed", 1)
    time.sleep(0.5)
    assert run.read_text() == first
    agent.ask("release", "restart")
    plugin.wait_report("d1", "succeeded", 1)
    assert run.read_text() != first


# --- block slots ---

@pytest.fixture
def machine(agents):
    return Machine(agents(), 1 << 20)


def test_a_block_slot_is_updated_through_a_boot_selector(machine, plugin):
    agent = machine.agent
    assert machine.boot() == str(agent.slot_a)
    hello = plugin.wait_hello("d1")
    assert hello["slot_size"] == 1 << 20
    new = image("2.0")
    plugin.offer("d1", new, 1)
    plugin.wait_report("d1", "restarting", 1)
    assert machine.restarts() == str(agent.slot_b)
    plugin.wait_report("d1", "succeeded", 1)
    assert agent.slot_b.read_bytes()[:len(new.bytes)] == new.bytes
    agent.kill()
    assert machine.select() == str(agent.slot_b)


def test_a_system_that_never_comes_up_is_left_after_three_boots(machine, plugin):
    agent = machine.agent
    machine.boot()
    plugin.wait_hello("d1")
    plugin.offer("d1", image("2.0"), 1)
    plugin.wait_report("d1", "restarting", 1)
    machine.halts()
    picked = [machine.select() for _ in range(4)]
    assert picked == [str(agent.slot_b)] * 3 + [str(agent.slot_a)]
    agent.start()
    report = plugin.wait_report("d1", "rolled_back", 1)
    assert report["error"]["name"] == "crash_loop"
    assert report["version"] == "1.0"


def test_a_block_version_that_is_not_healthy_is_reverted(machine, plugin):
    machine.reverts_what_is_not_healthy(plugin, image("2.0"))


def test_a_release_that_was_reverted_three_times_sits_out(agents, plugin):
    agent = agents(settings={"health_command": "/bin/false",
                             "health_timeout": places.patient(0.5)}).start()
    plugin.wait_hello("d1")
    new = image("2.0", 200_000)
    for attempt in range(1, 4):
        plugin.offer("d1", new, 1, attempt=attempt)
        report = plugin.wait(lambda: [r for _, r in plugin.reports if (
            r["state"], r["attempt"]) == ("rolled_back", attempt)],
            30, f"the end of attempt {attempt}")[0]
        assert report["error"]["name"] == "health_check_failed", attempt
    plugin.offer("d1", new, 1, attempt=4)
    report = plugin.wait_report("d1", "rejected", 1)
    assert report["attempt"] == 4
    assert report["error"]["name"] == "health_check_failed"
    assert "sits out" in report["error"]["message"]
    agent.configure(health_command=None)
    agent.kill()
    plugin.hellos.clear()
    agent.start()
    plugin.wait_hello("d1")
    plugin.offer("d1", image("3.0", 200_000), 2)
    plugin.wait_report("d1", "succeeded", 2)
