"""Fixtures of the broker tests: real Mosquittos with our plugin inside, clients of every role,
real agents.

Each test runs once for each suite's Mosquitto, or for the one that OTA_SUITE names (ctest does
that). OTA_BUILD names the build under test. Nothing is shared between two tests but the PKI and
the signing keys."""
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import places  # noqa: E402
from harness.agent import Agent, Otactl  # noqa: E402
from harness.broker import Broker  # noqa: E402
from harness.device import Device  # noqa: E402
from harness.firmware import Image, filler  # noqa: E402
from harness.fleetsim import Fleetsim  # noqa: E402
from harness.manager import Manager  # noqa: E402
from harness.signing import Trust  # noqa: E402
from pki import Pki  # noqa: E402


def pytest_generate_tests(metafunc):
    if "suite" in metafunc.fixturenames:
        only = os.environ.get("OTA_SUITE")
        metafunc.parametrize("suite", [only] if only else places.SUITES, indirect=True)


@pytest.fixture
def suite(request):
    """The name of a Debian suite whose Mosquitto `./dev brokers` has fetched. One that is
    missing is an error in CI and a loud skip elsewhere."""
    if not places.broker_program(request.param):
        reason = f"SUITE NOT REACHED: no Mosquitto of {request.param}; run ./dev brokers"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return request.param


@pytest.fixture(scope="session")
def session_directory():
    with tempfile.TemporaryDirectory(prefix="ota-") as directory:
        yield Path(directory)


@pytest.fixture
def directory():
    """Empty, and gone after the test."""
    with tempfile.TemporaryDirectory(prefix="ota-") as path:
        yield Path(path)


@pytest.fixture(scope="session")
def pki(session_directory):
    """One PKI for all tests; who revokes takes fresh_pki."""
    return Pki(session_directory / "pki")


@pytest.fixture
def fresh_pki(directory):
    return Pki(directory / "pki")


@pytest.fixture(scope="session")
def trust():
    return Trust("alice")


class Closing:
    """Makes things for one test and closes them in reverse order; every close is tried."""

    def __init__(self):
        self.things = []

    def keep(self, thing):
        self.things.append(thing)
        return thing

    def close(self):
        errors = []
        while self.things:
            try:
                self.things.pop().close()
            except Exception as error:  # the first is raised once all are closed
                errors.append(error)
        if errors:
            raise errors[0]


@pytest.fixture
def closing():
    closing = Closing()
    yield closing
    closing.close()


@pytest.fixture
def brokers(suite, directory, pki, trust, closing):
    """Makes brokers that are not started yet: brokers(identity="b", options={…})."""
    def make(name="broker", **how):
        own = directory / name
        own.mkdir(parents=True, exist_ok=True)
        (own / "root.json").write_text(trust.root)
        if how.get("plugin", places.PLUGIN):
            how["options"] = {"trust_root": own / "root.json", "admin": "alice",
                              **how.get("options", {})}
        return closing.keep(Broker(suite, own, how.pop("pki", pki), **how))
    return make


@pytest.fixture
def broker(brokers):
    """A running broker with our plugin, identity bound by Mosquitto's own options."""
    return brokers().start()


@pytest.fixture
def managers(broker, closing):
    """managers("alice") is a connected manager; its certificate is made when needed."""
    def make(name="alice", **how):
        return closing.keep(Manager(how.pop("broker", broker), name, **how)).connect()
    return make


@pytest.fixture
def alice(managers):
    """The first admin."""
    return managers("alice")


@pytest.fixture
def product(alice):
    """A product that approves nobody by itself."""
    alice.ask("product.create", {"name": "thermo", "default_hardware": "board-1"})
    return "thermo"


@pytest.fixture
def devices(broker, alice, product, closing):
    """devices(3) are three approved light devices d1 … d3, connected, hello said;
    join=False leaves them unconnected."""
    def make(count, first=1, join=True, **how):
        names = [f"d{number}" for number in range(first, first + count)]
        for at in range(0, count, 1000):
            alice.ask("device.import", {"product": product, "devices": names[at:at + 1000]})
        made = [closing.keep(Device(broker, name, product, **how)) for name in names]
        if join:
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(Device.join, made))
        return made
    return make


@pytest.fixture
def agents(broker, alice, product, directory, trust, closing):
    """agents("d1") is a real ota-agent of an approved device, configured and not started. From
    the factory it runs version 1.0, unless `image` says otherwise."""
    def make(name, image=None, approve=True, **how):
        if approve:
            alice.ask("device.import", {"product": product, "devices": [name]})
        image = image or Image(product, "1.0", filler(100_000, 1))
        return closing.keep(Agent(how.pop("broker", broker), name, directory / "agents" / name,
                                  trust, image, product, **how))
    return make


@pytest.fixture
def fleets(broker, alice, product, directory, trust, closing):
    """fleets(500, vanish=100) is a running fleetsim of approved devices d1 … d500."""
    # once: a fleet that has just been started may still be reading it
    (directory / "fleet-root.json").write_text(trust.root)

    def make(count, first=1, **options):
        names = [f"d{number}" for number in range(first, first + count)]
        for at in range(0, count, 1000):
            alice.ask("device.import", {"product": product, "devices": names[at:at + 1000]})
        return closing.keep(Fleetsim(broker, directory / f"fleet{first}.log", count, first=first,
                                     product=product, root=directory / "fleet-root.json",
                                     **options)).start()
    return make


@pytest.fixture
def otactl(broker, directory, trust):
    """otactl("device", "list") runs it as alice."""
    return Otactl(broker, directory / "otactl", trust)
