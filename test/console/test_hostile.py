"""Hostile input: devices that send markup and control bytes, and clients that send anything."""
import collections
import json
import os
import random
import string
import threading

from harness import places
from harness.console import Document
from harness.process import eventually

NASTY = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\u202egpj.exe", "a\u200bb",
         "\x07bell", "\x1b[31mred", "${7*7}", "'; DROP TABLE device;--", "\ufeffbom", "\U0001f4a9"]
FORBIDDEN = {chr(c) for c in [*range(0, 9), 11, 12, *range(14, 32), 127, *range(0x80, 0xa0),
                              *range(0x200b, 0x2010), *range(0x202a, 0x202f),
                              *range(0x2060, 0x206a), 0xfeff]}


def test_what_a_device_says_is_stored_inert_and_trimmed(api, trust, devices, alice):
    from test_rest import add_firmware
    device = devices(1)[0]
    text, _ = add_firmware(api, trust, "1.0.0", 11)
    api.good("POST", "/v1/products/thermo/releases", {"release": trust.release("thermo", 1, text)},
             query={"override": "true"})
    device.wait_offer()
    for i, nasty in enumerate(NASTY):
        device.report(1, "failed" if i % 2 else "downloading", reason=(nasty * 20)[:40],
                      error={"name": "install_failed", "number": 24, "message": nasty * 3,
                             "detail": 0, "state": "installing", "log": nasty * 50})
    page = api.good("GET", "/v1/products/thermo/devices/d1/updates/1/log")
    assert len(page["items"]) >= len(NASTY)
    for row in page["items"]:
        error = row.get("error", {})
        for value in (row["reason"], error.get("message", ""), error.get("log", "")):
            assert not FORBIDDEN & set(value), repr(value)
    shown = api.good("GET", "/v1/products/thermo/devices/d1")
    assert shown["update"]["error"]["name"] == "install_failed"


def test_a_megabyte_from_a_device_changes_nothing(api, devices, broker):
    device = devices(1)[0]
    for leaf in ("report", "hello", "consent"):
        device.publish(device.topic(leaf), b"{" + b'"v":1,' * 170000 + b"}")
    eventually(lambda: api.good("GET", "/v1/status")["refused"]["forbidden"] == 3, 5,
               "each message is refused and counted")
    assert api.good("GET", "/v1/products/thermo/devices/d1")["online"] and broker.is_running()


