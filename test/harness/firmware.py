"""Images, their indexes, and packs without a base (PROTOCOL.md sections 5 and 7), made apart
from the product's own code."""
import hashlib
import struct

SEGMENT = 65536
ZERO, RAW = 0, 1


def sha256(content):
    return hashlib.sha256(content).hexdigest()


class Image:
    """`content` as version `version` of `product`."""

    def __init__(self, product, version, content, segment_size=SEGMENT):
        self.product, self.version, self.bytes = product, version, bytes(content)
        self.segment_size = segment_size
        self.digest = sha256(self.bytes)
        segments = [self.bytes[i:i + segment_size]
                    for i in range(0, len(self.bytes), segment_size)]
        self.index = b"".join(hashlib.sha256(segment).digest() for segment in segments)
        self.index_digest = sha256(self.index)
        self.pack = self._pack(segments)
        self.pack_digest = sha256(self.pack)

    def _pack(self, segments):
        """One group for each segment, zero or raw."""
        table, data = b"", []
        for segment in segments:
            blank = not any(segment)
            table += struct.pack(">B3sI", ZERO if blank else RAW, (1).to_bytes(3, "big"),
                                 0 if blank else len(segment))
            if not blank:
                data.append(segment)
        header = struct.pack(">4sB3xQQII32s32x", b"OTAP", 1, len(self.bytes), 0,
                             self.segment_size, len(segments), bytes.fromhex(self.digest))
        return header + table + b"".join(data)


def filler(size, seed=0):
    """Bytes that do not compress, the same for the same seed."""
    return hashlib.shake_128(b"filler %d" % seed).digest(size)
