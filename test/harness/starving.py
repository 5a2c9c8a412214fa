"""Agents whose n-th allocation fails, n one greater in each life, until a life needs no more: the
allocations of our own code and of all libraries alike.

Lives follow each other on one device, so that each goes on from what the last one left behind; a
device whose story has ended makes place for a new one."""
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from . import breaking, places
from .breaking import NEW, OLD

NO_MEMORY = 71  # the status of a process that a library's call found without memory
NAMED = {NO_MEMORY: "error: memory is exhausted: ", 1: "(out_of_memory)"}
LIFE_SECONDS = 60 * places.PATIENCE


class Life:
    """One start of the agent, from its first allocation to its own end, or to the story's."""

    def __init__(self, agent, number, ends):
        agent.log_path.unlink(missing_ok=True)
        (agent.directory / "broken").unlink(missing_ok=True)
        breaking.broken(agent, "memory", number).start()
        agent.expected_dead = True
        self.number, self.status = number, None
        deadline = time.monotonic() + LIFE_SECONDS
        while self.status is None and not (ends() and breaking.is_settled(agent)):
            assert time.monotonic() < deadline, f"neither an end nor a death\n{agent.tail(80)}"
            try:
                self.status = agent.process.wait(0.1)
            except subprocess.TimeoutExpired:
                pass
        self.struck = bool(breaking.notes(agent)[0])
        self.log = agent.log()

    def judge(self):
        """It lived, or ended by name."""
        assert self.status is None or NAMED.get(self.status, "\0") in self.log, \
            f"ended with {self.status}\n{self.log}"


class Starving:
    """The lives of one story. `counts` is what became of them."""

    def __init__(self, stage, story, numbers):
        self.stage, self.story, self.numbers = stage, story, numbers
        self.counts = {"lives": 0, "struck": 0, "named ends": 0, "lived on": 0, "stories": 0}
        self.agent, self.device, self.clean = None, None, None
        self.wrong, self.ends = [], {}

    def run(self):
        for number in self.numbers:
            try:
                while not self._live(number):
                    pass  # the story was at its end before; a new device has more to do
            except AssertionError as fault:
                self.wrong.append(f"{self.story}: allocation {number}: {fault}")
                self._leave()
            if self.clean:
                break
        self._leave()
        return self

    def _live(self, number):
        """True when it was struck, or lived through the whole story without."""
        plugin = self.stage.plugin
        fresh = self.agent is None
        if fresh:
            self.device = f"s{next(self.stage.numbers)}"
            self.agent = self.stage.make(self.device, self.story)
        life = Life(self.agent, number, lambda: plugin.is_there() and self.device in plugin.ends)
        life.judge()
        self.counts["lives"] += 1
        self.counts["struck"] += life.struck
        self.counts["named ends"] += life.status is not None
        self.counts["lived on"] += life.status is None and life.struck
        running = self.agent.running_bytes() if self.agent.current.exists() else OLD.bytes
        assert running in (OLD.bytes, NEW.bytes), f"{len(running)} bytes run\n{life.log}"
        assert self.agent.slot_a.read_bytes() == OLD.bytes, f"slot a was written to\n{life.log}"
        if life.status is None:
            self._end(plugin.ends[self.device][-1], running, life.log)
            self._leave()
            if fresh and not life.struck:
                self.clean = number
        return life.struck or fresh

    def _end(self, end, running, log):
        name = end.get("error", {}).get("name", end["state"])
        wanted = NEW if end["state"] == "succeeded" else OLD
        assert running == wanted.bytes and end["version"] == wanted.version, f"{end}\n{log}"
        self.counts["stories"] += 1
        self.ends[name] = self.ends.get(name, 0) + 1

    def _leave(self):
        if self.agent:
            breaking.cut(self.agent)
            subprocess.run(["rm", "-rf", self.agent.directory], check=False)
        self.agent = None


def starve(stage, stories, numbers, chains=1):
    """`chains` devices of each story share the numbers, each taking every chains-th."""
    todo = [Starving(stage, story, numbers[first::chains])
            for first in range(chains) for story in stories]
    with ThreadPoolExecutor(max_workers=int(os.environ.get("OTA_THREADS", "32"))) as pool:
        done = list(pool.map(Starving.run, todo))
    wrong = [text for each in done for text in each.wrong]
    assert not wrong, f"{len(wrong)} lives went wrong\n\n" + "\n\n".join(wrong[:40])
    return done
