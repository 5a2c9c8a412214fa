"""The configuration that doc/mosquitto.conf recommends, in each broker."""
import os
import signal
import socket
import ssl
import time

from harness.agent import Agent
from harness.firmware import Image, filler
from harness.manager import Manager
from harness.places import PATIENCE, TREE
from harness.process import eventually
from harness.reference import ReferenceBroker, reference_lines


def test_a_device_is_updated_by_a_broker_with_the_reference_configuration(
        suite, directory, pki, trust, closing):
    own = directory / "reference"
    own.mkdir()
    (own / "root.json").write_text(trust.root)
    broker = closing.keep(ReferenceBroker(suite, own, pki, options={
        "trust_root": own / "root.json", "connects_per_minute": 1000})).start()
    alice = closing.keep(Manager(broker, "alice")).connect()
    alice.ask("product.create", {"name": "thermo", "default_hardware": "board-1"})
    alice.ask("device.import", {"product": "thermo", "devices": ["d1"]})
    closing.keep(Agent(broker, "d1", directory / "d1", trust,
                       Image("thermo", "1.0", filler(100_000, 1)))).start()
    alice.release(trust, alice.push(trust, Image("thermo", "2.0", filler(700_000))), "thermo",
                  mode="fast")
    eventually(lambda: alice.ask("device.show", {"device": "d1"})["version"] == "2.0", 60,
               broker.tail)


class Fragments:
    """A client whose TLS records can be sent in parts."""

    def __init__(self, broker, certificate):
        context = ssl.create_default_context(cafile=broker.pki.ca)
        context.load_cert_chain(f"{certificate}.crt", f"{certificate}.key")
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.socket = socket.create_connection(("127.0.0.1", broker.port), 20 * PATIENCE)

    def record(self, packet):
        self.tls.write(packet)
        return self.outgoing.read()

    def until(self, step):
        """The result of `step` once it is there; EOFError when the broker ends the connection."""
        while True:
            try:
                result = step()
                self.socket.sendall(self.outgoing.read())
                return result
            except ssl.SSLWantReadError:
                self.socket.sendall(self.outgoing.read())
                received = self.socket.recv(65536)
                if not received:
                    raise EOFError("the broker has ended the connection") from None
                self.incoming.write(received)


def test_connections_without_a_handshake_cost_nobody_else_his(suite, directory, pki, closing):
    """Mosquitto 2.0.11 takes another's TLS error for this client's, when told to be silent about
    connections: the reference must not tell it to."""
    broker = closing.keep(ReferenceBroker(suite, directory / "reference", pki,
                                          plugin=None)).start()
    client = Fragments(broker, pki.device("d1"))
    client.until(client.tls.do_handshake)
    client.socket.sendall(client.record(b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02d1"))
    assert client.until(lambda: client.tls.read(4)) == b"\x20\x02\x00\x00"
    os.kill(broker.pid, signal.SIGSTOP)  # so that they have ended before it looks at them
    others = [socket.create_connection(("127.0.0.1", broker.port), 20 * PATIENCE)
              for _ in range(3)]
    for other in others:
        other.shutdown(socket.SHUT_WR)
    os.kill(broker.pid, signal.SIGCONT)
    for other in others:
        while other.recv(100):
            pass  # an alert, then the end
        other.close()
    ping = client.record(b"\xc0\x00")
    client.socket.sendall(ping[:3])
    time.sleep(0.3)  # a record of which a part is there is what the broker stumbles over
    client.socket.sendall(ping[3:])
    assert client.until(lambda: client.tls.read(2)) == b"\xd0\x00", broker.tail()
    client.socket.close()


def test_the_container_broker_says_what_the_reference_says():
    """Where both have a line they agree, but for names of files and the log's place."""
    text = (TREE / "test/fleet/docker/mosquitto.conf").read_text()
    container = [tuple(line.split(" ", 1)) for line in text.splitlines()
                 if line and not line.startswith("#")]
    local = {"log_dest", "cafile", "certfile", "keyfile", "crlfile", "plugin",
             "plugin_opt_store_dir", "plugin_opt_trust_root"}
    assert [line for line in container if line[0] not in local] == \
        [line for line in reference_lines() if line[0] not in local]
