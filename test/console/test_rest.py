"""REST: every operation of doc/openapi.yaml with good, bad, unauthorized and wrong-role input."""
import base64
import json
import re

import jsonschema
import pytest

from harness import places
from harness.console import Document
from harness.firmware import Image, filler
from harness.signing import envelope

DOCUMENT = Document()
VALUES = {"name": "thermo", "product": "thermo", "device": "d1", "number": "1", "release": "1",
          "group": "beta", "version": "1.0.0", "sha256": "0" * 64, "id": "0" * 16}


def path_of(operation_path, **values):
    for name, value in {**VALUES, **values}.items():
        operation_path = operation_path.replace("{%s}" % name, value)
    return operation_path


def guarded():
    """Every operation that needs a token."""
    return [(method, path, operation) for method, path, _, operation in DOCUMENT.operations
            if operation.get("security") != []]


@pytest.fixture
def fleet(api, devices, closing):
    """Product thermo with two approved devices that have said hello."""
    return devices(2)


def add_firmware(api, trust, version, seed):
    image = Image("thermo", version, filler(300000, seed) + bytes(300000), 262144)
    component = api.put_image("thermo", image)
    assert component["index"] == {"sha256": image.index_digest, "size": len(image.index)}
    text = trust.firmware(image)
    return text, api.good("POST", "/v1/products/thermo/firmware", {"firmware": text})


def test_every_operation_answers_as_the_document_says(api, trust, fleet, alice):
    product = "/v1/products/thermo"
    for path in ("/v1/health", "/v1/openapi.yaml", "/metrics", "/v1/whoami", "/v1/status",
                 "/v1/products", product, product + "/bases", product + "/devices",
                 product + "/devices/d1", product + "/devices/d1/why", product + "/groups",
                 "/v1/managers", "/v1/tokens", "/v1/root", "/v1/audit", "/v1/audit/verify"):
        api.good("GET", path)
    api.good("POST", "/v1/products", {"name": "other", "title": "Another"})
    api.good("PUT", product, {"title": "Thermostat", "second_approval": False})
    api.good("POST", product + "/devices", {"devices": ["d8", "d9", "not an id"]})
    for verb in ("approve", "deny", "remove"):
        api.good("POST", f"{product}/devices/{verb}", {"devices": ["d9"]})
    api.good("POST", product + "/groups", {"group": "beta"})
    api.good("POST", product + "/groups/beta/devices", {"add": ["d1"], "remove": ["d2"]})
    api.good("PUT", product + "/devices/d1", {"notes": "in the lab", "groups": ["beta"],
                                              "flash": True})
    api.good("POST", product + "/devices/d1/ping")

    text, added = add_firmware(api, trust, "1.0.0", 1)
    add_firmware(api, trust, "0.9.0", 2)
    assert added["version"] == "1.0.0" and added["packs"]
    api.good("GET", product + "/firmware")
    api.good("GET", product + "/firmware/1.0.0")
    api.good("DELETE", product + "/firmware/0.9.0")
    release = {"release": trust.release("thermo", 1, text)}
    api.good("POST", product + "/releases", release, query={"dry_run": "true"})
    made = api.good("POST", product + "/releases", release, query={"override": "true"})
    assert made.status == 201 and made["number"] == 1
    number = product + "/releases/1"
    for path in (product + "/releases", number, number + "/devices", number + "/report.csv",
                 product + "/devices/d1/updates", product + "/devices/d1/updates/1/log"):
        api.good("GET", path)
    for verb in ("hold", "resume"):
        api.good("POST", f"{number}/{verb}")
    api.ask("POST", number + "/retry", {})
    api.ask("POST", number + "/advance")
    api.ask("POST", number + "/approve")
    api.ask("POST", product + "/devices/d1/retry", {"release": 1})
    api.good("POST", number + "/abort")
    api.refused(422, "signature_required", "PUT", product + "/firmware/release",
                {"version": "1.0.0", "product_default": True, "intelligent": True})
    api.good("DELETE", product + "/groups/beta")

    api.good("POST", "/v1/managers", {"name": "bob", "product": "thermo", "role": "viewer"})
    api.good("DELETE", "/v1/managers/bob")
    token = api.good("POST", "/v1/tokens", {"name": "t", "product": "*", "role": "viewer",
                                            "days": 1})
    api.good("DELETE", f"/v1/tokens/{token['id']}")
    api.ask("POST", "/v1/root", {"root": trust.root})
    head = envelope("head", {"created": 1, "not_after": 4102444800, "root": 1, "numbers": []},
                    [trust.head_key])
    api.ask("POST", "/v1/head", {"head": head})
    stream = api.events("thermo")
    assert next(iter(stream))[0] == "ready"
    stream.close()
    api.seen.add("events")
    # Answered, though not with success in this fleet: each has its own test.
    elsewhere = {"releaseAdvance", "releaseApprove", "deviceRetry", "rootUpdate",
                 "headUpdate", "firmwareRelease", "releaseRetry"}
    every = {operation["operationId"] for *_, operation in DOCUMENT.operations}
    assert every - api.seen - elsewhere == set()


