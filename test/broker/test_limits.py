"""Where a device ends: full disks, no inodes, a read-only disk, clocks that are wrong. Small file
systems of their own are mounted, which takes root."""
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from harness import clock
from harness.agent import Agent
from harness.broker import Broker
from harness.firmware import Image, filler
from harness.manager import update_of
from harness.process import eventually
from harness.standin import StandIn
from pki import Pki

FINAL = ("succeeded", "rolled_back", "failed", "rejected")
NEW_SIZE = 700_000


@pytest.fixture(autouse=True)
def one_broker(suite):
    if suite != "bookworm":
        pytest.skip("one broker is enough for the agent's own limits")


def wait_final(alice, agent, seconds=60):
    eventually(lambda: update_of(alice).get("state") in FINAL, seconds,
               lambda: f"an end, but {update_of(alice)}\n{agent.tail(60)}")
    return update_of(alice)


def release(alice, trust, product):
    image = Image(product, "2.0", filler(NEW_SIZE, 2))
    alice.release(trust, alice.push(trust, image), product, mode="fast")
    return image


@pytest.fixture
def mount(directory, closing):
    """mount("slots", "size=1m") is a small file system."""
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")

    class Mounted:
        def __init__(self, name, options):
            self.path = directory / name
            self.path.mkdir()
            done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "small", self.path],
                                  capture_output=True, text=True)
            if done.returncode:
                self.path.rmdir()
                pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")

        def remount(self, options):
            subprocess.run(["mount", "-o", f"remount,{options}", self.path], check=True)

        def close(self):
            subprocess.run(["umount", "-l", self.path], check=True)

    return lambda name, options: closing.keep(Mounted(name, options))


