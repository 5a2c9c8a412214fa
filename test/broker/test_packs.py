"""Packs of the real encoder that are not what they should be: damaged on the way, damaged in the
store, missing, or against a base that is damaged on the device."""
from pathlib import Path

import pytest
from harness import agent as agents_of
from harness.broker import Broker
from harness.firmware import Image
from harness.manager import update_of, wait_state
from harness.process import eventually
from harness.standin import StandIn

SEGMENT = 262144
HEADER, ENTRY = 96, 8
PROGRAM = Path("/usr/bin/openssl")


def versions(product):
    """A real program, and what a new build makes of it: words change, and code moves."""
    old = (PROGRAM.read_bytes() * 3)[:1_900_000]
    at = len(old) // 2
    new = old[:at] + bytes(range(256)) * 12 + old[at:].replace(b"error", b"eRRor")
    return (Image(product, "1.0", old, SEGMENT), Image(product, "2.0", new, SEGMENT))


MADE = {}  # the packs, made once


def make(otactl, broker, old, new):
    """{"delta", "whole"}: otactl's packs of `new`."""
    for image in (old, new):
        (otactl.home / f"image-{image.version}").write_bytes(image.bytes)
    path = otactl.home / f"image-{new.version}"
    otactl("firmware", "sign", path, "--version", new.version, "--hardware", "board-1")
    otactl("firmware", "push", path, "--delta-from", "none", "--base",
           otactl.home / f"image-{old.version}")
    return {"delta" if "base" in pack else "whole":
            (broker.store / "blobs" / pack["sha256"][:2] / pack["sha256"]).read_bytes()
            for pack in otactl.json("firmware", "show", new.version)["packs"]}


class Packs:
    """Version 2.0 with two packs of the real encoder, one against 1.0 and one that needs nothing."""

    def __init__(self, otactl, broker, alice, trust, product):
        self.old, self.new = versions(product)
        if not MADE:
            alice.close()  # otactl is alice, too
            MADE.update(make(otactl, broker, self.old, Image(product, "0.9", self.new.bytes,
                                                             SEGMENT)))
            alice.connect()
        self.envelope = trust.firmware(self.new)
        alice.upload(product, self.new.index)
        digests = [alice.upload(product, MADE[which]) for which in ("delta", "whole")]
        alice.ask("firmware.add", {"firmware": self.envelope, "packs": digests})
        self.delta, self.whole = [broker.store / "blobs" / digest[:2] / digest
                                  for digest in digests]
        self.sizes = [len(MADE["delta"]), len(MADE["whole"])]
        assert self.sizes[0] * 10 < self.sizes[1], "that delta is worth nothing"


@pytest.fixture
def packs(otactl, broker, alice, trust, product):
    return Packs(otactl, broker, alice, trust, product)


@pytest.fixture
def agent(agents, packs):
    """Runs the base, and has verified it."""
    agent = agents("d1", image=packs.old).start()
    eventually(lambda: "knows this device" in agent.log(), 20, agent.tail)
    return agent


def fetched(alice):
    items = alice.ask("device.log", {"device": "d1", "release": 1, "limit": 100})["items"]
    return max(item.get("fetched", 0) for item in items)


def release(alice, trust, packs, product):
    alice.release(trust, packs.envelope, product, mode="fast")


def test_the_delta_is_all_that_is_fetched(alice, agent, trust, product, packs):
    release(alice, trust, packs, product)
    wait_state(alice, agent, "succeeded")
    assert agent.running_bytes() == packs.new.bytes
    assert fetched(alice) == packs.sizes[0] + len(packs.new.index)


def test_a_base_that_is_damaged_costs_the_segments_that_read_it(alice, agent, trust, product,
                                                                packs):
    with open(agent.slot_a, "r+b") as slot:
        slot.seek(300_000)
        slot.write(b"\xff" * 3000)
    release(alice, trust, packs, product)
    wait_state(alice, agent, "succeeded")
    assert agent.running_bytes() == packs.new.bytes
    bytes_fetched = fetched(alice)
    print(f"\ndamaged base: {bytes_fetched} bytes fetched; the delta has {packs.sizes[0]}, the "
          f"whole {packs.sizes[1]}")
    assert packs.sizes[0] < bytes_fetched < packs.sizes[0] + packs.sizes[1]
    assert update_of(alice)["state"] == "succeeded"


def test_a_delta_that_is_missing_costs_the_whole_pack(alice, agent, trust, product, packs):
    packs.delta.unlink()
    release(alice, trust, packs, product)
    wait_state(alice, agent, "succeeded")
    assert agent.running_bytes() == packs.new.bytes
    assert fetched(alice) == packs.sizes[1] + len(packs.new.index)


def test_with_every_pack_missing_the_update_fails_by_name(alice, agent, trust, product, packs):
    packs.delta.unlink()
    packs.whole.unlink()
    release(alice, trust, packs, product)
    eventually(lambda: "error" in update_of(alice), 60, agent.tail)
    assert update_of(alice)["error"]["name"] == "chunk_refused"
    assert agent.running_bytes() == packs.old.bytes


