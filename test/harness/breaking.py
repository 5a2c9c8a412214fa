"""Agents whose calls are broken one at a time (breaker.c), in four stories: an update from its
start, one that is resumed, one that is taken back, one that is confirmed. The last three begin
from a copy of what a killed agent left behind."""
import itertools
import os
import random
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

from . import agent as agents_of, places
from .firmware import Image, filler
from .process import eventually
from .standin import StandIn

LIBRARY = places.BUILD / "test" / "broker" / "libbreaker.so"
OLD = Image("thermo", "1.0", filler(20_000, 1))
NEW = Image("thermo", "2.0", filler(180_000, 2))
STORIES = ("update", "resume", "revert", "confirm")
FINALS = ("succeeded", "rolled_back", "failed", "rejected", "canceled", "superseded")
SICK = {"health_command": "/bin/false", "health_timeout": "100ms"}


class Plugin(StandIn):
    """Offers the new version to `wanting` devices that say hello without it. `withheld` devices get
    no grant, `starved` ones two chunks of the image."""

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.wanting, self.withheld, self.starved, self.envelopes = set(), set(), set(), None
        self.ends = {}  # device → its final reports
        self.sources = None  # HTTPS servers that an offer names
        self.on_hello = self._offer_again

    def make_offer(self, device):
        if self.envelopes is None:
            self.envelopes = self.offer(device, NEW, 1, sources=self.sources)
        else:
            self.say(device, "offer", self.envelopes)

    def _offer_again(self, device, hello):
        if device in self.wanting and "update" not in hello and device not in self.ends:
            self.make_offer(device)

    def _on_hello(self, device, hello):
        self.grants = device not in self.withheld
        super()._on_hello(device, hello)
        del self.hellos[:]

    def _on_report(self, device, report):
        if report["state"] in FINALS:
            self.ends.setdefault(device, []).append(report)
        super()._on_report(device, report)
        del self.reports[:]

    def _on_get(self, device, get):
        if device in self.starved and get["blob"] == NEW.pack_digest:
            get = {**get, "ranges": [[first, 1] for first, _ in get["ranges"] if first < 2]}
        super()._on_get(device, get)
        del self.gets[:]


class Stage:
    """Where agents are broken: a broker, the stand-in, a template of each story."""

    def __init__(self, stock, plugin, trust, directory, stories=STORIES):
        self.stock, self.plugin, self.trust, self.directory = stock, plugin, trust, directory
        self.templates, self.numbers = {}, itertools.count()
        for story in stories[1:]:
            self.templates[story] = self._prepare(story)

    def make(self, name, story):
        """The agent of a device as the story finds it, not started."""
        settings = {"log_level": "info", "probation": "10ms", "reconnect_min": "10ms",
                    "reconnect_max": "200ms", "stop_timeout": "1s",
                    "https": "true", "https_threshold": "64k",
                    **(SICK if story == "revert" else {})}
        directory = self.directory / name
        agent = agents_of.Agent(self.stock, name, directory, self.trust, OLD, settings=settings)
        template = self.templates.get(story)
        self.plugin.wanting.discard(name)
        if not template:
            self.plugin.wanting.add(name)
        else:
            for path in ("slot-a", "slot-b", "state"):
                source = template / path
                (shutil.copytree if source.is_dir() else shutil.copy)(source, directory / path)
            target = os.readlink(template / "current")
            agent.current.symlink_to(directory / os.path.basename(target))
        return agent

    def _prepare(self, story):
        name = f"template-{story}"
        held = self.plugin.starved if story == "resume" else self.plugin.withheld
        held.add(name)
        agent = self.make(name, "update").start()
        if story == "resume":
            eventually(lambda: agent.slot_b.exists() and
                       agent.slot_b.read_bytes()[:65536] == NEW.bytes[:65536], 30, agent.tail)
        else:
            agent.wait_log("the health check passed", 30)
        cut(agent)
        (agent.directory / "state" / "control").unlink()
        return agent.directory


def cut(agent):
    """kill -9 of the agent and of its application: a power cut as far as they can tell."""
    if agent.process:
        agent.kill()
    try:
        pid = int((agent.directory / "state" / "application.run").read_text().split()[0])
        if os.readlink(f"/proc/{pid}/exe").endswith("/sleep"):
            os.kill(pid, 9)
    except (OSError, ValueError, IndexError):
        pass  # none was started, or it has ended


