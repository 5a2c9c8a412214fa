"""The agent on a stock Mosquitto, with a stand-in where the plugin would be: what it believes,
what it keeps, and how it comes back."""
import os
import time

import pytest
from harness import agent as agents_of, places
from harness.broker import Broker
from harness.firmware import Image, filler
from harness.process import Process, eventually
from harness.relay import Relay
from harness.standin import StandIn
from pki import Pki

OLD = Image("thermo", "1.0", filler(300_000, 1))


@pytest.fixture
def stock(suite, directory, pki, closing):
    return closing.keep(Broker(suite, directory / "broker", pki, plugin=None)).start()


@pytest.fixture
def plugin(stock, trust, closing):
    return closing.keep(StandIn(stock, trust)).connect()


@pytest.fixture
def agents(stock, directory, trust, closing):
    def make(name="d1", image=OLD, **how):
        return closing.keep(agents_of.Agent(how.pop("broker", stock), name,
                                            directory / "agents" / name,
                                            how.pop("trust", trust), image, **how))
    return make


def relayed(agent, relay):
    agent.configure(broker=f"localhost:{relay.port}")
    return agent


@pytest.fixture
def relay(stock, closing):
    return closing.keep(Relay(stock.port))


def image(version, size=700_000):
    return Image("thermo", version, filler(size, int(version[0]) + 10))


# --- whom it talks to ---

def refused(agent, sentence):
    agent.start()
    agent.wait_log(sentence, 20)
    assert "connected to the broker" not in agent.log()
    return agent.log()


def test_a_broker_of_another_ca_is_refused_by_name(stock, agents, directory):
    stranger = Pki(directory / "stranger")
    agent = agents()
    agent.configure(ca_file=stranger.ca)
    refused(agent, r"of another CA.*tls_verify_failed")


def test_a_broker_of_another_host_is_refused_by_name(suite, directory, pki, agents, closing):
    certificate = pki.bad()["broker-wrong-host"]
    broker = closing.keep(Broker(suite, directory / "other", pki, plugin=None,
                                 certificate=certificate)).start()
    refused(agents(broker=broker), r"not for 'localhost' \(wrong host\).*tls_verify_failed")


def test_a_broker_whose_certificate_has_expired_is_refused_by_name(suite, directory, pki,
                                                                   agents, closing):
    certificate = pki.bad()["broker-expired"]
    broker = closing.keep(Broker(suite, directory / "other", pki, plugin=None,
                                 certificate=certificate)).start()
    refused(agents(broker=broker), r"has expired.*tls_verify_failed")


def test_a_device_whose_certificate_the_broker_refuses_says_so(agents, directory, pki):
    stranger = Pki(directory / "stranger")
    agent = agents(certificate=stranger.device("d1"))
    refused(agent, r"refuses this device's certificate")


def test_an_unreachable_broker_is_named_and_found_when_it_comes(agents, relay, plugin):
    relay.refuse()
    agent = relayed(agents(), relay)
    refused(agent, r"Connection refused")
    relay.open()
    plugin.wait_hello("d1")


# --- an update ---

def test_an_update_runs_from_offer_to_success(agents, plugin):
    agent = agents().start()
    assert plugin.wait_hello("d1")["version"] == "1.0"
    new = image("2.0")
    plugin.offer("d1", new, 1)
    report = plugin.wait_report("d1", "succeeded", 1)
    assert (report["version"], report["digest"]) == ("2.0", new.digest)
    assert plugin.states("d1", 1) == [
        "downloading", "downloaded", "verified", "installing", "installed", "restarting",
        "trial", "succeeded"]
    assert agent.running_bytes() == new.bytes
    hello = plugin.wait_hello("d1", matches=lambda hello: "trial" in hello)
    assert hello["trial"] == {"release": 1, "attempt": 1}
    assert hello["digest"] == new.digest


def test_success_is_not_said_before_the_grant(agents, plugin):
    plugin.grants = False
    agents().start()
    plugin.wait_hello("d1")
    plugin.offer("d1", image("2.0"), 1)
    hello = plugin.wait_hello("d1", matches=lambda hello: "trial" in hello)
    time.sleep(1)
    assert "succeeded" not in plugin.states("d1")
    plugin.control("d1", "grant", nonce="00" * 16, release=1, attempt=1)  # not what was asked
    time.sleep(0.5)
    assert "succeeded" not in plugin.states("d1")
    plugin.control("d1", "grant", nonce=hello["nonce"], release=1, attempt=1)
    plugin.wait_report("d1", "succeeded", 1)


def test_an_offer_is_taken_once_however_often_it_comes(agents, plugin):
    agents().start()
    plugin.wait_hello("d1")
    offer = plugin.offer("d1", image("2.0"), 1)
    plugin.wait_report("d1", "succeeded", 1)
    served, reports = plugin.served, len(plugin.reports)
    for _ in range(20):
        plugin.say("d1", "offer", offer)
    time.sleep(1)
    assert (plugin.served, len(plugin.reports)) == (served, reports)


