"""The fixtures of the broker tests, and a console over the same broker."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from broker.conftest import *  # noqa: E402,F401,F403
from harness.console import Console  # noqa: E402


@pytest.fixture
def consoles(broker, directory, closing):
    """consoles(settings={…}) is a running console."""
    def make(name="console", **how):
        return closing.keep(Console(broker, directory / name, name, **how)).start()
    return make


@pytest.fixture
def console(consoles):
    return consoles()


@pytest.fixture
def tokens(alice):
    """tokens("viewer") is the text of a new token with that role in all products."""
    def make(role="admin", product="*", name="someone", days=1):
        made = alice.ask("token.create", {"name": name, "product": product, "role": role,
                                          "days": days})
        return made["secret"]
    return make


@pytest.fixture
def api(console, tokens):
    """The REST API as an admin of all products."""
    return console.api(tokens("admin"))
