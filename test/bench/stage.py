"""What the benches share: brokers with the reference configuration, fleets, medians, and results beside their
targets. Only ratios of one run mean anything: each bench measures its peer beside us, in turn."""
import json
import os
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "test"))

from harness import places  # noqa: E402
from harness.fleetsim import Fleetsim  # noqa: E402
from harness.manager import Manager  # noqa: E402
from harness.nginx import Nginx  # noqa: E402
from harness.reference import ReferenceBroker  # noqa: E402
from harness.signing import Trust  # noqa: E402
from pki import Pki  # noqa: E402

SUITE = os.environ.get("OTA_SUITE", "bookworm")
ROUNDS = int(os.environ.get("OTA_BENCH_ROUNDS", "3"))
RESULTS = TREE / "doc" / "bench"
GIB = 1 << 30
# Guards that a fleet behind one address, or one flooding on purpose, would run into.
OPEN_GUARDS = {"connects_per_minute": 1000, "messages_per_second": 1000, "messages_burst": 10000,
               "max_concurrent": 1000000}


class Stage:
    """One bench: `with Stage("notify") as stage`. Everything it started ends with it."""

    def __init__(self, name):
        self.name = name
        self.rows, self.notes = [], []

    def __enter__(self):
        self._temporary = tempfile.TemporaryDirectory(prefix="ota-bench-")
        self.directory = Path(self._temporary.name)
        self.pki = Pki(self.directory / "pki")
        self.trust = Trust("alice")
        self.things = []
        self.count = 0
        return self

    def __exit__(self, kind, *_):
        for thing in reversed(self.things):
            thing.close()
        self._temporary.cleanup()
        if not kind:
            self._save()

    def keep(self, thing):
        self.things.append(thing)
        return thing

    def end(self, *things):
        """Ends these now."""
        for thing in things:
            self.things.remove(thing)
            thing.close()

    def broker(self, plugin=True, **options):
        self.count += 1
        own = self.directory / f"broker{self.count}"
        own.mkdir()
        (own / "root.json").write_text(self.trust.root)
        if not plugin:
            broker = ReferenceBroker(SUITE, own, self.pki, plugin=None)
        else:
            broker = ReferenceBroker(SUITE, own, self.pki, options={
                "trust_root": own / "root.json", "admin": "alice", **OPEN_GUARDS, **options})
        return self.keep(broker).start()

    def nginx(self):
        self.count += 1
        return self.keep(Nginx(self.pki, self.directory / f"nginx{self.count}"))

    def alice(self, broker):
        return self.keep(Manager(broker, "alice")).connect()

    def fleet(self, broker, count, **options):
        self.count += 1
        log = self.directory / f"fleet{self.count}.log"
        return self.keep(Fleetsim(broker, log, count, **options)).start()

    def product(self, alice, count, prefix="d"):
        """A product whose devices are approved beforehand."""
        alice.ask("product.create", {"name": "thermo", "default_hardware": "board-1"})
        names = [f"{prefix}{n}" for n in range(1, count + 1)]
        for at in range(0, count, 1000):
            alice.ask("device.import", {"product": "thermo", "devices": names[at:at + 1000]}, 60)
        return "thermo"

    def row(self, what, ours, peer, unit, most=None, peer_name="", least=None):
        """One line of the table: ours and the peer's in the same unit; `most` (or `least`) is
        the target of the ratio."""
        ratio = ours / peer if peer else None
        met = None
        if ratio is not None and most is not None:
            met = ratio <= most
        elif ratio is not None and least is not None:
            met = ratio >= least
        self.rows.append({"what": what, "ours": ours, "peer": peer, "peer_name": peer_name,
                          "unit": unit, "ratio": ratio, "most": most, "least": least,
                          "met": met})
        self._tell(self.rows[-1])

    def bound(self, what, ours, unit, most):
        """A line with a target of its own instead of a peer."""
        self.rows.append({"what": what, "ours": ours, "peer": None, "peer_name": "",
                          "unit": unit, "ratio": None, "bound": most, "met": ours <= most})
        self._tell(self.rows[-1])

    def figure(self, what, ours, unit):
        self.rows.append({"what": what, "ours": ours, "peer": None, "peer_name": "",
                          "unit": unit, "ratio": None, "met": None})
        self._tell(self.rows[-1])

    def note(self, text):
        self.notes.append(text)
        print(f"  {text}", flush=True)

    def _tell(self, row):
        text = f"{self.name}: {row['what']}: {row['ours']:.4g} {row['unit']}"
        if row["peer"] is not None:
            text += f", {row['peer_name']} {row['peer']:.4g}, ratio {row['ratio']:.2f}"
        if row.get("most") is not None:
            text += f" (at most {row['most']})"
        if row.get("least") is not None:
            text += f" (at least {row['least']})"
        if row.get("bound") is not None:
            text += f" (at most {row['bound']})"
        if row["met"] is not None:
            text += " met" if row["met"] else " MISSED"
        print(text, flush=True)

    def _save(self):
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"{self.name}.json").write_text(json.dumps({
            "name": self.name, "suite": SUITE, "mosquitto": places.broker_version(SUITE),
            "rounds": ROUNDS, "load": round(os.getloadavg()[1], 1), "machine": machine(),
            "time": int(time.time()), "rows": self.rows, "notes": self.notes}, indent=1) + "\n")


def machine():
    """The processor's name, and how many of it."""
    found = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return f"{len(found)} × {found[0]}" if found else "an unknown machine"


def unwaved():
    """How a release goes to all at once, whatever becomes of it."""
    return {"thresholds": {"success": 0, "errors": 10000, "error_count": 1000000, "sample": 1,
                           "bake_s": 0, "silence_s": 3600}}


def neighbour(stage, broker):
    """A client that has nothing to do with OTA and sends to itself through the broker. Its process
    goes before others, so that what it measures is the broker and not the wait for a processor."""
    pinger = stage.fleet(broker, 1, prefix="neighbour", raw="neighbour", echo="10ms")
    if os.getuid() == 0:
        os.setpriority(os.PRIO_PROCESS, pinger.pid, -10)
    pinger.join(60)
    return pinger


def median(values):
    return statistics.median(values)


def rounds(measure):
    """measure() several times; the median of each of what it returns."""
    taken = [measure() for _ in range(ROUNDS)]
    if isinstance(taken[0], tuple):
        return tuple(median(column) for column in zip(*taken))
    return median(taken)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
