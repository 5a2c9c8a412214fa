"""A proxy that understands MQTT inside TLS, between one agent and its broker: it counts the chunk
frames that go down to the device and loses some of them."""
import random
import socket
import ssl
import threading

from . import places


class MqttTap:
    """Shows the agent the broker's certificate, and the broker the device's. `loss` is the share of
    chunk frames that never arrive; what is lost is the same in every run with the same seed."""

    def __init__(self, broker, device, loss=0.0, seed=1):
        self.loss, self.random = loss, random.Random(seed)
        self.frames = self.lost = self.bytes = 0  # frames and their payload, lost ones too
        self.place = places.Port()
        self.port, self.to = self.place.number, broker.port
        self.near = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.near.load_cert_chain(f"{broker.pki.broker}.crt", f"{broker.pki.broker}.key")
        self.near.load_verify_locations(broker.pki.ca)
        self.near.verify_mode = ssl.CERT_REQUIRED
        certificate = broker.pki.device(device)
        self.far = ssl.create_default_context(cafile=broker.pki.ca)
        self.far.load_cert_chain(f"{certificate}.crt", f"{certificate}.key")
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.sockets = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        for one in [self.listener, *self.sockets]:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()
        self.place.release()

    def _accept(self):
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(raw,), daemon=True).start()

    def _join(self, raw):
        try:
            near = self.near.wrap_socket(raw, server_side=True)
            far = self.far.wrap_socket(socket.create_connection(("127.0.0.1", self.to)),
                                       server_hostname="localhost")
        except OSError:
            raw.close()
            return
        for side in (near, far):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sockets.append(side)
        threading.Thread(target=self._up, args=(near, far), daemon=True).start()
        self._down(far, near)

    @staticmethod
    def _up(near, far):
        try:
            while data := near.recv(65536):
                far.sendall(data)
        except OSError:
            pass
        for side in (near, far):
            side.close()

    def _down(self, far, near):
        buffer = bytearray()
        try:
            while data := far.recv(262144):
                buffer += data
                while (packet := take_packet(buffer)) is not None:
                    if not self._loses(packet):
                        near.sendall(packet)
        except OSError:
            pass
        for side in (near, far):
            side.close()

    def _loses(self, packet):
        payload = chunk_of(packet)
        if payload is None:
            return False
        self.frames += 1
        self.bytes += payload
        if self.random.random() >= self.loss:
            return False
        self.lost += 1
        return True


def header_of(packet):
    """(bytes of the fixed header, bytes behind it), or None while the header is not all there."""
    length = 0
    for place in range(1, min(5, len(packet))):
        length |= (packet[place] & 0x7f) << 7 * (place - 1)
        if not packet[place] & 0x80:
            return place + 1, length
    return None


def take_packet(buffer):
    header = header_of(buffer)
    if header is None or len(buffer) < sum(header):
        return None
    packet = bytes(buffer[:sum(header)])
    del buffer[:sum(header)]
    return packet


def chunk_of(packet):
    """Bytes behind the topic of a PUBLISH on …/chunk; None for every other packet."""
    if packet[0] >> 4 != 3:
        return None
    start, length = header_of(packet)
    topic = int.from_bytes(packet[start:start + 2], "big")
    if not packet[start + 2:start + 2 + topic].endswith(b"/chunk"):
        return None
    return length - 2 - topic