def test_without_a_token_nothing_is_told(console, product):
    nobody, forger = console.api(), console.api("0" * 16 + "." + "f" * 64)
    for method, path, operation in guarded():
        body = {} if "requestBody" in operation else None
        for api in (nobody, forger):
            answer = api.ask(method, path_of(path), body, wrong=True,
                             headers={"Content-Range": "bytes 0-0/1"})
            if method == "PUT" and path.endswith("{sha256}"):
                assert answer.status in (401, 415), answer.bytes
                continue
            assert answer.status == 401, (method, path, answer.status, answer.bytes)
            assert answer["name"] == "unauthorized"


def test_a_viewer_reads_and_does_not_act(console, tokens, fleet):
    viewer = console.api(tokens("viewer"))
    for method, path, operation in guarded():
        role = operation["description"]
        if "requestBody" in operation and method != "GET" and "octet" not in json.dumps(
                operation["requestBody"]):
            body = example(operation)
        else:
            body = None
        if method == "GET" and "events" in path:
            continue
        if "octet" in json.dumps(operation.get("requestBody", {})):
            continue
        answer = viewer.ask(method, path_of(path), body, wrong=True)
        if role in ("Role: viewer.", "Role: any role."):
            assert answer.status in (200, 404), (path, answer.bytes)
        elif answer.status == 200:  # a list of what the caller is admin of: nothing
            assert method == "GET" and answer["items"] == [], (path, answer.bytes)
        elif answer.status == 422:  # whose product it is stands inside what is signed
            assert answer["name"] == "signature_invalid", (method, path, answer.bytes)
        else:
            assert answer.status in (403, 404), (method, path, role, answer.bytes)


def example(operation):
    """The least body that the schema allows."""
    content = operation["requestBody"]["content"].get("application/json")
    properties = DOCUMENT.resolve(content["schema"])["properties"]
    names = content["schema"].get("required") or list(properties)[:1]
    return {name: value_of(properties[name]) for name in names}


def value_of(schema):
    schema = DOCUMENT.resolve(schema)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema["type"]
    if kind == "array":
        return [value_of(schema["items"])]
    if kind == "integer":
        return 1
    if kind == "boolean":
        return True
    return "thermo"


