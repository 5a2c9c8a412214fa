"""An HTTPS server that answers ranges of blobs as one should, or as it should not."""
import re
import socket
import ssl
import threading
import time

from . import places


class Request:
    """One GET as it came. `data` is what an honest server would send."""

    def __init__(self, server, number, head):
        self.server, self.number = server, number  # number: of the server's requests, from 0
        match = re.match(r"GET /../([0-9a-f]{64}) HTTP/1.1\r\n", head)
        span = re.search(r"\r\nRange: bytes=(\d+)-(\d+)\r\n", head)
        assert match and span, f"what the agent asks is no range of a blob: {head!r}"
        self.blob = server.blobs.get(match.group(1), b"")
        self.first, self.last = int(span.group(1)), int(span.group(2))
        self.data = self.blob[self.first:self.last + 1]

    def head(self, status="206 Partial Content", length=None, span=None, more=""):
        length = len(self.data) if length is None else length
        span = span or f"bytes {self.first}-{self.last}/{len(self.blob)}"
        return (f"HTTP/1.1 {status}\r\nContent-Range: {span}\r\nContent-Length: {length}\r\n"
                f"{more}\r\n").encode()


class Liar:
    """`answer(connection, request)` does what it likes and returns True when the connection goes on;
    None is an honest server. `tls` False: it does not even speak TLS."""

    def __init__(self, pki, answer=None, certificate=None, tls=True, client_ca=None):
        self.answer = answer or honest
        self.blobs, self.count, self.connections = {}, 0, 0
        self.ended = threading.Event()
        self.place = places.Port()
        self.url = f"https://localhost:{self.place.number}"
        self.context = None
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate = certificate or pki.broker
            self.context.load_cert_chain(f"{certificate}.crt", f"{certificate}.key")
            self.context.load_verify_locations(client_ca or pki.ca)
            self.context.verify_mode = ssl.CERT_REQUIRED
        self.open_sockets = []
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.place.number))
        self.listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def put(self, image):
        self.blobs[image.pack_digest] = image.pack
        self.blobs[image.index_digest] = image.index

    def vanish(self):
        """Nobody listens any more, and the connections are gone."""
        self.ended.set()
        for one in [self.listener, *self.open_sockets]:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()

    def close(self):
        self.vanish()
        self.place.release()

    def _accept(self):
        while not self.ended.is_set():
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open_sockets.append(near)
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        try:
            near.settimeout(60)
            connection = self.context.wrap_socket(near, server_side=True) if self.context \
                else near
            self.open_sockets.append(connection)
            while self._one(connection):
                pass
            connection.close()
        except OSError:
            near.close()

    def _one(self, connection):
        head = b""
        while b"\r\n\r\n" not in head:
            some = connection.recv(4096)
            if not some:
                return False
            head += some
            if not self.context:
                return self.answer(connection, None)
        number, self.count = self.count, self.count + 1
        return self.answer(connection, Request(self, number, head.decode("latin-1")))


# --- answers ---

def honest(connection, request):
    connection.sendall(request.head() + request.data)
    return True


def wrong_bytes(connection, request):
    data = bytearray(request.data)
    data[len(data) // 2] ^= 1
    connection.sendall(request.head() + data)
    return True


def one_wrong_byte_now_and_then(connection, request):
    return (wrong_bytes if request.number % 3 == 2 else honest)(connection, request)


def another_blob(connection, request):
    connection.sendall(request.head() + bytes(len(request.data)))
    return True


def drips(connection, request):
    connection.sendall(request.head())
    for byte in request.data:
        if request.server.ended.wait(1):
            return False
        connection.sendall(bytes([byte]))
    return True


def is_silent(_connection, request):
    request.server.ended.wait(60)
    return False


def cuts_every_range(connection, request):
    connection.sendall(request.head() + request.data[:90_000])
    return len(request.data) <= 90_000


def cuts_after_the_header(connection, request):
    connection.sendall(request.head())
    return False


def closes_without_a_word(_connection, _request):
    return False


def redirects(where):
    def answer(connection, request):
        connection.sendall(request.head("302 Found", 0, more=f"Location: {where}\r\n"))
        return True
    return answer


def vanishes_half_way(connection, request):
    if request.number < 4:
        return honest(connection, request)
    connection.sendall(request.head() + request.data[:1000])
    request.server.vanish()
    return False


def sends_everything(connection, request):
    connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(request.blob)}\r\n\r\n".encode()
                       + request.blob)
    return True


def announces(extra):
    def answer(connection, request):
        connection.sendall(request.head(length=len(request.data) + extra) + request.data)
        return True
    return answer


def sends_another_range(connection, request):
    connection.sendall(request.head(span=f"bytes 0-{len(request.data) - 1}/{len(request.blob)}")
                       + request.data)
    return True


def status(code, more=""):
    def answer(connection, request):
        connection.sendall(f"HTTP/1.1 {code} No\r\nContent-Length: 2\r\n{more}\r\nno".encode())
        return True
    return answer


def is_overloaded_at_first(connection, request):
    return (status(503) if request.number < 3 else honest)(connection, request)


def sends_headers_without_end(connection, request):
    connection.sendall(b"HTTP/1.1 206 Partial Content\r\n")
    while not request.server.ended.is_set():
        connection.sendall(b"X-Header: " + b"y" * 1000 + b"\r\n")
    return False


def sends_one_endless_header(connection, request):
    connection.sendall(b"HTTP/1.1 206 Partial Content\r\nX-Header: ")
    while not request.server.ended.is_set():
        connection.sendall(b"y" * 10000)
    return False


def sends_a_body_without_end(connection, request):
    head = request.head().decode()
    connection.sendall(re.sub(r"Content-Length: \d+", "Connection: close", head).encode())
    connection.sendall(request.data)
    while not request.server.ended.is_set():
        connection.sendall(bytes(65536))
    return False


def sends_zeroes_without_end(connection, request):
    head = re.sub(r"Content-Length: \d+", "Transfer-Encoding: chunked", request.head().decode())
    connection.sendall(head.encode())
    while not request.server.ended.is_set():
        connection.sendall(b"8000\r\n" + bytes(0x8000) + b"\r\n")
    return False


def sends_noise(connection, _request):
    connection.sendall(bytes(range(256)) * 40)
    return False


def speaks_plain_http(connection, _request):
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    time.sleep(0.2)
    return False
