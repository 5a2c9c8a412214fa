"""Ten bad versions, each on a device of its own and all at the same time: the old version is
back within its time, and the release says for each device what was wrong, by a name of its own.
What takes root (a network or control group to be broken) is skipped without."""
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest
from harness import places
from harness.firmware import Image
from harness.island import Island
from harness.process import eventually
from harness.relay import Relay

GOOD = """case "$1" in check) exit 0;; esac
rm -f "$home/cut"
if [ -e "$home/hosts" ]; then ip link set cable0 up; fi
while :; do sleep 1; done"""
CHECKED = 'case "$1" in check) exit 0;; esac\n'
# name of the image → what it does, the error's name, what message or log say
SCRIPTS = {
    "crashes-at-once": ("exit 7", "crash_loop", "exited with code 7"),
    "crashes-later": (CHECKED + "sleep 4; kill -SEGV $$", "crashed_in_trial", "signal 11"),
    "hangs": ("sleep 1000", "not_responding", "did not end in time"),
    "eats-memory": (CHECKED + "exec tail /dev/zero", "memory_exhausted", "for want of memory"),
    "no-network": (CHECKED + "ip link set cable0 down; sleep 1000", "no_network_after_update",
                   "Network is unreachable"),
    "kills-the-agent": (CHECKED + 'while :; do kill -9 "$(cat "$home/pid")"; sleep 0.2; done',
                        "agent_killed", "the agent was started 11 times"),
    "fills-the-disk": (CHECKED + 'while :; do cat /dev/zero >>"$home/hog"; sleep 0.1; done',
                       "storage_exhausted", "storage"),
    "no-broker": (CHECKED + 'touch "$home/cut"; sleep 1000', "no_connectivity_after_update",
                  "Connection refused"),
}
PROGRAM = Path("/bin/bash")


def script(text):
    """An image that is a program; $home is its device's directory."""
    return (f'#!/bin/sh\nhome=$(dirname "$0")\n{text}\nexit\n'.encode()).ljust(2000, b"#")


def images():
    """name → content, the error's name, what message or log say."""
    made = {name: (script(text), *rest) for name, (text, *rest) in SCRIPTS.items()}
    program = PROGRAM.read_bytes()
    other = bytearray(program)
    other[18:20] = (0xf3 if other[18] != 0xf3 else 0x3e, 0)  # RISC-V, or what is not that
    made["wrong-architecture"] = (bytes(other), "not_executable", "Exec format error")
    made["truncated"] = (program[:len(program) * 6 // 10], "image_truncated",
                         f"by its own header {len(program)}")
    return made


class MemoryGroup:
    """A control group that has 16 MiB; its first member is the agent's application."""

    def __init__(self, root, limit_name):
        self.path = root / f"ota-{os.getpid()}"
        self.path.mkdir()
        (self.path / limit_name).write_text("16M")

    @classmethod
    def make(cls):
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        for controllers, limit, mount in (("memory", "memory.limit_in_bytes", "memory"),
                                          ("", "memory.max", "")):
            for line in lines:
                _, named, path = line.split(":", 2)
                root = Path("/sys/fs/cgroup", mount) / path.lstrip("/")
                if named == controllers and (root / limit).exists() or \
                        named == controllers and mount and root.is_dir():
                    try:
                        return cls(root, limit)
                    except OSError:
                        pass
        return None

    def close(self):
        eventually(lambda: not (self.path / "cgroup.procs").read_text(), 10, "an empty group")
        self.path.rmdir()


class Init:
    """Starts an agent whenever it has ended, as an init system does, and writes down its
    process id where the application finds it."""

    def __init__(self, agent):
        self.agent, self.starts, self.ended = agent, 0, False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.ended:
            if not self.agent.is_running():
                self.agent.start()
                self.agent.expected_dead = True
                (self.agent.directory / "pid").write_text(str(self.agent.pid))
                self.starts += 1
            time.sleep(0.02)

    def close(self):
        self.ended = True
        self.thread.join()


class Cutter:
    """Closes the relay while the version that asks for it runs."""

    def __init__(self, relay, wish):
        self.relay, self.wish, self.ended = relay, wish, False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.ended:
            if self.wish.exists():
                self.relay.refuse()
            else:
                self.relay.open()
            time.sleep(0.02)

    def close(self):
        self.ended = True
        self.thread.join()


class Mounted:
    """A file system of two MiB."""

    def __init__(self, path):
        self.path = path
        path.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "small", path], check=True,
                       capture_output=True)

    def close(self):
        subprocess.run(["umount", "-l", self.path], check=True)


