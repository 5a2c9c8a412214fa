"""A TCP relay between an agent and its broker, with a hand on the tap."""
import socket
import struct
import threading

from . import places


class Relay:
    """Listens on `port` and passes everything on to `to` while it is open. refuse(): nobody
    listens; hold(): connections stay, bytes do not move; open(): as usual again. `address`: where
    it listens."""

    def __init__(self, to, address="127.0.0.1"):
        self.to, self.address = to, address
        self.place = places.Port()
        self.port = self.place.number
        self.listener = None
        self.pairs = []
        self.lock = threading.Lock()
        self.flowing = threading.Event()
        self.bytes = 0
        self.open()

    def open(self):
        self.flowing.set()
        if self.listener:
            return self
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.address, self.port))
        listener.listen(16)
        self.listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return self

    def cut(self, reset=False):
        """Every connection ends, with `reset` as where a gateway has forgotten it; new ones are
        welcome."""
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for side in pair:
                try:
                    if reset:
                        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                        struct.pack("ii", 1, 0))
                    side.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
                except OSError:
                    pass
                side.close()

    def refuse(self):
        listener, self.listener = self.listener, None
        if listener:
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            listener.close()
        self.cut()

    def hold(self):
        self.flowing.clear()

    def close(self):
        self.flowing.set()
        self.refuse()
        self.place.release()

    def _accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.to), 5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            for side in (near, far):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.pairs.append((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source, sink):
        try:
            while data := source.recv(65536):
                self.flowing.wait()
                self.bytes += len(data)
                sink.sendall(data)
        except OSError:
            pass
        for side in (source, sink):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