def fill(path, step):
    """Takes all the room there is."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(file, b"x" * step)
    except OSError:
        os.close(file)


def in_slots(agents, slots, **settings):
    """An agent whose slots lie in the small file system."""
    agent = agents("d1", settings={"slot_a": slots.path / "a", "slot_b": slots.path / "b",
                                   "current_link": slots.path / "current", **settings})
    agent.slot_a, agent.slot_b = slots.path / "a", slots.path / "b"
    agent.current = slots.path / "current"
    shutil.copy(agent.directory / "slot-a", agent.slot_a)
    return agent


def test_a_disk_that_is_too_small_says_how_much_is_missing(alice, agents, trust, product, mount):
    # slot_size promises more than there is: else the plugin would not offer it at all.
    agent = in_slots(agents, mount("slots", "size=400k"), slot_size="2M").start()
    release(alice, trust, product)
    end = wait_final(alice, agent)
    assert end["error"]["name"] == "insufficient_storage", end
    assert "missing" in end["error"]["message"] or "more" in end["error"]["message"], end
    assert agent.running_bytes() == agent.image.bytes


def test_a_disk_that_fills_up_while_it_fetches_is_named(alice, agents, trust, product, mount):
    slots = mount("slots", "size=1200k")
    agent = in_slots(agents, slots, rate_limit="300k").start()
    release(alice, trust, product)
    eventually(lambda: update_of(alice).get("state") == "downloading", 30, agent.tail)
    # The room was reserved before the first byte was asked for: others cannot take it.
    fill(slots.path / "hog", 65536)
    end = wait_final(alice, agent)
    assert end["state"] == "succeeded", (end, agent.tail(60))


def test_a_full_state_directory_is_named_and_ends_well_with_room(alice, agents, trust, product,
                                                                 mount):
    state = mount("state", "size=256k")
    agent = agents("d1", settings={"state_dir": state.path}).start()
    eventually(lambda: agent.current.exists(), 20, agent.tail)
    hog = state.path / "hog"
    fill(hog, 4096)
    image = release(alice, trust, product)
    agent.wait_log("insufficient_storage|No space left", 30)
    assert agent.running_bytes() == agent.image.bytes
    assert agent.is_running(), agent.tail()
    hog.unlink()
    agent.stop()
    agent.start()
    end = wait_final(alice, agent, 90)
    assert agent.running_bytes() == (image if end["state"] == "succeeded" else agent.image).bytes


def test_no_inode_left_is_named(alice, agents, trust, product, mount):
    agent = in_slots(agents, mount("slots", "size=4m,nr_inodes=3"))
    # The root, slot a and the link: none is left for slot b.
    agent.start()
    eventually(lambda: agent.current.exists(), 20, agent.tail)
    release(alice, trust, product)
    end = wait_final(alice, agent)
    assert end["error"]["name"] in ("insufficient_storage", "slot_error"), end
    assert "No space left" in end["error"]["message"], end
    assert agent.running_bytes() == agent.image.bytes


def test_a_read_only_disk_is_named(alice, agents, trust, product, mount):
    slots = mount("slots", "size=4m")
    agent = in_slots(agents, slots).start()
    eventually(lambda: agent.current.exists(), 20, agent.tail)
    slots.remount("ro")
    release(alice, trust, product)
    end = wait_final(alice, agent)
    assert end["error"]["name"] == "slot_error", end
    assert "Read-only file system" in end["error"]["message"], end
    assert agent.running_bytes() == agent.image.bytes


@pytest.mark.parametrize("when", ("@1970-01-01 00:00:10", "+20y", "@2038-01-19 03:14:00"))
def test_a_clock_that_is_far_off_is_named_and_mended_by_the_right_time(alice, agents, trust,
                                                                       product, when):
    agent = clock.fake(agents("d1"), when).start()
    agent.wait_log("tls_verify_failed|certificate", 30)
    assert "tls_verify_failed" in agent.log(), agent.tail()
    image = release(alice, trust, product)
    assert agent.stop() == 0
    agent.environment = {}
    agent.start()
    assert wait_final(alice, agent)["state"] == "succeeded"
    assert agent.running_bytes() == image.bytes


def test_a_clock_that_is_hours_off_does_not_matter(alice, agents, trust, product):
    agent = clock.fake(agents("d1"), "+5h").start()
    image = release(alice, trust, product)
    assert wait_final(alice, agent)["state"] == "succeeded"
    assert agent.running_bytes() == image.bytes


def test_a_clock_that_jumps_while_it_fetches_does_not_matter(alice, agents, trust, product):
    agent = clock.fake(agents("d1", settings={"rate_limit": "150k"}), "+0").start()
    image = release(alice, trust, product)
    eventually(lambda: update_of(alice).get("state") == "downloading", 30, agent.tail)
    for when in ("@1970-01-01 00:00:10", "+20y", "@2038-01-19 03:14:06", "-1d", "+0"):
        clock.set_to(agent, when)
        time.sleep(0.5)
    assert wait_final(alice, agent)["state"] == "succeeded", agent.tail()
    assert agent.running_bytes() == image.bytes
    assert agent.log().count("connected to the broker") == 2, agent.tail()  # once more on trial


def test_a_clock_that_jumps_to_1970_in_a_trial_is_named(alice, agents, trust, product):
    agent = clock.fake(agents("d1", settings={"confirm_timeout": "5s"}), "+0").start()
    eventually(lambda: alice.ask("device.show", {"device": "d1"}).get("online"), 20, agent.tail)
    agent.ask("hold", "restart", 60, "for the clock")
    release(alice, trust, product)
    eventually(lambda: update_of(alice).get("state") == "installed", 30, agent.tail)
    clock.set_to(agent, "@1970-01-01 00:00:10")
    agent.ask("release", "restart")
    agent.wait_log("failed its trial", 30)
    clock.set_to(agent, "+0")
    end = wait_final(alice, agent)
    assert (end["state"], end["error"]["name"]) == ("rolled_back", "no_connectivity_after_update")
    assert "not valid yet" in end["error"]["message"], end
    assert agent.running_bytes() == agent.image.bytes


def test_the_last_second_of_32_bits_passes_in_an_update(suite, directory, trust, closing):
    """19 January 2038, 03:14:08, with certificates that live until then."""
    pki = Pki(directory / "pki", days=20 * 365)
    stock = closing.keep(Broker(suite, directory / "broker", pki, plugin=None)).start()
    plugin = closing.keep(StandIn(stock, trust)).connect()
    image = Image("thermo", "2.0", filler(NEW_SIZE, 2))
    agent = closing.keep(Agent(stock, "d1", directory / "d1", trust,
                               Image("thermo", "1.0", filler(100_000, 1)),
                               settings={"rate_limit": "200k"}))
    clock.fake(agent, "@2038-01-19 03:14:05").start()
    plugin.wait_hello("d1")
    plugin.offer("d1", image, 1)
    plugin.wait_report("d1", "succeeded", 1)
    assert agent.running_bytes() == image.bytes


def test_a_state_directory_that_is_read_only_stops_no_application(alice, agents, trust, product,
                                                                  mount):
    state = mount("state", "size=1m")
    agent = agents("d1", settings={"state_dir": state.path}).start()
    eventually(lambda: (state.path / "application.run").exists(), 20, agent.tail)
    agent.kill()
    pid = int((state.path / "application.run").read_text().split()[0])
    os.kill(pid, 9)
    eventually(lambda: not Path(f"/proc/{pid}").exists(), 10, "the application is gone")
    state.remount("ro")
    agent.start()
    eventually(lambda: application_of(agent), 20,
               lambda: f"the application runs\n{agent.tail()}")
    release(alice, trust, product)
    agent.wait_log("Read-only file system", 30)
    assert agent.is_running(), agent.tail()
    assert agent.running_bytes() == agent.image.bytes


def application_of(agent):
    """The process id of what the agent started."""
    children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
    return int(children[0]) if children else None