class Fuzzer:
    """Requests made from the document: the right shape with a few things wrong."""

    def __init__(self, seed):
        self.document, self.random = Document(), random.Random(seed)

    def text(self):
        r = self.random
        return r.choice([
            "", "x", "thermo", "d1", "1", "-1", "*", "..", "a" * r.choice([64, 65, 300, 900]), "%00",
            "\u00e9", "'\"<>", "0" * 64, "f" * 64, "1.0.0", "null", "true", str(2 ** 53 + 1),
            "".join(r.choice(string.printable[:95]) for _ in range(r.randrange(20)))])

    def value(self, schema, depth=0):
        r = self.random
        schema = self.document.resolve(schema)
        if r.random() < 0.2 or depth > 5:
            return r.choice([None, True, -1, 0, 1.5, 2 ** 63, "", "x" * 2000, [], {}, [[[]]],
                             {"a": {"b": 1}}, self.text()])
        if "enum" in schema:
            return r.choice(schema["enum"])
        kind = schema.get("type", "string")
        kind = r.choice(kind) if isinstance(kind, list) else kind
        if kind == "object":
            made = {name: self.value(of, depth + 1)
                    for name, of in schema.get("properties", {}).items() if r.random() < 0.8}
            if r.random() < 0.1:
                made[self.text()] = self.text()
            return made
        if kind == "array":
            return [self.value(schema["items"], depth + 1) for _ in range(r.randrange(4))]
        if kind == "integer":
            return r.choice([0, 1, 2, 17, 2 ** 31, 2 ** 53])
        if kind == "boolean":
            return r.random() < 0.5
        return self.text() if r.random() < 0.5 else r.choice(["thermo", "d1", "beta", "1.0.0"])

    def request(self):
        from urllib.parse import quote, urlencode
        r = self.random
        method, path, _, operation = r.choice(self.document.operations)
        names = {"product": "thermo", "name": "thermo", "device": "d1", "number": "1",
                 "release": "1", "group": "beta", "version": "1.0.0", "sha256": "0" * 64,
                 "id": "0" * 16}
        for name, value in names.items():
            value = value if r.random() < 0.8 else quote(self.text(), safe=r.choice(["", "/"]))
            path = path.replace("{%s}" % name, value)
        query = [(p["name"], self.text()) for p in operation.get("parameters", [])
                 if p.get("in") == "query" and r.random() < 0.5]
        if r.random() < 0.1:
            query.append((self.text(), self.text()))
        headers, body = {}, None
        if "requestBody" in operation:
            media, content = next(iter(operation["requestBody"]["content"].items()))
            headers["Content-Type"] = media if r.random() < 0.95 else "text/plain"
            if media == "application/json" and r.random() < 0.95:
                body = json.dumps(self.value(content["schema"])).encode()
            else:
                body = r.randbytes(r.choice([0, 1, 100, 70000]))
                headers["Content-Range"] = r.choice(["bytes 0-0/1", "bytes 0-99/100", "x", ""])
            if body and r.random() < 0.05:
                cut = r.randrange(len(body))
                body = body[:cut] + r.randbytes(2) + body[cut + 1:]
        if r.random() < 0.05:
            headers["Idempotency-Key"] = quote(self.text()) or "k"
        return r.choice([method] * 9 + ["DELETE", "PATCH", "OPTIONS"]), \
            path + ("?" + urlencode(query) if query else ""), body, headers


CONNECTIONS = int(os.environ.get("OTA_FUZZ_CONNECTIONS", "4"))


def fuzz(console, token, seed, count, by_status, failures):
    """Sends `count` requests on one connection."""
    fuzzer, connection = Fuzzer(seed), console.connection()
    for i in range(count):
        method, target, body, headers = fuzzer.request()
        if target.split("?")[0].endswith("/events"):
            continue  # a stream never ends
        connection.request(method, target, body, {**headers, "Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        text = response.read()
        by_status[response.status] += 1
        # 503 with "busy" is the plugin's word that it has too much to do; it is told to nobody
        # but who asks too fast.
        if response.status >= 500 and response.status != 507 and b'"busy"' not in text:
            failures.append(f"seed {seed}, request {i}: {method} {target} {body!r}: "
                            f"{response.status} {text!r}")
            break
        if response.headers.get("Connection", "").lower() == "close":
            connection.close()
    connection.close()


def test_requests_made_from_the_document_never_break_it(console, broker, tokens, devices):
    """OTA_FUZZ_REQUESTS says how many, the seeds are printed."""
    devices(2)
    count = int(os.environ.get("OTA_FUZZ_REQUESTS", "1200"))
    seed = int(os.environ.get("OTA_FUZZ_SEED", "1"))
    by_status, failures, token = collections.Counter(), [], tokens("developer")
    resident = []
    for half in range(2):
        threads = [threading.Thread(target=fuzz, args=(console, token, seed + CONNECTIONS * half + i,
                                                       count // (2 * CONNECTIONS), by_status, failures))
                   for i in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        resident.append((console.resident_bytes(), broker.resident_bytes()))
    assert not failures, failures[0]
    assert console.is_running() and broker.is_running()
    print(f"{sum(by_status.values())} requests, seeds from {seed}: "
          f"{dict(sorted(by_status.items()))}; RSS at half and end: "
          f"console {resident[0][0]} {resident[1][0]}, broker {resident[0][1]} {resident[1][1]}")
    if places.sanitizer_libraries(places.PLUGIN):
        return  # they keep what is freed for a while
    assert resident[1][0] < resident[0][0] * 1.25 + (8 << 20)
    assert resident[1][1] < resident[0][1] * 1.25 + (8 << 20)
