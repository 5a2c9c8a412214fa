"""ota-slot: the agent runs without privileges, a small program of root's writes the partitions."""
import os
import socket
import stat
import subprocess
import sys

import pytest
from harness import places
from harness.agent import Machine, SlotWriter
from harness.process import Process, eventually
from harness.stock import agents, image, plugin, stock  # noqa: F401

KNOCK = """import socket, sys
door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
door.connect(sys.argv[1])
try:
    door.send(bytes([10]) + bytes(63))
    sys.exit(bool(door.recv(4096)))
except ConnectionError:
    pass
"""


@pytest.fixture
def machine(agents):
    return Machine(agents(), 2 << 20)


@pytest.fixture
def writer(machine, closing):
    return closing.keep(SlotWriter(machine.agent))


def test_an_agent_as_nobody_updates_partitions_that_only_root_may_write(machine, writer, plugin):
    agent, writer = machine.agent, writer.start()
    assert machine.boot() == str(agent.slot_a)
    hello = plugin.wait_hello("d1")
    assert hello["slot_size"] == 2 << 20
    if os.geteuid() == 0:
        assert os.stat(f"/proc/{agent.pid}").st_uid != 0
    for path in (agent.slot_a, agent.slot_b):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.stat().st_uid == os.geteuid()
    new = image("2.0")
    plugin.offer("d1", new, 1)
    plugin.wait_report("d1", "restarting", 1)
    assert machine.restarts() == str(agent.slot_b)
    plugin.wait_report("d1", "succeeded", 1)
    assert agent.slot_b.read_bytes()[:len(new.bytes)] == new.bytes
    noted = [line for line in writer.log().splitlines() if line.startswith("ota-slot: ")]
    assert noted == [f"ota-slot: {verb}: done" for verb in ("begin", "arm", "restart", "confirm")]


def test_a_version_that_is_not_healthy_is_reverted_through_it(machine, writer, plugin):
    writer.start()
    machine.reverts_what_is_not_healthy(plugin, image("2.0"))


def test_an_attempt_whose_writer_was_killed_is_tried_again_and_succeeds(machine, writer, plugin):
    agent, writer = machine.agent, writer.start()
    agent.configure(rate_limit="300k")
    machine.boot()
    plugin.wait_hello("d1")
    new = image("2.0", 1_500_000)
    plugin.offer("d1", new, 1)
    plugin.wait_report("d1", "downloading", 1)
    writer.wait_log("begin: done")
    writer.kill()
    writer.socket.unlink()
    writer.start()
    report = plugin.wait_report("d1", "failed", 1)
    assert report["error"]["name"] == "busy", "what a plugin lets try again by itself"
    assert "ota-slot" in report["error"]["message"]
    plugin.offer("d1", new, 1, attempt=2)
    plugin.wait_report("d1", "restarting", 1)
    assert machine.restarts() == str(agent.slot_b)
    plugin.wait_report("d1", "succeeded", 1)
    assert agent.slot_b.read_bytes()[:len(new.bytes)] == new.bytes


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_is_refused_even_where_the_socket_is_open_to_all(writer):
    writer.start()
    writer.socket.chmod(0o777)
    done = subprocess.run(["/usr/bin/setpriv", "--reuid=1", "--regid=1", "--clear-groups",
                           sys.executable, "-c", KNOCK, writer.socket], timeout=20)
    assert done.returncode == 0, "it was answered"
    writer.wait_log("user 1 is refused: it is not slot_user")


def test_the_socket_that_systemd_made_is_served(machine, writer, plugin):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(writer.socket))
    listener.listen(4)
    writer.socket.chmod(0o666)
    script = f'exec 3<&{listener.fileno()}; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'
    activated = subprocess.Popen(["/bin/bash", "-c", script, "bash", *writer.command],
                                 pass_fds=[listener.fileno()], stderr=subprocess.PIPE, text=True,
                                 env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
    try:
        listener.close()
        machine.boot()
        assert plugin.wait_hello("d1")["slot_size"] == 2 << 20
    finally:
        activated.terminate()
        activated.wait()
        activated.stderr.close()


def test_what_it_cannot_serve_it_says_and_ends(machine, closing):
    agent = machine.agent

    def ends(sentence, **settings):
        agent.configure(**settings)
        process = closing.keep(Process("ota-slot", [places.SLOT, "--config", agent.config_path],
                                       agent.directory / "slot.log"))
        process.start()
        assert process.wait() == 1
        eventually(lambda: sentence in process.log(), 5, process.tail)

    ends("ota-slot needs slot_socket")
    ends("there is no user 'no-such-user'", slot_socket=agent.directory / "slot.sock",
         slot_user="no-such-user", boot_record=agent.directory / "boot")
    ends("boot_record must not lie in state_dir",
         boot_record=agent.directory / "state" / "boot-state")
