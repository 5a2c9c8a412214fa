"""Real boots: a virtual machine with two slots updates itself, and its power is cut again and
again. OTA_GUEST_CUTS says how often, OTA_GUEST_SEED when; without them one cut is made and the bad
versions are left out (`./dev guest` runs all)."""
import os
import time

import pytest
from harness import guest, places, uboot
from harness.process import eventually

FINAL = ("succeeded", "rolled_back", "failed", "rejected")


WHOLE = pytest.mark.skipif("OTA_GUEST_CUTS" not in os.environ, reason="run by ./dev guest")


@pytest.fixture
def machines(broker, alice, product, directory, trust, closing, suite):
    if not guest.parts():
        pytest.skip("no virtual machine: ./dev guest")
    if places.SANITIZED:
        pytest.skip("the machine is too small for a sanitizer")
    if suite != "bookworm":
        pytest.skip("one broker is enough for the machine's own boots")

    def make(kind):
        alice.ask("device.import", {"product": product, "devices": ["vm1"]})
        return closing.keep(kind(broker, "vm1", directory / "vm1", trust, product))
    return make


@pytest.fixture
def machine(machines):
    return machines(guest.Guest)


class Releases:
    """Keeps a release under way: the next version as soon as one has ended."""

    def __init__(self, alice, trust, product):
        self.alice, self.trust, self.product = alice, trust, product
        self.major, self.ended = 1, {}

    def make(self, fault=None):
        """The next version, released."""
        self.major += 1
        image = guest.version_image(self.product, f"{self.major}.0", fault)
        envelope = self.alice.push(self.trust, image)
        return self.alice.release(self.trust, envelope, self.product, mode="fast")

    def state(self):
        return self.alice.ask("device.show", {"device": "vm1"}).get("update", {}).get("state")

    def keep_going(self):
        state = self.state()
        if state and state not in FINAL:
            return
        if state:
            self.ended[state] = self.ended.get(state, 0) + 1
        self.make()


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
    longest = float(os.environ.get("OTA_GUEST_SECONDS", "10"))
    seed = int(os.environ.get("OTA_GUEST_SEED", "1"))
    releases = Releases(alice, trust, product)
    began = time.monotonic()
    for number, moment in enumerate(guest.moments(cuts, longest, seed)):
        releases.keep_going()
        machine.cut(moment)
        assert not machine.complaints(), machine.tail(80)
        print(f"cut {number + 1} after {moment:.1f} CPU-s: {len(machine.boots())} boots, "
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


# --- versions that fail, and the bootloader's own selection ---

def passage(machine, releases, fault=None):
    """Releases the next version and waits for its end: (state, error's name, what was started)."""
    before = len(machine.boots())
    releases.make(fault)

    def ended():
        machine.keep_running()
        machine.expected_dead = True
        update = releases.alice.ask("device.show", {"device": "vm1"}).get("update", {})
        number = f"{releases.major}.0"
        return update if update.get("version") == number and update.get("state") in FINAL else None
    update = eventually(ended, 240, lambda: f"an end\n{machine.tail(60)}")
    error = update.get("error", {}).get("name")
    return update["state"], error, machine.boots()[before:]


def up(machine, alice):
    machine.start()
    machine.wait_log("GUEST boots 1.0", 60)
    eventually(lambda: alice.ask("device.show", {"device": "vm1"})["online"], 60, machine.tail)


@WHOLE
def test_a_version_that_hangs_is_reset_by_the_watchdog_until_the_old_one_boots(machine, alice,
                                                                              trust, product):
    releases = Releases(alice, trust, product)
    up(machine, alice)
    began = time.monotonic()
    state, error, boots = passage(machine, releases, "hang")
    print(f"hanging version: {state} ({error}), boots {boots}, {time.monotonic() - began:.0f} s")
    assert (state, error) == ("rolled_back", "crash_loop")
    assert boots == ["2.0"] * 3 + ["1.0"]
    assert machine.log().count("GUEST hangs") == 3
    assert not machine.complaints(), machine.tail(60)
    assert passage(machine, releases)[0] == "succeeded"


@WHOLE
def test_grub_counts_the_tries_of_our_sample_and_boots_the_old_version(machines, alice, trust,
                                                                       product):
    machine, releases = machines(guest.GrubGuest), Releases(alice, trust, product)
    up(machine, alice)
    assert machine.choices()[-1][0] == "a"
    state, error, boots = passage(machine, releases)
    assert (state, error, boots) == ("succeeded", None, ["2.0"]), machine.tail(60)
    assert machine.choices()[-1] == ("b", "trying a b 2 1 1 0")
    state, error, boots = passage(machine, releases, "sick")
    assert (state, error, boots) == ("rolled_back", "health_check_failed", ["3.0", "2.0"])
    state, error, boots = passage(machine, releases, "crash")
    assert (state, error) == ("rolled_back", "crash_loop")
    assert boots == ["4.0"] * 3 + ["2.0"]
    counted = [state for _, state in machine.choices()[-4:]]
    assert counted == ["trying b a 2 1 1 0", "trying b a 1 1 1 0", "trying b a 0 1 1 0",
                       "returned b a 0 0 1 1"]
    state, error, boots = passage(machine, releases)
    assert (state, boots) == ("succeeded", ["5.0"])
    assert not machine.complaints(), machine.tail(60)
    print(f"GRUB: {len(machine.choices())} starts, {machine.choices()}")


def variables(phase, active, trying, tries, bootable_a=1, bootable_b=1, exhausted=0):
    return {"ota_phase": phase, "ota_active": active, "ota_trying": trying, "ota_tries": str(tries),
            "ota_bootable_a": str(bootable_a), "ota_bootable_b": str(bootable_b),
            "ota_exhausted": str(exhausted)}


@WHOLE
@pytest.mark.skipif(not uboot.is_there(), reason="needs qemu-system-arm, u-boot-qemu, u-boot-tools")
def test_u_boot_counts_the_tries_of_our_script(directory):
    machine = uboot.UBoot(directory)
    assert machine.boot() == "a", "nothing was ever written"
    machine.put(variables("settled", "b", "b", 0))
    assert machine.boot() == "b"
    machine.put(variables("armed", "a", "b", 3))
    assert machine.boot() == "a", "a try that could not be stored is not made"
    assert machine.variables() == variables("trying", "a", "b", 2)
    storing = uboot.UBoot(directory, store="true")
    for tries in (3, 2, 1):
        storing.put(variables("armed" if tries == 3 else "trying", "a", "b", tries))
        assert storing.boot() == "b"
    machine = uboot.UBoot(directory)
    machine.put(variables("trying", "b", "a", 0))
    assert machine.boot() == "b"
    assert machine.variables() == variables("returned", "b", "a", 0, bootable_a=0, exhausted=1)