class Ward:
    """One device with one bad image."""

    def __init__(self, name, agents, closing, broker, product):
        self.name = name
        self.agent = agent = agents(name, image=Image(product, "1.0", script(GOOD)), settings={
            "command": "{slot}", "health_command": "{slot} check", "health_timeout": "7s",
            "probation": "6s", "stop_timeout": "300ms"})
        prepare = getattr(self, "_" + name.replace("-", "_"), None)
        self.missing = prepare(closing, broker) if prepare else None
        agent.slot_a.chmod(0o755)
        self.init = closing.keep(Init(agent))

    def _eats_memory(self, closing, broker):
        group = MemoryGroup.make()
        if not group:
            return "no control group can be made here"
        closing.keep(group)
        self.agent.configure(
            command=f"sh -c 'echo $$ >{group.path}/cgroup.procs; exec {{slot}}'")
        closing.keep(self.agent)  # closed once more, before the group
        return None

    def _no_network(self, closing, broker):
        if not Island.is_possible():
            return "a network namespace takes root"
        island = closing.keep(Island(1))
        relay = closing.keep(Relay(broker.port, island.address))
        self.agent.configure(broker=f"localhost:{relay.port}", confirm_timeout="9s")
        island.adopt(self.agent)
        return None

    def _fills_the_disk(self, closing, broker):
        if os.geteuid() != 0:
            return "mounting takes root"
        small = closing.keep(Mounted(self.agent.directory / "small"))
        agent = self.agent
        shutil.copy(agent.slot_a, small.path / "a")
        agent.slot_a, agent.slot_b = small.path / "a", small.path / "b"
        agent.current = small.path / "current"
        agent.configure(slot_a=agent.slot_a, slot_b=agent.slot_b, current_link=agent.current,
                        state_dir=small.path / "state")
        return None

    def _no_broker(self, closing, broker):
        relay = closing.keep(Relay(broker.port))
        self.agent.configure(broker=f"localhost:{relay.port}", confirm_timeout="9s")
        closing.keep(Cutter(relay, self.agent.directory / "cut"))

    def application_lives(self):
        """The old version's process is there."""
        link = os.readlink(self.agent.current)
        assert link == str(self.agent.slot_a), link
        record = self.agent.config_path.parent / "state" / "application.run"
        if self.name == "fills-the-disk":
            record = self.agent.slot_a.parent / "state" / "application.run"
        pid, _, slot = record.read_text().split()
        os.kill(int(pid), 0)
        return slot == "0"


@pytest.fixture(autouse=True)
def one_broker(suite):
    if suite != "bookworm":
        pytest.skip("one broker is enough for what images do to their device")


def shown(alice, ward):
    return alice.ask("device.show", {"device": ward.name})


def test_ten_bad_images_come_back_each_with_a_name_of_its_own(alice, agents, trust, product,
                                                              broker, closing):
    bad = images()
    wards = [Ward(name, agents, closing, broker, product) for name in bad]
    for ward in wards:  # and no release: it would break this machine
        if ward.missing:
            print(f"\n{ward.name}: not tried, {ward.missing}")
    wards = [ward for ward in wards if not ward.missing]
    for ward in wards:
        eventually(lambda: shown(alice, ward).get("online"), 20, ward.agent.tail)
    for number, ward in enumerate(wards):
        content, _, _ = bad[ward.name]
        envelope = alice.push(trust, Image(product, f"2.{number}", content))
        alice.release(trust, envelope, product, target={"kind": "device", "name": ward.name})
    for ward in wards:
        content, name, words = bad[ward.name]
        eventually(lambda: shown(alice, ward).get("update", {}).get("state") in
                   ("rolled_back", "failed", "succeeded"), 60,
                   lambda: f"{ward.name}: {shown(alice, ward)}\n{ward.agent.tail(60)}")
        device = shown(alice, ward)
        update, error = device["update"], device["update"]["error"]
        assert (update["state"], error["name"]) == ("rolled_back", name), \
            f"{ward.name}: {update}\n{ward.agent.tail(60)}"
        assert device["version"] == "1.0", f"{ward.name}: {device}"
        assert ward.agent.running_bytes() == ward.agent.image.bytes, ward.name
        assert ward.application_lives(), ward.name
        log = alice.ask("device.log", {"device": ward.name, "release": update["release"]})
        evidence = [r["error"]["log"] for r in log["items"] if r.get("error", {}).get("log")]
        assert evidence and "trial" in evidence[0], f"{ward.name}: {log}"
        assert words in error["message"] + evidence[0], f"{ward.name}: {error}"
        print(f"\n{ward.name}: {error['name']}, detail {error.get('detail', 0)}: "
              f"{error['message']}")
    names = [name for _, name, _ in bad.values()]
    assert len(set(names)) == len(bad) == 10
