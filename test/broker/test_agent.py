"""The agent on a stock Mosquitto, with a stand-in where the plugin would be: whom it believes, and
how it takes an update."""
import time

from harness import places
from harness.broker import Broker
from harness.process import Process, eventually
from harness.stock import OLD, agents, image, plugin, relay, relayed, stock  # noqa: F401
from pki import Pki


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
    agents(settings={"health_command": "/bin/false", "health_timeout": places.patient(0.5)}).start()
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
