"""What somebody on the wire reads of an update: nothing."""
import os
import shutil
import subprocess

import pytest

from harness.client import Client
from harness.firmware import Image
from harness.process import Process, eventually

MARKER = b"this-is-the-firmware-of-the-lamp"
DEVICE = "wire-tap-device-4711"
NOTES = "these are the words of the release"
CLEAR = b"words-in-the-clear-0815"


@pytest.fixture
def capture(broker, directory, closing):
    """Records the broker's ports; the bytes come with .read()."""
    if not shutil.which("tcpdump") or os.geteuid() != 0:
        reason = "NO CAPTURE: tcpdump and the right to use it are needed"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    path = directory / "wire.pcap"

    class Capture(Process):
        def read(self):
            self.stop()
            return self.path.read_bytes()

    tap = closing.keep(Capture("tcpdump", [
        "tcpdump", "-i", "lo", "-U", "--immediate-mode", "-w", path, "-B", "65536", "-Z", "root",
        f"tcp port {broker.port} or tcp port {broker.plain_port}"], directory / "tcpdump.log"))
    tap.path = path
    tap.start()
    tap.wait_log("listening on", 10)
    return tap


@pytest.fixture
def broker(brokers):
    """With a listener without TLS beside, to prove that the tap sees what is in the clear."""
    return brokers(plain=True, identity="b", options={"other_topics": "allow"}).start()


def test_a_capture_of_an_update_shows_neither_firmware_nor_device_nor_release(
        broker, capture, alice, product, agents, trust, closing):
    agent = agents(DEVICE).start()
    image = Image(product, "2.0", MARKER * 20_000)
    envelope = alice.push(trust, image, notes=NOTES)
    alice.release(trust, envelope, product)
    eventually(lambda: alice.ask("device.show", {"device": DEVICE}).get("update", {})
               .get("state") == "succeeded", 60, lambda: agent.tail(60))
    assert agent.running_bytes() == image.bytes
    clear = closing.keep(Client(broker, None, "clear", port=broker.plain_port)).connect()
    clear.publish("house/light", CLEAR)
    eventually(lambda: CLEAR in capture.path.read_bytes(), 10, "the tap's own proof")
    wire = capture.read()
    assert len(wire) > len(image.bytes)
    for secret in (MARKER, DEVICE.encode(), NOTES.encode(), product.encode() + b"/release",
                   envelope[40:100].encode(), b"ota/v1/", b"DSSE", b"signatures"):
        assert wire.count(secret) == 0, secret


def test_the_agent_speaks_tls_1_3_and_refuses_1_1(broker, alice, product, agents):
    agent = agents("d1").start()
    eventually(lambda: alice.ask("device.show", {"device": "d1"})["online"], 20, agent.tail)
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{broker.port}", "-tls1_1"],
        input=b"", capture_output=True, timeout=20, check=False)
    assert b"Cipher is (NONE)" in done.stdout or done.returncode != 0
