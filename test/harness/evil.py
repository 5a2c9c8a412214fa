"""The evil broker: it owns the TLS key, the database and every word that is said, and has none of
the signing keys. A scene is one real agent that has nobody else to listen to."""
import time

import pytest

from .agent import Agent
from .broker import Broker
from .firmware import Image, filler
from .signing import Key, Trust
from .standin import StandIn

PRODUCT = "thermo"
OLD = Image(PRODUCT, "1.0", filler(300_000, 1))
NEW = Image(PRODUCT, "2.0", filler(700_000, 2))
OTHER = Image(PRODUCT, "2.0", filler(700_000, 3))
NOW = int(time.time())
YEAR = 365 * 86400


class TwoSigners(Trust):
    """Firmware needs two signatures; Ben may release to group beta only; what Carl's key signs is
    over since yesterday."""

    def document(self, **changes):
        self.second_key = getattr(self, "second_key", None) or Key("second", "ecdsa-p256")
        self.ben_key = getattr(self, "ben_key", None) or Key("ben")
        self.carl_key = getattr(self, "carl_key", None) or Key("carl")
        document = super().document()
        document["keys"] += [key.entry() for key in (self.second_key, self.ben_key,
                                                     self.carl_key)]
        document["firmware"] = {"threshold": 2,
                                "keys": [self.firmware_key.id, self.second_key.id]}
        document["releasers"] += [
            {"key": self.ben_key.id, "manager": "ben", "products": [PRODUCT],
             "groups": ["beta"], "actions": ["release"], "not_after": NOW + YEAR},
            {"key": self.carl_key.id, "manager": "carl", "products": ["*"], "groups": ["*"],
             "actions": ["release"], "not_after": NOW - 86400}]
        document["floors"] = [{"product": PRODUCT, "security_version": 1}]
        return {**document, **changes}

    def firmware(self, image, keys=None, **changes):
        return super().firmware(image, keys or [self.firmware_key, self.second_key], **changes)


class Scene:
    """One agent on a stock broker, and the stand-in that says what it likes."""

    def __init__(self, suite, directory, pki, closing, **settings):
        self.trust = TwoSigners("alice")
        self.broker = closing.keep(Broker(suite, directory / "broker", pki, plugin=None)).start()
        self.evil = closing.keep(StandIn(self.broker, self.trust)).connect()
        self.agent = closing.keep(Agent(self.broker, "d1", directory / "d1", self.trust, OLD,
                                        settings={"slot_size": "1M", **settings}))
        self.number = 0
        self.agent.start()
        self.evil.wait_hello("d1")

    def next(self):
        self.number += 1
        return self.number

    def say(self, leaf, message):
        self.evil.say("d1", leaf, message)

    def offer(self, release, firmware, image=NEW, attempt=1, **more):
        self.evil.put(image)
        self.say("offer", {"v": 1, "release": release, "firmware": firmware, "attempt": attempt,
                           "packs": [{"sha256": image.pack_digest, "size": len(image.pack)}],
                           **more})

    def boot_state(self):
        return (self.agent.directory / "state" / "boot-state").read_bytes()

    def standing(self):
        """What must not change: the bytes that run, the link, the boot state."""
        status = self.agent.status()
        return (self.agent.slot_a.read_bytes() == OLD.bytes, self.agent.current.readlink(),
                self.agent.running_bytes() == OLD.bytes, self.boot_state(),
                {key: value for key, value in status.items() if key in ("version", "boot")})

    def installs_a_good_one(self):
        """The proof that the scene can do what the attacks could not."""
        number = self.next()
        firmware = self.trust.firmware(NEW)
        self.offer(self.trust.release(PRODUCT, number, firmware), firmware)
        self.evil.wait_report("d1", "succeeded", number, seconds=60)
        assert self.agent.running_bytes() == NEW.bytes


@pytest.fixture
def scene(suite, directory, pki, closing):
    return Scene(suite, directory, pki, closing)
