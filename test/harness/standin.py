"""A stand-in for the plugin: a stock client on a broker without it, that welcomes, offers, serves
chunks, acknowledges and grants as PROTOCOL.md has it. Tests of the agent use it to do what the
real plugin never would: lie, drop, forge, delay. It keeps everything that it was told."""
import json
import struct
import threading
import time

from .client import Client

CHUNK = 65536


class StandIn(Client):
    """`broker` runs without the plugin. Everything that an agent needs is answered at once
    unless a switch below says otherwise."""

    def __init__(self, broker, trust, **more):
        super().__init__(broker, broker.pki.manager("stand-in"), "stand-in", **more)
        self.trust = trust
        self.blobs, self.hellos, self.reports, self.gets = {}, [], [], []
        self.consents = []
        self.roots = []
        self.grants = True       # a healthy trial gets its grant
        self.answers = True      # a hello is answered
        self.acks_reports = True
        self.serves = True       # chunks are answered
        self.on_hello = None     # called with (device, hello) after the welcome
        self.spoil = None        # (blob, number, data) -> data, or None to drop the chunk
        self.served = 0
        self.queue, self.ended = [], False
        self.worker = threading.Thread(target=self._work, daemon=True)

    def connect(self, seconds=20):
        super().connect(seconds)
        self.worker.start()
        for leaf in ("hello", "report", "consent", "get"):
            assert self.subscribe(f"ota/v1/d/+/{leaf}") <= 1
        return self

    def close(self):
        with self.condition:
            self.ended = True
            self.condition.notify_all()
        super().close()

    # paho's thread only notes; another one answers, so that answers may publish.
    def received(self, when, topic, payload, retained):
        with self.condition:
            self.queue.append((topic, payload))
            self.condition.notify_all()

    def _work(self):
        while True:
            with self.condition:
                while not self.queue and not self.ended:
                    self.condition.wait(1)
                if self.ended:
                    return
                topic, payload = self.queue.pop(0)
            device, leaf = topic.split("/")[3:5]
            message = json.loads(payload)
            getattr(self, f"_on_{leaf}")(device, message)
            with self.condition:
                self.condition.notify_all()

    def say(self, device, leaf, message):
        text = message if isinstance(message, (str, bytes)) else \
            json.dumps(message, separators=(",", ":"))
        self.mqtt.publish(f"ota/v1/d/{device}/{leaf}", text, 0 if leaf == "chunk" else 1)

    def control(self, device, kind, **members):
        self.say(device, "control", {"v": 1, "type": kind, **members})

    def _on_hello(self, device, hello):
        with self.condition:
            self.hellos.append((device, hello))
        if not self.answers:
            return
        self.control(device, "welcome", nonce=hello["nonce"], time=int(time.time()),
                     status="approved", product=hello["product"], groups=[], shards=1,
                     roots=self.roots[hello["root"] - 1:] if self.roots else [])
        if "trial" in hello and self.grants:
            self.control(device, "grant", nonce=hello["nonce"], **hello["trial"])
        if self.on_hello:
            self.on_hello(device, hello)

    def _on_report(self, device, report):
        with self.condition:
            self.reports.append((device, report))
        if self.acks_reports:
            self.control(device, "ack", seqs=[report["seq"]])

    def _on_consent(self, device, consent):
        with self.condition:
            self.consents.append((device, consent))

    def _on_get(self, device, get):
        with self.condition:
            self.gets.append((device, get))
        if not self.serves:
            return
        blob = self.blobs.get(get["blob"])
        for first, count in get["ranges"]:
            for number in range(first, first + count):
                if blob is None:
                    self.say(device, "chunk", struct.pack(">BBHII", 3, 0, 103,
                                                          get["transfer"], number))
                    continue
                data = blob[number * CHUNK:(number + 1) * CHUNK]
                if self.spoil:
                    data = self.spoil(get["blob"], number, data)
                if data is not None:
                    self.served += len(data)
                    self.say(device, "chunk", struct.pack(">BBHII", 1, 0, 0, get["transfer"],
                                                          number) + data)

    def put(self, image):
        """Its blobs can be fetched from now on."""
        self.blobs[image.index_digest] = image.index
        self.blobs[image.pack_digest] = image.pack

    def offer(self, device, image, number, attempt=1, firmware=None, release=None, packs=None,
              sources=None, **release_members):
        """Offers the image, signed well unless envelopes are given. Returns the offer."""
        self.put(image)
        firmware = firmware or self.trust.firmware(image, components=[{
            "name": "main", "slot_class": "main", "size": len(image.bytes),
            "sha256": image.digest, "segment_size": image.segment_size,
            "index": {"sha256": image.index_digest, "size": len(image.index)}}])
        release = release or self.trust.release(image.product, number, firmware,
                                                **release_members)
        offer = {"v": 1, "release": release, "firmware": firmware, "attempt": attempt,
                 "packs": packs or [{"sha256": image.pack_digest, "size": len(image.pack)}]}
        if sources:
            offer["sources"] = sources
        self.say(device, "offer", offer)
        return offer

    # --- what it was told ---

    def states(self, device, release=None):
        """States reported, in order of their sequence numbers; progress within one state
        counts once."""
        seen = {}
        with self.condition:
            for name, report in self.reports:
                if name == device and release in (None, report["release"]):
                    seen[report["seq"]] = report
        states = [seen[seq]["state"] for seq in sorted(seen)]
        return [state for i, state in enumerate(states) if not i or states[i - 1] != state]

    def wait_hello(self, device, seconds=20, matches=lambda hello: True, since=0):
        return self.wait(lambda: next((hello for name, hello in self.hellos[since:]
                                       if name == device and matches(hello)), None),
                         seconds, f"hello of {device}")

    def wait_report(self, device, state, release=None, seconds=30):
        def found():
            for name, report in self.reports:
                if name == device and report["state"] == state and \
                        release in (None, report["release"]):
                    return report
            return None
        return self.wait(found, seconds, f"{device} reports {state}")