def test_bad_input_is_named(api, product):
    path = "/v1/products/thermo"
    answer = api.refused(422, "bad_request", "GET", path + "/devices", query={"limit": "many"})
    assert "limit" in answer["detail"]
    answer = api.refused(422, "bad_request", "GET", path + "/devices", query={"colour": "red"})
    assert "colour" in answer["detail"]
    answer = api.refused(422, "bad_request", "POST", "/v1/products", {"name": "x", "colour": 1})
    assert "colour" in answer["detail"]
    answer = api.refused(422, "bad_request", "PUT", path + "/devices/d1", {"colour": 1})
    assert "colour" in answer["detail"]
    for raw in (b"", b"[]", b"{", b'{"name":"x"} trailing', b'{"name":"x","name":"y"}', b"\xff",
                b'{"name":"x"}{"name":"y"}', b'null', b'{"name":"a\\u0000b"}'):
        answer = api.ask("POST", "/v1/products", raw=raw, wrong=True,
                         headers={"Content-Type": "application/json"})
        assert answer.status == 422, (raw, answer.bytes)
    assert api.ask("POST", "/v1/products", raw=b"name=x", wrong=True, headers={
        "Content-Type": "application/x-www-form-urlencoded"}).status == 415
    assert api.ask("POST", "/v1/products", raw=b"x" * 300000, wrong=True, headers={
        "Content-Type": "application/json"}).status == 413
    assert api.ask("PATCH", path).status == 405
    assert api.ask("GET", "/v1/nothing").status == 404
    assert api.ask("GET", "/v1/" + "x" * 1100).status == 414
    assert api.ask("GET", "/v1/products/none").status == 404


def test_one_key_makes_one_release(api, trust, fleet):
    text, _ = add_firmware(api, trust, "1.0.0", 3)
    body = {"release": trust.release("thermo", 1, text)}
    path, how = "/v1/products/thermo/releases", {"query": {"override": "true"},
                                                 "headers": {"Idempotency-Key": "k1"}}
    first = api.good("POST", path, body, **how)
    again = api.good("POST", path, body, **how)
    assert first["number"] == again["number"] == 1
    assert len(api.good("GET", path)["items"]) == 1
    api.refused(409, "conflict", "POST", "/v1/products", {"name": "y"},
                headers={"Idempotency-Key": "k1"})


def test_an_answer_that_is_known_is_not_sent_again(api, product):
    first = api.good("GET", "/v1/products/thermo")
    again = api.ask("GET", "/v1/products/thermo",
                    headers={"If-None-Match": first.headers["ETag"]})
    assert again.status == 304 and again.bytes == b""
    api.good("PUT", "/v1/products/thermo", {"title": "One"},
             headers={"If-Match": first.headers["ETag"]})
    answer = api.ask("PUT", "/v1/products/thermo", {"title": "Two"},
                     headers={"If-Match": first.headers["ETag"]})
    assert answer.status == 412
    assert api.good("GET", "/v1/products/thermo")["title"] == "One"


def test_an_upload_goes_on_where_it_was_cut(api, product, console):
    image = Image("thermo", "1.0.0", filler(2500000, 4), 262144)
    path = f"/v1/products/thermo/images/{image.digest}"
    head = {"Content-Type": "application/octet-stream",
            "Content-Range": f"bytes 0-999999/{len(image.bytes)}"}
    api.good("PUT", path, raw=image.bytes[:1000000], headers=head)
    console.kill()
    console.start()
    assert api.good("GET", path).json["offset"] == 1000000
    api.refused(409, "conflict", "PUT", path, raw=image.bytes[2000000:2000010], headers={
        **head, "Content-Range": f"bytes 2000000-2000009/{len(image.bytes)}"})
    assert api.put_image("thermo", image)["sha256"] == image.digest


def test_other_bytes_than_promised_are_refused(api, product):
    image, other = Image("thermo", "1", filler(1000, 5)), filler(1000, 6)
    path = f"/v1/products/thermo/images/{image.digest}"
    api.good("PUT", path, raw=other, headers={"Content-Type": "application/octet-stream",
                                              "Content-Range": "bytes 0-999/1000"})
    state = api.good("GET", path)
    while state["state"] == "packing":
        state = api.good("GET", path)
    assert state["state"] == "failed" and state["error"]["name"] == "image_hash_mismatch"


def test_a_scripts_release_says_what_must_be_signed(api, trust, fleet):
    add_firmware(api, trust, "1.0.0", 7)
    answer = api.refused(422, "signature_required", "PUT", "/v1/products/thermo/firmware/release",
                         {"version": "1.0.0", "product_default": True, "intelligent": True})
    payload = base64.b64decode(answer["payload"])
    assert base64.b64decode(answer["signed_bytes"]).endswith(payload)
    document = json.loads(payload)
    assert (document["mode"], document["number"]) == ("fast", 1)
    signed = envelope("release", payload, [trust.release_key])
    made = api.good("POST", "/v1/products/thermo/releases", {"release": signed},
                    query={"override": "true"})
    assert made["mode"] == "fast"