def test_a_newer_release_takes_the_place_of_one_that_is_being_fetched(agents, plugin):
    agents(settings={"rate_limit": "200k"}).start()
    plugin.wait_hello("d1")
    plugin.offer("d1", image("2.0", 2_000_000), 1)
    plugin.wait_report("d1", "downloading", 1)
    plugin.offer("d1", image("3.0", 100_000), 2)
    report = plugin.wait_report("d1", "succeeded", 2)
    assert report["version"] == "3.0"
    assert plugin.states("d1", 1)[-1] == "superseded"


def test_a_canceled_download_stops_and_says_so(agents, plugin):
    agent = agents(settings={"rate_limit": "200k"}).start()
    plugin.wait_hello("d1")
    plugin.offer("d1", image("2.0", 2_000_000), 1)
    plugin.wait_report("d1", "downloading", 1)
    plugin.control("d1", "cancel", release=1, reason="aborted")
    plugin.wait_report("d1", "canceled", 1)
    assert agent.running_bytes() == OLD.bytes


def test_what_is_in_the_slot_already_is_not_fetched_again(agents, plugin):
    agents(settings={"health_command": "/bin/false", "health_timeout": "500ms"}).start()
    plugin.wait_hello("d1")
    new = image("2.0", 2_000_000)
    plugin.offer("d1", new, 1)
    plugin.wait_report("d1", "rolled_back", 1)
    served = plugin.served
    plugin.offer("d1", new, 1, attempt=2)
    plugin.wait(lambda: len([1 for _, r in plugin.reports if r["state"] == "rolled_back"]) == 2,
                30, "the second attempt")
    assert plugin.served - served <= 65536, "only the index is fetched again"


def test_lost_chunks_are_asked_for_again(agents, plugin):
    count = [0]

    def lose_some(blob, number, data):
        count[0] += 1
        return None if count[0] % 5 == 0 else data
    plugin.spoil = lose_some
    agent = agents().start()
    plugin.wait_hello("d1")
    new = image("2.0", 3_000_000)
    plugin.offer("d1", new, 1)
    plugin.wait_report("d1", "succeeded", 1, seconds=120)
    assert agent.running_bytes() == new.bytes


def test_damaged_chunks_fail_the_update_and_touch_nothing(agents, plugin):
    plugin.spoil = lambda blob, number, data: data[:-1] + bytes([data[-1] ^ 1])
    agent = agents().start()
    plugin.wait_hello("d1")
    plugin.offer("d1", image("2.0"), 1)
    report = plugin.wait_report("d1", "failed", 1)
    assert report["error"]["name"] == "segment_hash_mismatch"
    assert report["version"] == "1.0"
    assert agent.running_bytes() == OLD.bytes


def test_no_attempt_is_made_without_consent_and_the_reason_is_said(agents, plugin):
    agent = agents().start()
    plugin.wait_hello("d1")
    agent.ask("hold", "download", 3600, "the", "oven", "is", "on")
    plugin.wait(lambda: [c for _, c in plugin.consents if not c["consent"]["download"]], 10,
                "the closed gate")
    plugin.offer("d1", image("2.0"), 1)
    report = plugin.wait_report("d1", "deferred", 1)
    assert report["reason"] == "the oven is on"
    time.sleep(1)
    assert plugin.states("d1") == ["deferred"]
    agent.ask("release", "download")
    plugin.wait_report("d1", "succeeded", 1)


def test_a_hold_ends_with_its_lease(agents, plugin):
    agent = agents().start()
    plugin.wait_hello("d1")
    agent.ask("hold", "all", 2, "short")
    plugin.offer("d1", image("2.0"), 1)
    plugin.wait_report("d1", "deferred", 1)
    plugin.wait_report("d1", "succeeded", 1)


def test_reports_are_kept_until_they_are_acknowledged(agents, plugin):
    plugin.acks_reports = False
    agent = agents().start()
    plugin.wait_hello("d1")
    plugin.offer("d1", image("2.0"), 1)
    plugin.wait_report("d1", "succeeded", 1)
    before = {report["seq"]: report for _, report in plugin.reports}
    agent.kill()
    plugin.reports.clear()
    agent.start()
    plugin.wait_report("d1", "succeeded", 1)
    again = {report["seq"]: report for _, report in plugin.reports}
    kept = [report for report in before.values() if report["state"] != "downloading"]
    assert all(again[report["seq"]] == report for report in kept)
    plugin.acks_reports = True
    agent.kill()
    plugin.hellos.clear()
    agent.start()
    plugin.wait_hello("d1")
    eventually(lambda: agent.status()["reports"] == "0", 20, "an empty outbox")


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
                             "health_timeout": "1s"}).start()
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


