"""Keys, envelopes and documents as common/PROTOCOL.md section 5 has them, written here once more
and on purpose apart from the product's own code: what the product accepts is checked against an
independent maker."""
import base64
import hashlib
import json
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

TYPES = {name: f"application/vnd.mosquitto-ota.{name}.v1+json"
         for name in ("root", "firmware", "release", "head")}


class Key:
    def __init__(self, name, algorithm="ed25519"):
        self.name, self.algorithm = name, algorithm
        if algorithm == "ed25519":
            self.private = ed25519.Ed25519PrivateKey.generate()
        else:
            self.private = ec.generate_private_key(ec.SECP256R1())
        self.der = self.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.id = hashlib.sha256(self.der).hexdigest()

    def sign(self, message):
        if self.algorithm == "ed25519":
            return self.private.sign(message)
        r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def entry(self):
        return {"id": self.id, "algorithm": self.algorithm,
                "public": base64.b64encode(self.der).decode(), "name": self.name}

    def save(self, path):
        path.write_bytes(self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()))
        path.chmod(0o600)


def signed_bytes(payload_type, payload):
    return b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload),
                                    payload)


def envelope(kind, document, keys):
    """The text of an envelope; `document` is a dict, or the payload's exact bytes."""
    payload = document if isinstance(document, bytes) else \
        json.dumps(document, separators=(",", ":")).encode()
    return json.dumps({
        "payloadType": TYPES[kind],
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": key.id,
                        "sig": base64.b64encode(key.sign(signed_bytes(TYPES[kind], payload)))
                        .decode()} for key in keys],
    }, separators=(",", ":"))


def payload_of(text):
    return base64.b64decode(json.loads(text)["payload"])


class Trust:
    """A root with one key of each role, and what those keys sign."""

    def __init__(self, manager="alice", algorithm="ed25519"):
        self.root_key = Key("root", algorithm)
        self.firmware_key = Key("firmware", algorithm)
        self.release_key = Key(f"{manager}-release", algorithm)
        self.development_key = Key("development", algorithm)
        self.head_key = Key("head", algorithm)
        self.manager = manager
        self.version = 1
        self.root = self.make_root()

    def document(self, **changes):
        keys = [self.root_key, self.firmware_key, self.release_key, self.development_key,
                self.head_key]
        return {
            "version": self.version, "created": int(time.time()),
            "keys": [key.entry() for key in keys],
            "root": {"threshold": 1, "keys": [self.root_key.id]},
            "firmware": {"threshold": 1, "keys": [self.firmware_key.id]},
            "development": {"threshold": 1, "keys": [self.development_key.id]},
            "head": {"threshold": 1, "keys": [self.head_key.id]},
            "releasers": [{"key": self.release_key.id, "manager": self.manager,
                           "products": ["*"], "groups": ["*"],
                           "actions": ["release", "force", "downgrade", "rollback"],
                           "not_after": int(time.time()) + 365 * 86400}],
            "floors": [], **changes}

    def make_root(self, **changes):
        return envelope("root", self.document(**changes), [self.root_key])

    def firmware(self, image, keys=None, **changes):
        """`image` is a firmware.Image."""
        document = {
            "product": image.product, "version": image.version, "security_version": 1,
            "hardware": ["board-1"],
            "components": [{"name": "main", "slot_class": "main", "size": len(image.bytes),
                            "sha256": image.digest, "segment_size": image.segment_size,
                            "index": {"sha256": image.index_digest, "size": len(image.index)}}],
            "created": int(time.time()), **changes}
        return envelope("firmware", document, keys or [self.firmware_key])

    def release(self, product, number, firmware, keys=None, mode="fast", target=None, **changes):
        """`firmware` is the firmware's envelope; target defaults to the whole product."""
        document = {
            "product": product, "number": number,
            "firmware": hashlib.sha256(payload_of(firmware)).hexdigest(), "mode": mode,
            "target": target or {"kind": "product", "name": product},
            "not_after": int(time.time()) + 30 * 86400, "created": int(time.time()), **changes}
        return envelope("release", document, keys or [self.release_key])
