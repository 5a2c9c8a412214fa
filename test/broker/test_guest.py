"""Real boots: a virtual machine with two slots updates itself, and its power is cut again and
again. OTA_GUEST_CUTS says how often (default: 1)."""
import os
import time

import pytest
from harness import guest
from harness.process import eventually

FINAL = ("succeeded", "rolled_back", "failed", "rejected")


@pytest.fixture
def machine(broker, alice, product, directory, trust, closing, suite):
    if not guest.parts():
        pytest.skip("no virtual machine: ./dev guest")
    if os.environ.get("OTA_SANITIZED") == "1":
        pytest.skip("the machine is too small for a sanitizer")
    if suite != "bookworm":
        pytest.skip("one broker is enough for the machine's own boots")
    alice.ask("device.import", {"product": product, "devices": ["vm1"]})
    return closing.keep(guest.Guest(broker, "vm1", directory / "vm1", trust, product))


class Releases:
    """Keeps a release under way: the next version as soon as one has ended."""

    def __init__(self, alice, trust, product):
        self.alice, self.trust, self.product = alice, trust, product
        self.major, self.ended = 1, {}

    def state(self):
        return self.alice.ask("device.show", {"device": "vm1"}).get("update", {}).get("state")

    def keep_going(self):
        state = self.state()
        if state and state not in FINAL:
            return
        if state:
            self.ended[state] = self.ended.get(state, 0) + 1
        self.major += 1
        image = guest.version_image(self.product, f"{self.major}.0")
        envelope = self.alice.push(self.trust, image)
        self.alice.release(self.trust, envelope, self.product, mode="fast")


def finish(machine, releases, seconds):
    """Lets the last release end undisturbed."""
    def ended():
        machine.keep_running()
        machine.expected_dead = True
        return releases.state() in FINAL
    eventually(ended, seconds, lambda: f"an end, but {releases.state()}\n{machine.tail(60)}")


def test_a_machine_whose_power_is_cut_always_boots_a_complete_version(machine, alice, trust,
                                                                      product):
    cuts = int(os.environ.get("OTA_GUEST_CUTS", "1"))
    longest = float(os.environ.get("OTA_GUEST_SECONDS", "12"))
    releases = Releases(alice, trust, product)
    began = time.monotonic()
    for number, moment in enumerate(guest.moments(cuts, longest)):
        releases.keep_going()
        machine.cut(moment)
        assert not machine.complaints(), machine.tail(80)
        print(f"cut {number + 1} after {moment:.1f} s: {len(machine.boots())} boots, "
              f"last {machine.boots()[-1:]}, update {releases.state()}, {releases.ended}",
              flush=True)
    finish(machine, releases, 180)
    assert not machine.complaints(), machine.tail(80)
    assert machine.boots(), machine.tail(60)
    shown = alice.ask("device.show", {"device": "vm1"})
    ends = {**releases.ended, releases.state(): releases.ended.get(releases.state(), 0) + 1}
    print(f"{cuts} power cuts, {len(machine.boots())} boots, ends {ends}, "
          f"{(time.monotonic() - began) / max(cuts, 1):.1f} s a cut, "
          f"version {shown['version']} runs")
    assert shown["version"] == machine.boots()[-1]