def test_a_signer_beside_the_console_makes_scripts_work_unchanged(consoles, tokens, trust, fleet,
                                                                 directory):
    trust.release_key.save(directory / "release.pem")
    signer = directory / "signer.py"
    signer.write_text("import sys\n"
                      f"sys.path.insert(0, {str(places.TREE / 'test')!r})\n"
                      "from cryptography.hazmat.primitives import serialization\n"
                      "from harness.signing import Key, envelope\n"
                      "key = Key('x')\n"
                      f"pem = open({str(directory / 'release.pem')!r}, 'rb').read()\n"
                      "key.private = serialization.load_pem_private_key(pem, None)\n"
                      f"key.id = {trust.release_key.id!r}\n"
                      "print(envelope('release', sys.stdin.buffer.read(), [key]))\n")
    console = consoles("signing", settings={"signer_command": f"/usr/bin/python3 {signer}"})
    api = console.api(tokens("admin"))
    add_firmware(api, trust, "1.0.0", 8)
    api.refused(409, "not_proven", "PUT", "/v1/products/thermo/firmware/release",
                {"version": "1.0.0", "product_default": True, "intelligent": True})
    api.good("POST", "/v1/products/thermo/groups", {"group": "beta"})
    api.refused(422, "bad_request", "PUT", "/v1/products/thermo/firmware/release",
                {"version": "1.0.0", "groups": ["beta", "other"]})
    api.refused(409, "no_targets", "PUT", "/v1/products/thermo/firmware/release",
                {"version": "1.0.0"})
    # The first device proves the version; then the script's call is enough.
    text = api.good("GET", "/v1/products/thermo/firmware/1.0.0")["envelope"]
    api.good("POST", "/v1/products/thermo/releases", {"release": trust.release(
        "thermo", 1, text, target={"kind": "device", "name": "d1"})})
    fleet[0].wait_offer()
    image = json.loads(base64.b64decode(json.loads(text)["payload"]))["components"][0]["sha256"]
    fleet[0].version, fleet[0].digest = "1.0.0", image
    fleet[0].hello(boot="trial", trial={"release": 1, "attempt": 1})
    fleet[0].wait(lambda: fleet[0].controls("grant"), 20, "the grant")
    fleet[0].report(1, "succeeded")
    made = api.good("PUT", "/v1/products/thermo/firmware/release",
                    {"version": "1.0.0", "product_default": True, "intelligent": True})
    assert (made["mode"], made["number"]) == ("fast", 2)
    assert api.good("PUT", "/v1/products/thermo/devices/d2", {
        "desired_firmware_version": "1.0.0", "flash": True})["pin"] == "1.0.0"
    assert api.good("PUT", "/v1/products/thermo/devices/d2", {
        "desired_firmware_version": None})["pin"] == ""


def test_the_document_is_well_formed():
    """Every reference leads somewhere, every operation has its own id, its parameters are those
    of its path, and every schema is a schema."""
    tree, ids = DOCUMENT.tree, set()
    assert tree["openapi"] == "3.1.0"
    for schema in tree["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for method, path, _, operation in DOCUMENT.operations:
        assert operation["operationId"] not in ids, operation["operationId"]
        ids.add(operation["operationId"])
        named = {p["name"] for p in map(DOCUMENT.resolve, operation.get("parameters", []))
                 if p["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path)), path
        assert operation["summary"] and operation["tags"][0] in {t["name"] for t in tree["tags"]}
        for status, response in operation["responses"].items():
            assert 200 <= int(status) < 600 and DOCUMENT.resolve(response)["description"]

    def follow(node):
        if isinstance(node, dict):
            if "$ref" in node:
                DOCUMENT.resolve(node)
            for value in node.values():
                follow(value)
        elif isinstance(node, list):
            for value in node:
                follow(value)
    follow(tree)