def test_a_damaged_base_and_no_whole_pack_fails_by_name(alice, agent, trust, product, packs):
    with open(agent.slot_a, "r+b") as slot:
        slot.seek(300_000)
        slot.write(b"\xff" * 3000)
    packs.whole.unlink()
    release(alice, trust, packs, product)
    eventually(lambda: update_of(alice).get("error", {}).get("name") == "chunk_refused", 60,
               agent.tail)
    assert agent.running_bytes() != packs.new.bytes


# --- each field of a pack, corrupted in turn ---

def fields(pack):
    """name → (place, bytes) of every field of the header and of the table's first and last entry."""
    count = int.from_bytes(pack[28:32], "big")
    table = {"magic": (0, 4), "version": (4, 1), "zeroes": (5, 3), "image size": (8, 8),
             "base size": (16, 8), "segment size": (24, 4), "group count": (28, 4),
             "image digest": (32, 32), "base digest": (64, 32)}
    for name, group in (("first", 0), ("last", count - 1)):
        at = HEADER + ENTRY * group
        table |= {f"{name} group's encoding": (at, 1), f"{name} group's segments": (at + 1, 3),
                  f"{name} group's length": (at + 4, 4)}
    body = HEADER + ENTRY * count
    return table | {"first byte of data": (body, 1), "some byte of data": ((body + len(pack)) // 2, 1),
                    "last byte": (len(pack) - 1, 1)}


def corrupted(pack):
    """(what was done, the pack with it): each field with a bit flipped, all zero, all ones."""
    for name, (at, size) in fields(pack).items():
        old = pack[at:at + size]
        for what, new in (("a bit flipped", old[:-1] + bytes([old[-1] ^ 1])),
                          ("zeroes", bytes(size)), ("ones", b"\xff" * size)):
            if new != old:
                yield f"{name}: {what}", pack[:at] + new + pack[at + size:]
    yield "a byte short", pack[:-1]
    yield "a byte long", pack + b"\0"
    yield "empty but for the header", pack[:HEADER]


DEVICES = 10


@pytest.fixture
def stage(suite, directory, pki, trust, closing, packs):
    """Ten agents on a broker without the plugin, and the stand-in that serves what it is given."""
    broker = closing.keep(Broker(suite, directory / "stock", pki, plugin=None, quiet=True)).start()
    evil = closing.keep(StandIn(broker, trust)).connect()
    agents = [closing.keep(agents_of.Agent(broker, f"e{number}", directory / f"e{number}", trust,
                                           packs.old)).start() for number in range(DEVICES)]
    for agent in agents:
        evil.wait_hello(agent.device)
    evil.put(packs.new)
    return evil, agents


NAMES = ("segment_hash_mismatch", "image_hash_mismatch", "size_mismatch", "chunk_refused",
         "manifest_invalid")


def end_of(evil, agent, number, name):
    """The final report of that release."""
    def found():
        return next((report for device, report in evil.reports
                     if (device, report["release"]) == (agent.device, number) and
                     report["state"] in ("failed", "succeeded", "rejected", "rolled_back")), None)
    return evil.wait(found, 60, f"the end of: {name}\n{agent.tail(10)}")


@pytest.mark.parametrize("which", ["delta", "whole"])
def test_a_pack_with_any_field_corrupted_installs_nothing(stage, packs, which):
    evil, agents = stage
    base = {"base": packs.old.digest} if which == "delta" else {}
    content = (packs.delta if which == "delta" else packs.whole).read_bytes()
    cases = list(corrupted(content))
    assert len(cases) > 40
    wrong, harmless = [], []
    for number in range(1, len(cases) + 1):
        batch = list(zip(agents, cases))
        if not batch:
            break
        del cases[:len(batch)]
        for agent, (name, pack) in batch:
            blob = Image("", "", pack).digest  # whoever corrupts it names it anew
            evil.blobs[blob] = pack
            evil.offer(agent.device, packs.new, number, packs=[
                {"sha256": blob, "size": len(pack), **base}])
        for agent, (name, pack) in batch:
            report = end_of(evil, agent, number, name)
            if report["state"] == "succeeded":  # a bit that means nothing
                harmless.append(name)
                assert agent.running_bytes() == packs.new.bytes, name
                agents.remove(agent)
            elif agent.running_bytes() != packs.old.bytes:
                wrong.append(f"{name}: something else runs")
            elif report["error"]["name"] not in NAMES:
                wrong.append(f"{name}: {report['error']}")
    assert not wrong, "\n".join(wrong)
    assert all("byte" in name for name in harmless), harmless  # of data, never of a field
    # With a good pack beside it the update goes well.
    evil.blobs[packs.whole.name] = packs.whole.read_bytes()
    agent, pack = agents[0], bytes(1) + content[1:]
    evil.blobs[Image("", "", pack).digest] = pack
    evil.offer(agent.device, packs.new, 100, packs=[
        {"sha256": Image("", "", pack).digest, "size": len(pack), **base},
        {"sha256": packs.whole.name, "size": packs.sizes[1]}])
    evil.wait_report(agent.device, "succeeded", 100, seconds=60)
    assert agent.running_bytes() == packs.new.bytes
