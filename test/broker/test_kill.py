"""kill -9 at any moment: the agent at one system call after another, the broker at random times.
OTA_KILLS says how many of each kind (`./dev kills`); ctest runs a few."""
import os
import random
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import agent as agents_of, places
from harness.broker import Broker
from harness.firmware import Image, filler
from harness.process import Process, eventually
from harness.standin import StandIn

KILLS = int(os.environ.get("OTA_KILLS", "12"))
BROKER_KILLS = int(os.environ.get("OTA_BROKER_KILLS", str(max(3, KILLS // 4))))
AT_ONCE = 4
OLD = Image("thermo", "1.0", filler(200_000, 1))
NEW = Image("thermo", "2.0", filler(1_500_000, 2))
# What changes something, what waits, and what talks.
CALLS = "write,pwrite64,fdatasync,fsync,rename,openat,unlink,ftruncate,fallocate,poll,sendto,futex"


@pytest.fixture
def stock(suite, directory, pki, closing):
    return closing.keep(Broker(suite, directory / "broker", pki, plugin=None, quiet=True)).start()


@pytest.fixture
def plugin(stock, trust, closing):
    return closing.keep(StandIn(stock, trust)).connect()


class Traced(Process):
    """The agent under strace, which kills it at its `when`-th `call` in one of its threads.
    strace itself goes on as long as the application does."""

    def __init__(self, agent, options):
        self.program = places.AGENT.resolve()
        super().__init__(f"strace of {agent.device}", ["strace", "-f", "-qq", *options,
                                                       *agent.command], agent.log_path)

    def start(self):
        super().start()
        self.agent_pid = None

        def found():
            self.agent_pid = self._find_agent()
            return self.agent_pid or not self.is_running()  # killed before it was seen
        eventually(found, 20, "an agent under strace")
        return self

    def _find_agent(self):
        try:
            with open(f"/proc/{self.pid}/task/{self.pid}/children") as children:
                pids = children.read().split()
        except OSError:
            return None
        for pid in pids:
            try:
                if os.readlink(f"/proc/{pid}/exe") == str(self.program):
                    return int(pid)
            except OSError:
                pass  # one of strace's own trials
        return None

    def agent_lives(self):
        if not self.agent_pid:
            return False
        try:
            with open(f"/proc/{self.agent_pid}/stat") as stat:
                return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
        except OSError:
            return False

    def end(self):
        """kill -9 for what is left; the application stays."""
        if self.agent_lives():
            os.kill(self.agent_pid, 9)
        self.kill()


def is_settled(agent):
    """Idle, and every report acknowledged. An agent that only just started does not answer."""
    done = subprocess.run([*agent.command, "status"], capture_output=True, text=True)
    return "state idle\n" in done.stdout and "reports 0\n" in done.stdout


def one_kill(plugin, agent, point):
    """One update with one kill in it. Returns whether the kill struck."""
    call, when = point
    device = agent.device
    traced = Traced(agent, ["-o", "/dev/null", "-e", f"trace={call}",
                            "-e", f"inject={call}:signal=SIGKILL:when={when}"]).start()
    try:
        eventually(lambda: not traced.agent_lives() or "succeeded" in plugin.states(device, 1),
                   60, lambda: f"{point}\n{traced.tail()}")
        struck = not traced.agent_lives()
    finally:
        traced.end()
    agent.start()
    eventually(lambda: "succeeded" in plugin.states(device, 1), 60,
               lambda: f"{point}: {plugin.states(device, 1)}\n{agent.tail(80)}")
    report = plugin.wait_report(device, "succeeded", 1)
    eventually(lambda: is_settled(agent), 30, lambda: f"{point}: an end\n{agent.tail()}")
    assert report["version"] == "2.0", point
    assert agent.running_bytes() == NEW.bytes, point
    assert agent.slot_a.read_bytes() == OLD.bytes, f"{point}: the old version was written to"
    seqs = {}
    for name, told in list(plugin.reports):
        if name == device:
            assert seqs.setdefault(told["seq"], told) == told, f"{point}: a number used twice"
    finals = [told for told in seqs.values() if told["state"] == "succeeded"]
    assert len(finals) == 1, f"{point}: {finals}"
    fetched = plugin.fetched[device]
    assert fetched <= 1.1 * len(NEW.bytes) + (1 << 20), f"{point}: {fetched} bytes"
    assert agent.stop() == 0, agent.tail()
    return struck


class Offering(StandIn):
    """Offers the new version to every device that says hello without it."""

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.fetched, self.envelopes = {}, None
        self.on_hello = self.offer_again

    def offer_again(self, device, hello):
        if hello["version"] == NEW.version or "update" in hello:
            return
        if self.envelopes is None:
            self.envelopes = self.offer(device, NEW, 1)
        else:
            self.say(device, "offer", self.envelopes)

    def _on_get(self, device, get):
        before = self.served
        super()._on_get(device, get)
        self.fetched[device] = self.fetched.get(device, 0) + self.served - before


@pytest.fixture
def offering(stock, trust, closing):
    return closing.keep(Offering(stock, trust)).connect()


def count_calls(agent, offering):
    """How often each thread-wise call happens in one whole update: the greatest `when`."""
    log = agent.directory / "calls"
    traced = Traced(agent, ["-o", log, "-e", f"trace={CALLS}"]).start()
    try:
        offering.wait_report(agent.device, "succeeded", 1, seconds=90)
    finally:
        traced.end()
    agent.start()
    eventually(lambda: is_settled(agent), 30, agent.tail)
    agent.stop()  # and with it the application that outlived the traced one
    counts = {}
    for line in log.read_text(errors="replace").splitlines():
        parts = line.split(None, 1)
        if len(parts) == 2 and "(" in parts[1] and not parts[1].startswith("<"):
            key = (parts[1].split("(")[0], parts[0])
            counts[key] = counts.get(key, 0) + 1
    most = {}
    for (call, _), count in counts.items():
        most[call] = max(most.get(call, 0), count)
    return most


def test_an_agent_that_is_killed_at_any_call_finishes_its_update(
        stock, offering, directory, trust, closing):
    def make(name):
        agent = agents_of.Agent(stock, name, directory / name, trust, OLD)
        agent.configure(log_level="info", rate_limit=None)
        return agent
    first = make("counted")
    most = count_calls(first, offering)
    points = [(call, when) for call, count in most.items() for when in range(1, count + 1)]
    chosen = random.Random(7).sample(points, min(KILLS, len(points)))

    def run(numbered):
        number, point = numbered
        agent = make(f"k{number}")
        try:
            return one_kill(offering, agent, point)
        finally:
            agent.close()
            shutil.rmtree(agent.directory, ignore_errors=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        struck = list(pool.map(run, enumerate(chosen)))
    print(f"\n{len(chosen)} points of {len(points)} chosen, {sum(struck)} kills struck, "
          f"every update ended well")
    assert sum(struck) >= len(chosen) * 0.6, f"only {sum(struck)} kills struck"


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
    """None is lost: numbers and states have no gap; none is doubled; and hardly a byte was
    fetched twice. Returns the number that the next report should have."""
    told = stored_reports(alice, device, number)
    seqs = [row["seq"] for row in told]
    assert sorted(seqs) == list(range(first_seq, first_seq + len(seqs))), (device, number, told)
    states = [row["state"] for row in told]
    assert [state for state in PASSAGE if state in states] == PASSAGE, states
    assert all(states.count(state) == 1 for state in PASSAGE[1:]), states
    fetched = max(row.get("fetched", 0) for row in told)
    assert size <= fetched <= size + kills * (1 << 20), (device, fetched, kills)
    return first_seq + len(seqs)


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
            eventually(lambda: is_settled(agent), 60, agent.tail)
            updates = alice.ask("device.show", {"device": agent.device})
            assert updates["version"] == new.version
            assert updates["update"]["state"] == "succeeded", updates
            assert updates["update"]["release"] == number
            next_seq[agent.device] = check_reports(alice, agent.device, number,
                                                   next_seq[agent.device], len(new.bytes),
                                                   killed - before)
    print(f"\n{killed} kills of the broker over {version - 1} releases to {len(fleet)} devices, "
          f"every update ended well, {sum(next_seq.values()) - len(fleet)} reports stored once each")