def test_a_version_that_crashes_is_reverted_after_three_tries(agents, plugin):
    good = application("1.0", "while :; do sleep 1; done")
    agent = agents(image=good, settings={"command": "sh {slot}", "probation": "3s"}).start()
    plugin.wait_hello("d1")
    bad = application("2.0", "echo started >> $0.starts; exit 7")
    plugin.offer("d1", bad, 1)
    report = plugin.wait_report("d1", "rolled_back", 1)
    assert report["error"]["name"] == "crash_loop"
    assert "exited with code 7" in report["error"]["message"]
    assert agent.slot_b.with_name("slot-b.starts").read_text().count("started") == 3
    assert agent.running_bytes() == good.bytes


def test_an_image_that_is_no_program_is_reverted(agents, plugin):
    agent = agents(image=application("1.0", "while :; do sleep 1; done"),
                   settings={"command": "{slot}", "probation": "2s"})
    agent.slot_a.write_bytes(b"#!/bin/sh\nwhile :; do sleep 1; done\n")
    agent.slot_a.chmod(0o755)
    agent.start()
    plugin.wait_hello("d1")
    plugin.offer("d1", image("2.0", 100_000), 1)
    report = plugin.wait_report("d1", "rolled_back", 1)
    assert report["error"]["name"] == "crash_loop"


def test_a_version_that_cannot_reach_the_broker_is_reverted(agents, plugin, relay):
    agent = relayed(agents(settings={"confirm_timeout": "6s"}), relay).start()
    plugin.wait_hello("d1")
    plugin.offer("d1", image("2.0"), 1)
    plugin.wait_report("d1", "restarting", 1)
    relay.refuse()
    eventually(lambda: agent.status()["slot"] == "a" and agent.status()["state"] == "idle", 30,
               "the old version")
    relay.open()
    report = rolled_back(plugin, agent, "no_connectivity_after_update")
    assert "Connection refused" in report["error"]["message"] + report["error"]["log"]


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

class Machine:
    """A machine with two partitions, our boot record and a boot selector."""

    def __init__(self, agent, size):
        self.agent = agent
        for path in (agent.slot_a, agent.slot_b):
            with open(path, "r+b" if path.exists() else "w+b") as partition:
                partition.truncate(size)
        agent.configure(slot="block", command=None, current_link=None, restart_command="true")

    def boot(self):
        """Power on: the boot selector decides, the system's agent starts."""
        path = self.agent.ask("boot-select").strip()
        self.agent.start()
        return path

    def restarts(self):
        """Waits for the restart that the agent asks for, and does it."""
        self.agent.wait_log("restarting|the new version failed its trial", 30, self.seen)
        time.sleep(0.3)
        self.agent.kill()
        self.seen = len(self.agent.log())
        return self.boot()

    seen = 0


@pytest.fixture
def machine(agents):
    made = agents(settings={"confirm_timeout": "10s"})
    return Machine(made, 1 << 20)


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
    assert agent.ask("boot-select").strip() == str(agent.slot_b)


def test_a_system_that_never_comes_up_is_left_after_three_boots(machine, plugin):
    agent = machine.agent
    machine.boot()
    plugin.wait_hello("d1")
    plugin.offer("d1", image("2.0"), 1)
    plugin.wait_report("d1", "restarting", 1)
    time.sleep(0.3)
    agent.kill()
    picked = [agent.ask("boot-select").strip() for _ in range(4)]
    assert picked == [str(agent.slot_b)] * 3 + [str(agent.slot_a)]
    agent.start()
    report = plugin.wait_report("d1", "rolled_back", 1)
    assert report["error"]["name"] == "crash_loop"
    assert report["version"] == "1.0"


def test_a_block_version_that_is_not_healthy_is_reverted(machine, plugin):
    agent = machine.agent
    agent.configure(health_command="/bin/false", health_timeout="1s")
    machine.boot()
    plugin.wait_hello("d1")
    plugin.offer("d1", image("2.0"), 1)
    plugin.wait_report("d1", "restarting", 1)
    assert machine.restarts() == str(agent.slot_b)
    assert machine.restarts() == str(agent.slot_a)
    report = plugin.wait_report("d1", "rolled_back", 1)
    assert report["error"]["name"] == "health_check_failed"


# --- libotaagent ---

def test_an_application_refuses_while_it_is_busy_and_accepts_when_it_is_idle(agents, plugin,
                                                                             closing):
    agent = agents(settings={"command": None})
    oven = closing.keep(Process("oven", [places.BUILD / "agent" / "oven", agent.config_path, 40],
                                agent.log_path)).start()
    plugin.wait_hello("d1")
    assert plugin.hellos[0][1]["consent"] == {"download": True, "install": False,
                                              "restart": False}
    plugin.offer("d1", image("2.0"), 1)
    report = plugin.wait(lambda: next((r for _, r in plugin.reports if r.get("reason")), None),
                         20, "a reason")
    assert report["state"] == "verified" and "baking" in report["reason"]
    assert "oven: done" not in oven.log()
    plugin.wait_report("d1", "succeeded", 1)
    log = oven.log()
    assert log.index("oven: done") < log.index("installing")
    assert "oven: release 1, version 2.0: succeeded" in log
    assert agent.running_bytes() == image("2.0").bytes
