"""A light device: it says hello, takes offers, and reports what a test tells it to. It checks no
signature and writes no slot; real devices are agent.Agent."""
import hashlib
import json
import secrets
import struct

from .client import Client


class Device(Client):
    def __init__(self, broker, name, product="thermo", version="1.0", digest="11" * 32,
                 hardware="board-1", **more):
        super().__init__(broker, more.pop("certificate", None) or broker.pki.device(name), name,
                         **more)
        self.name, self.product, self.hardware = name, product, hardware
        self.version, self.digest = version, digest
        self.seq, self.number = 0, 0
        self.consent = {"download": True, "install": True, "restart": True}

    def topic(self, leaf):
        return f"ota/v1/d/{self.name}/{leaf}"

    def connect(self, seconds=20):
        super().connect(seconds)
        for leaf in ("offer", "control", "chunk"):
            granted = self.subscribe(self.topic(leaf))
            assert granted <= 1, f"{self.name}: {leaf} refused: {granted:#x}"
        return self

    def hello(self, seconds=20, **more):
        """Says hello and subscribes as the welcome asks; returns the welcome."""
        nonce = secrets.token_hex(16)
        message = {
            "v": 1, "nonce": nonce, "agent": "test", "product": self.product,
            "hardware": self.hardware, "version": self.version, "digest": self.digest,
            "security_version": 1, "floor": 0, "root": 1, "number": self.number,
            "slot_size": 1 << 30, "boot": "normal", "consent": self.consent, **more}
        self.publish(self.topic("hello"), json.dumps(message))

        def matches(topic, payload):
            return topic == self.topic("control") and json.loads(payload).get("nonce") == nonce
        welcome = json.loads(self.wait_message(matches, seconds, "the welcome")[2])
        if welcome["type"] == "welcome" and welcome["status"] == "approved":
            self.follow(welcome)
        return welcome

    def follow(self, welcome):
        """Subscribes to the fleet topics of its product and groups."""
        shard = int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:4],
                               "big") % welcome["shards"]
        base = f"ota/v1/p/{welcome['product']}"
        for topic in [f"{base}/release/{shard}",
                      *(f"{base}/g/{group}/release/{shard}" for group in welcome["groups"])]:
            granted = self.subscribe(topic)
            assert granted <= 1, f"{self.name}: {topic} refused: {granted:#x}"

    def join(self, seconds=20, **more):
        """connect() and hello()."""
        self.connect(seconds)
        return self.hello(seconds, **more)

    def ota_messages(self):
        with self.condition:
            return [message for message in self.messages if message[1].startswith("ota/")]

    def offers(self):
        with self.condition:
            return [json.loads(message[2]) for message in self.messages
                    if message[1].endswith("/offer") or "/release/" in message[1]]

    def controls(self, kind):
        return [control for control in
                (json.loads(message[2]) for message in self.of_topic(self.topic("control")))
                if control["type"] == kind]

    def wait_offer(self, seconds=10):
        return json.loads(self.wait_message(
            lambda topic, _: topic.endswith("/offer") or "/release/" in topic, seconds,
            "an offer")[2])

    def report(self, release, state, attempt=1, acked=True, seconds=20, **more):
        """Sends a report; waits until the plugin says that it is stored."""
        self.seq += 1
        seq = self.seq
        self.publish(self.topic("report"), json.dumps({
            "v": 1, "seq": seq, "release": release, "attempt": attempt, "state": state,
            "at_ms": 1000 * seq, "version": self.version, "digest": self.digest, **more}))
        if acked:
            self.wait(lambda: any(seq in ack["seqs"] for ack in self.report_acks()), seconds,
                      f"the ack of report {seq}")
        return seq

    def report_acks(self):
        found = []
        for _, topic, payload, _ in self.messages:
            if topic == self.topic("control"):
                control = json.loads(payload)
                if control["type"] == "ack":
                    found.append(control)
        return found

    def fetch(self, blob, size, seconds=30):
        """All chunks of a blob, four at a time."""
        count, got = -(-size // 65536), {}
        transfer = secrets.randbelow(2 ** 32 - 1) + 1
        for first in range(0, count, 4):
            wanted = range(first, min(first + 4, count))
            self.publish(self.topic("get"), json.dumps({
                "v": 1, "transfer": transfer, "blob": blob,
                "ranges": [[first, len(wanted)]]}), 0)
            self.wait(lambda: self._take(transfer, got) and all(n in got for n in wanted),
                      seconds, f"chunks {first} to {wanted[-1]} of {blob[:8]}")
        return b"".join(got[n] for n in range(count))

    def _take(self, transfer, got):
        for _, topic, payload, _ in self.messages:
            if topic == self.topic("chunk"):
                kind, _, error, which, number = struct.unpack(">BBHII", payload[:12])
                if which == transfer and kind == 1:
                    got[number] = payload[12:]
                assert which != transfer or kind != 3, f"refused: error {error}"
        return True
