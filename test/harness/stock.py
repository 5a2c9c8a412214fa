"""Fixtures for tests of the agent alone: a stock Mosquitto, a stand-in where the plugin would be, and
agents that run OLD from the factory. A test module imports those it uses."""
import pytest

from . import agent as agents_of
from .broker import Broker
from .firmware import Image, filler
from .relay import Relay
from .standin import StandIn

OLD = Image("thermo", "1.0", filler(300_000, 1))


def image(version, size=700_000):
    return Image("thermo", version, filler(size, int(version[0]) + 10))


@pytest.fixture
def stock(suite, directory, pki, closing):
    return closing.keep(Broker(suite, directory / "broker", pki, plugin=None, quiet=True)).start()


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


@pytest.fixture
def relay(stock, closing):
    return closing.keep(Relay(stock.port))


def relayed(agent, relay):
    agent.configure(broker=f"localhost:{relay.port}")
    return agent
