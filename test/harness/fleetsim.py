"""fleetsim as a process: a fleet of simulated devices that a test commands and asks."""
import json
import queue
import subprocess
import threading
import time

from . import places

FLEETSIM = places.BUILD / "test" / "fleet" / "fleetsim"


class Fleetsim:
    """`options` are those of `fleetsim --help`, with _ for -."""

    def __init__(self, broker, log_path, count, **options):
        self.log_path = log_path
        lines = {"broker": "localhost", "port": broker.port, "ca": broker.pki.ca,
                 "ca-key": broker.pki.authority.key_path, "count": count, "commands": "true",
                 **{key.replace("_", "-"): value for key, value in options.items()}}
        fates = lines.pop("fate", [])
        self.command = [str(FLEETSIM), *(f"--{key}={value}" for key, value in lines.items()),
                        *(f"--fate={fate}" for fate in fates)]
        self.process = None
        self.lines = queue.Queue()

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=log, text=True)
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    @property
    def pid(self):
        return self.process.pid

    def _ended(self):
        return f"fleetsim ended: {self.log_path.read_text()[-2000:]}"

    def tell(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise AssertionError(self._ended()) from None

    def _next(self, seconds):
        figures = self.lines.get(timeout=seconds)
        assert figures is not None, self._ended()
        return figures

    def status(self, seconds=30):
        self.tell("status")
        return self._next(seconds)

    def wait(self, condition, seconds, what, pause=0.2):
        """Asks until condition(figures) is true; returns the figures."""
        deadline = time.monotonic() + seconds * places.PATIENCE
        while True:
            figures = self.status()
            if condition(figures):
                return figures
            assert time.monotonic() < deadline, \
                f"not within {seconds:g} s: {what() if callable(what) else what}: {figures}"
            time.sleep(pause)

    def join(self, seconds=60):
        """Waits until every device has been welcomed."""
        return self.wait(lambda now: now["joined"] == now["devices"], seconds, "all joined")

    def finish(self, seconds=120):
        """Waits until every device has ended an update."""
        return self.wait(lambda now: now["finished"] == now["devices"], seconds, "all finished")

    def close(self):
        """Stops it; nothing that no honest broker sends may have come."""
        if not self.process or self.process.poll() is not None:
            return
        self.tell("stop")
        last = None
        while (figures := self.lines.get(timeout=60)) is not None:
            last = figures
        self.process.stdin.close()
        status = self.process.wait(60)
        assert last and last["broken"] == 0, last
        assert status == 0, f"fleetsim: {status}\n{self.log_path.read_text()[-2000:]}"
