"""Where things are: the tree, the build under test, the brokers that `./dev brokers` fetched."""
import fcntl
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
STATE = Path(os.environ.get("OTA_DEV_DIR", TREE / ".dev"))
SUITES = ("bookworm", "trixie", "sid")
# A loaded machine with sanitizers is slow: every deadline of a test is multiplied by this.
PATIENCE = float(os.environ.get("OTA_TEST_PATIENCE", "1"))
# Its code and memory are in what is measured.
SANITIZED = os.environ.get("OTA_SANITIZED") == "1"


def patient(seconds):
    """So long, on a machine like this one, as a setting of a program under test."""
    return f"{round(seconds * PATIENCE * 1000)}ms"


sys.path.insert(0, str(TREE / "certs"))


def build_directory():
    """OTA_BUILD, or the first build directory that holds a plugin."""
    if "OTA_BUILD" in os.environ:
        return Path(os.environ["OTA_BUILD"])
    for name in ("build/gcc", "build", "build/asan"):
        if (TREE / name / "plugin" / "mosquitto_ota.so").exists():
            return TREE / name
    return TREE / "build/gcc"


BUILD = build_directory()
PLUGIN = BUILD / "plugin" / "mosquitto_ota.so"
AGENT = Path(os.environ.get("OTA_AGENT", BUILD / "agent" / "ota-agent"))
SLOT = Path(os.environ.get("OTA_SLOT", BUILD / "agent" / "ota-slot"))
OTACTL = BUILD / "manager" / "otactl"


def broker_program(suite):
    """The wrapper that starts the broker of that suite, or None."""
    path = STATE / "brokers" / suite / "run.sh"
    return path if path.exists() else None


def broker_version(suite):
    return os.readlink(STATE / "brokers" / suite)


def sanitizer_libraries(binary):
    """The sanitizers' runtimes that a binary was linked with, in the order to preload them."""
    out = subprocess.run(["ldd", str(binary)], check=True, capture_output=True, text=True).stdout
    found = dict(re.findall(r"lib(asan|ubsan)\.so\S* => (\S+)", out))
    return [found[name] for name in ("asan", "ubsan") if name in found]


class Port:
    """A free TCP port that no other test process takes while this object lives. Below the range
    from which the kernel picks ports of outgoing connections, so a broker that restarts finds
    its own again."""

    FIRST, LAST = 21000, 31999
    _next = FIRST + os.getpid() * 37 % (LAST - FIRST)

    def __init__(self):
        locks = Path("/tmp/mosquitto-ota-ports")
        locks.mkdir(mode=0o1777, exist_ok=True)
        for _ in range(self.LAST - self.FIRST):
            number = Port._next
            Port._next = number + 1 if number < self.LAST else self.FIRST
            self._lock = os.open(locks / str(number), os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", number))
                self.number = number
                return
            except OSError:
                os.close(self._lock)
        raise RuntimeError("no free port")

    def release(self):
        os.close(self._lock)