def broken(agent, what, when, last=None):
    """Breaks these calls from its next start on; `when` 0 only counts them."""
    agent.environment = {"LD_PRELOAD": str(LIBRARY), "BREAK_WHAT": str(what),
                         "BREAK_WHEN": str(when), "BREAK_LAST": str(last or when),
                         "BREAK_UNDER": str(agent.directory / ("slot-" if what == "lie" else "")),
                         "BREAK_LOG": str(agent.directory / "broken")}
    return agent


def notes(agent):
    """The names of the calls that were broken, and how many there were in all (0 for an agent
    that did not come to its end)."""
    path = agent.directory / "broken"
    lines = path.read_text().split("\n") if path.exists() else []
    pairs = [line.rsplit(" ", 1) for line in lines if line]
    return ([name for name, _ in pairs if name != "count"],
            sum(int(number) for name, number in pairs if name == "count"))


def is_settled(agent):
    """Idle, and every report acknowledged. An agent that only just started does not answer."""
    reports = agent.directory / "state" / "reports"
    if not reports.is_dir() or any(reports.iterdir()):
        return False
    done = subprocess.run([*agent.command, "status"], capture_output=True, text=True)
    return "state idle\n" in done.stdout and "reports 0\n" in done.stdout


class Outcome:
    """What became of one story with one break in it."""

    def __init__(self, agent, status, end):
        self.struck, self.calls = notes(agent)
        self.status = status  # of the broken agent's process; None: it lived to the story's end
        self.end = end        # the final report

    @property
    def name(self):
        return self.end.get("error", {}).get("name", self.end["state"])


def play(stage, story, what, when, check, last=None):
    """One story with one break, then without, on a device of its own: what the broker still holds
    for another cannot reach it. check(outcome, text) judges."""
    name = f"k{next(stage.numbers)}"
    plugin, where = stage.plugin, f"{story}: {what} at {when}"
    plugin.is_there()
    agent = broken(stage.make(name, story), what, when, last).start()
    try:
        agent.expected_dead = True
        eventually(lambda: plugin.is_there() and
                   (not agent.is_running() or name in plugin.ends), 60,
                   lambda: f"{where}: neither an end nor a death\n{agent.tail(80)}")
        status = agent.process.poll()
        if when:
            agent.kill()
            agent.environment = {}
            agent.start()
        eventually(lambda: plugin.is_there() and name in plugin.ends and is_settled(agent), 60,
                   lambda: f"{where}: {plugin.ends.get(name)}\n{agent.tail(80)}")
        if not when:
            agent.stop()
        # One whose end the journal could not note tells it again, in the same words.
        ends = plugin.ends[name]
        told = {(end["state"], end.get("error", {}).get("name")) for end in ends}
        assert len(told) == 1, f"{where}: {ends}\n{agent.tail(80)}"
        outcome = Outcome(agent, status, ends[-1])
        running = agent.running_bytes()
        wanted = NEW if outcome.end["state"] == "succeeded" else OLD
        assert running == wanted.bytes, f"{where}: {outcome.end}, {len(running)} bytes run"
        assert agent.slot_a.read_bytes() == OLD.bytes, f"{where}: the old version was written to"
        assert outcome.end["version"] == wanted.version, f"{where}: {outcome.end}"
        check(outcome, f"{where} ({outcome.struck}): {outcome.end}\n{agent.tail(80)}")
    finally:
        cut(agent)
    shutil.rmtree(agent.directory, ignore_errors=True)
    return outcome


def count_calls(stage, story, what):
    """How many calls there are to be broken in one whole story."""
    return play(stage, story, what, 0, lambda outcome, text: None).calls


def play_all(stage, points, check):
    """`points` are (story, what, when). Their outcomes in the same order; those that went wrong
    are all told together, at the end."""
    wrong = []

    def one(point):
        try:
            return play(stage, *point, check)
        except AssertionError as fault:
            wrong.append(f"{point}: {fault}")
            return None

    with ThreadPoolExecutor(8 if len(points) < 200 else 32) as pool:
        outcomes = list(pool.map(one, points))
    assert not wrong, f"{len(wrong)} of {len(points)} points:\n\n" + "\n\n".join(wrong)
    return outcomes


def share(points, most, number=0, of=1):
    """At most `most` of the points, the same ones each time; or one of `of` equal shares."""
    chosen = random.Random(7).sample(points, len(points))[number::of]
    return chosen[:most]
