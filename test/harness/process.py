"""A process that a test started: its log, its end, its signals. Only its own pid is ever
signalled."""
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from .places import PATIENCE


def eventually(condition, seconds, what):
    """Waits until condition() is true and returns its value; fails with the sentence `what`."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            detail = what() if callable(what) else what
            raise AssertionError(f"not within {seconds * PATIENCE:g} s: {detail}")
        time.sleep(0.02)


def cpu_seconds(pid):
    """CPU time of all threads that the process has, to the nanosecond where the kernel tells."""
    return sum(int((task / "schedstat").read_text().split()[0])
               for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


class Process:
    """Starts `command` with its output appended to `log_path`. Sanitizer findings go to files
    beside the log and fail the test in check()."""

    def __init__(self, name, command, log_path, environment=None, cwd=None):
        self.name = name
        self.command = [str(part) for part in command]
        self.log_path = Path(log_path)
        self.environment = environment or {}
        self.cwd = cwd
        self.process = None
        self.expected_dead = True

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        assert not self.is_running(), f"{self.name} runs already"
        report = self.log_path.with_suffix(".sanitizer")
        environment = {
            **os.environ,
            # A stock broker exits without freeing everything; leaks are for the unit tests.
            "ASAN_OPTIONS": f"detect_leaks=0:log_path={report}:abort_on_error=0:exitcode=99",
            "UBSAN_OPTIONS": f"print_stacktrace=1:log_path={report}",
            **self.environment,
        }
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=environment, cwd=self.cwd,
                                            start_new_session=True)
        self.expected_dead = False
        return self

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def tail(self, lines=40):
        return f"log of {self.name}:\n" + "\n".join(self.log().splitlines()[-lines:])

    def wait_log(self, pattern, seconds=10, since=0):
        """Waits for a line that matches; returns the match."""
        def found():
            match = re.search(pattern, self.log()[since:], re.M)
            assert match or self.is_running(), f"{self.name} ended\n{self.tail()}"
            return match
        return eventually(found, seconds, lambda: f"/{pattern}/\n{self.tail()}")

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        """kill -9: a power cut as far as the process can tell."""
        self.expected_dead = True
        if self.is_running():
            self.signal(signal.SIGKILL)
        return self.wait()

    def stop(self, seconds=20):
        """SIGTERM, and the exit status that answers it."""
        self.expected_dead = True
        if self.is_running():
            self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds=20):
        self.expected_dead = True
        try:
            return self.process.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            text = self.tail()
            self.signal(signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"{self.name} did not end in {seconds} s\n{text}") from None

    def close(self):
        """The end of a test: the process must still be as the test left it."""
        died = self.process is not None and not self.is_running() and not self.expected_dead
        status = self.process.poll() if self.process else None
        if self.is_running():
            self.stop()
        assert not died, f"{self.name} ended by itself with {status}\n{self.tail()}"
        self.check_sanitizers()

    def check_sanitizers(self):
        for report in self.log_path.parent.glob(self.log_path.stem + ".sanitizer*"):
            raise AssertionError(f"{self.name}: {report.read_text(errors='replace')[:6000]}")

    def cpu_seconds(self):
        return cpu_seconds(self.pid)

    def resident_bytes(self, key="VmRSS"):
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{key}:\s+(\d+) kB", text, re.M).group(1)) * 1024

    def private_bytes(self):
        """What no other process could share with it."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Private_Dirty:\s+(\d+) kB", text, re.M).group(1)) * 1024
