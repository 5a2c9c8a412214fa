"""A manager of the control protocol (PROTOCOL.md section 4) on a stock client."""
import json
import struct
import uuid

from .client import Client
from .firmware import Image, sha256
from .process import eventually


class CommandError(Exception):
    """The plugin's own words; `name` is the error's name."""

    def __init__(self, error):
        super().__init__(f"{error['name']} ({error['number']}): {error['message']}")
        self.name, self.number, self.message = error["name"], error["number"], error["message"]


class Manager(Client):
    FRAME = 65536
    WINDOW = 4 << 20

    def __init__(self, broker, name="alice", suffix="", role="manager", certificate=None, **more):
        self.name = name
        stem = certificate or broker.pki.client(role, name)
        super().__init__(broker, stem, f"{name}:{suffix}" if suffix else name, **more)

    def connect(self, seconds=20):
        super().connect(seconds)
        granted = self.subscribe(f"ota/v1/m/{self.name}/reply")
        assert granted <= 1, f"reply topic refused: {granted:#x}"
        return self

    def send(self, verb, args=None, **more):
        """Sends a command and returns its id."""
        identity = more.pop("id", uuid.uuid4().hex)
        text = json.dumps({"v": 1, "id": identity, "verb": verb, "args": args or {}, **more})
        self.publish("$CONTROL/ota/v1", text)
        return identity

    def reply(self, identity, seconds=20):
        def matches(topic, payload):
            return topic.endswith("/reply") and json.loads(payload).get("id") == identity
        return json.loads(self.wait_message(matches, seconds, f"the reply to {identity}")[2])

    def ask(self, verb, args=None, seconds=20, **more):
        """The result; CommandError when the answer is an error."""
        answer = self.reply(self.send(verb, args, **more), seconds)
        if not answer["ok"]:
            raise CommandError(answer["error"])
        return answer["result"]

    def every(self, verb, args=None, **more):
        """All items of a list, page after page."""
        items, args = [], dict(args or {})
        while True:
            page = self.ask(verb, args, **more)
            items += page["items"]
            if "next" not in page:
                return items
            args["after"] = page["next"]

    def upload(self, product, content):
        """Puts a blob into the store and returns its digest."""
        digest = sha256(content)
        begun = self.ask("blob.begin", {"product": product, "sha256": digest,
                                        "size": len(content)})
        sent = acked = begun["offset"]
        number, done = int(begun["upload"] or "0", 16), begun["done"]
        seen = len(self.messages)
        while not done:
            while sent < len(content) and sent - acked < self.WINDOW:
                piece = content[sent:sent + self.FRAME]
                self.mqtt.publish(f"ota/v1/m/{self.name}/upload",
                                  struct.pack(">QQ", number, sent) + piece, 1)
                sent += len(piece)
            acked, done, seen = self._upload_answer(begun["upload"], acked, seen)
        return digest

    def _upload_answer(self, upload, acked, seen):
        def matches(topic, payload):
            if not topic.endswith("/reply"):
                return False
            answer = json.loads(payload)
            return answer.get("upload") == upload and \
                (answer["offset"] > acked or answer["done"] or "error" in answer)
        message = self.wait_message(matches, 30, "progress of the upload", seen)
        answer = json.loads(message[2])
        if "error" in answer:
            raise CommandError(answer["error"])
        with self.condition:
            seen = self.messages.index(message) + 1
        return answer["offset"], answer["done"], seen

    def push(self, trust, image: Image, **changes):
        """Signs the firmware, uploads index and pack, and adds it; returns its envelope."""
        envelope = trust.firmware(image, **changes)
        self.upload(image.product, image.index)
        self.upload(image.product, image.pack)
        self.ask("firmware.add", {"firmware": envelope, "packs": [image.pack_digest]}, 30)
        return envelope

    def release(self, trust, firmware, product, override=True, **how):
        """Signs the next release of the product and creates it. `override` skips the rule that
        a version must first have succeeded somewhere."""
        number = how.pop("number", None) or \
            self.ask("product.show", {"name": product})["next_number"]
        text = trust.release(product, number, firmware, **how)
        args = {"release": text}
        if override:
            args["override"] = True
        return self.ask("release.create", args, 30)


def update_of(alice, device="d1"):
    """The device's update in hand, or its last one; {} without."""
    return alice.ask("device.show", {"device": device}).get("update", {})


def wait_state(alice, agent, state, seconds=60):
    """Until the plugin knows the agent's update to be in this state."""
    eventually(lambda: update_of(alice, agent.device).get("state") == state, seconds,
               lambda: f"{state}, but {update_of(alice, agent.device)}\n{agent.tail(60)}")
