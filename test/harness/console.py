"""A real ota-console, and a client of its REST API that holds every answer against
doc/openapi.yaml."""
import http.client
import json
import re
import ssl
import urllib.parse

import jsonschema
import yaml

from . import places
from .process import Process, eventually

CONSOLE = places.BUILD / "manager" / "console" / "ota-console"
DOCUMENT = places.TREE / "doc" / "openapi.yaml"


class Console(Process):
    """ota-console over TLS on a free port. `settings` replace lines of its configuration."""

    def __init__(self, broker, directory, name="console", settings=None):
        directory.mkdir(parents=True, exist_ok=True)
        self.pki, self.port = broker.pki, None
        self.lock = places.Port()
        stem = broker.pki.client("console", name)
        values = {
            "address": "127.0.0.1", "port": self.lock.number,
            "certificate": broker.pki.directory / "broker.crt",
            "key": broker.pki.directory / "broker.key",
            "broker": f"127.0.0.1:{broker.port}", "broker_ca": broker.pki.directory / "ca.crt",
            "broker_certificate": f"{stem}.crt", "broker_key": f"{stem}.key",
            "spool": directory / "spool", "rate": 10000, "burst": 10000,
            "login_failures": 1000, "peer_failures": 100000, **(settings or {})}
        config = directory / "console.conf"
        config.write_text("".join(f"{key} = {value}\n" for key, value in values.items()
                                  if value is not None))
        super().__init__(name, [CONSOLE, "--config", config], directory / f"{name}.log")

    def start(self, ready=True):
        since = len(self.log())
        super().start()
        match = self.wait_log(r"listening on (https?)://127\.0\.0\.1:(\d+)", since=since)
        self.scheme, self.port = match.group(1), int(match.group(2))
        if ready:
            eventually(lambda: self.api().ask("GET", "/v1/health").status == 200, 20,
                       lambda: f"the console reaches the broker\n{self.tail()}")
        return self

    def connection(self, timeout=30):
        timeout *= places.PATIENCE
        if self.scheme == "http":
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        context = ssl.create_default_context(cafile=str(self.pki.directory / "ca.crt"))
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout,
                                           context=context)

    def api(self, token=None):
        return Api(self, token)

    def close(self):
        try:
            super().close()
        finally:
            self.lock.release()


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.bytes = status, headers, body
        self.type = headers.get("Content-Type", "").split(";")[0]
        self.json = json.loads(body) if self.type.endswith("json") and body else None

    def __getitem__(self, key):
        return self.json[key]


class Document:
    """doc/openapi.yaml, asked for operations and schemas."""

    def __init__(self):
        with open(DOCUMENT) as file:
            self.tree = yaml.safe_load(file)
        self.operations = []
        for path, methods in self.tree["paths"].items():
            pattern = re.compile("^" + re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)) + "$")
            for method, operation in methods.items():
                self.operations.append((method.upper(), path, pattern, operation))

    def find(self, method, path):
        fits = [(p, o) for m, p, pattern, o in self.operations
                if m == method and pattern.match(path)]
        # A fixed word goes before a parameter, as in the console.
        return min(fits, key=lambda fit: fit[0].count("{"), default=(None, None))

    def resolve(self, node):
        while "$ref" in node:
            at = self.tree
            for part in node["$ref"][2:].split("/"):
                at = at[part]
            node = at
        return node

    def check(self, value, schema):
        resolver = jsonschema.RefResolver("", self.tree)
        jsonschema.Draft202012Validator(schema, resolver=resolver).validate(value)

    def check_request(self, operation, body):
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        self.check(body, schema)

    def check_answer(self, operation, answer):
        responses = operation["responses"]
        assert str(answer.status) in responses, \
            f"{operation['operationId']}: {answer.status} is not documented: {answer.bytes[:300]}"
        content = self.resolve(responses[str(answer.status)]).get("content")
        if not content:
            return
        assert answer.type in content, f"{operation['operationId']}: {answer.type}"
        if answer.json is not None:
            self.check(answer.json, content[answer.type]["schema"])


class Api:
    """Asks the console; every answer is checked against the document, and what is sent too
    unless `wrong` says that it is meant to be wrong."""

    document = None

    def __init__(self, console, token=None):
        Api.document = Api.document or Document()
        self.console, self.token, self.seen = console, token, set()

    def ask(self, method, path, body=None, query=None, headers=None, wrong=False, raw=None):
        target = path + ("?" + urllib.parse.urlencode(query) if query else "")
        head = dict(headers or {})
        if self.token:
            head.setdefault("Authorization", f"Bearer {self.token}")
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
            head.setdefault("Content-Type", "application/json")
        _, operation = self.document.find(method, path)
        if operation and body is not None and not wrong:
            self.document.check_request(operation, body)
        connection = self.console.connection()
        try:
            connection.request(method, target, data, head)
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        finally:
            connection.close()
        if operation:
            self.document.check_answer(operation, answer)
            if answer.status < 300:
                self.seen.add(operation["operationId"])
        return answer

    def good(self, method, path, body=None, **how):
        answer = self.ask(method, path, body, **how)
        assert answer.status < 300, f"{method} {path}: {answer.status} {answer.bytes[:500]}"
        return answer

    def refused(self, status, name, method, path, body=None, **how):
        answer = self.ask(method, path, body, wrong=True, **how)
        assert (answer.status, (answer.json or {}).get("name")) == (status, name), \
            f"{method} {path}: {answer.status} {answer.bytes[:500]}"
        return answer

    def put_image(self, product, image, piece=1 << 20):
        """Sends an image as the browser does; returns the component that a manifest needs."""
        path = f"/v1/products/{product}/images/{image.digest}"
        size = len(image.bytes)
        state = self.good("GET", path)
        while state["state"] in ("absent", "receiving"):
            first = state["offset"]
            last = min(first + piece, size)
            state = self.good("PUT", path, raw=image.bytes[first:last], headers={
                "Content-Type": "application/octet-stream",
                "Content-Range": f"bytes {first}-{last - 1}/{size}"})
        while state["state"] == "packing":
            state = self.good("GET", path)
        assert state["state"] == "ready", state.json
        return state["component"]

    def events(self, product, last=None):
        return EventStream(self.console, self.token, product, last)


class EventStream:
    """Server-sent events, one at a time: (name, id, data)."""

    def __init__(self, console, token, product, last=None):
        self.connection = console.connection()
        headers = {"Authorization": f"Bearer {token}"}
        if last is not None:
            headers["Last-Event-ID"] = str(last)
        self.connection.request("GET", f"/v1/products/{product}/events", headers=headers)
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()

    def __iter__(self):
        name, identity, data = "", None, ""
        while True:
            line = self.response.readline()
            if not line:
                return
            line = line.decode().rstrip("\n")
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("id: "):
                identity = int(line[4:])
            elif line.startswith("data: "):
                data += line[6:]
            elif not line and name:
                yield name, identity, json.loads(data or "{}")
                name, data = "", ""

    def close(self):
        self.connection.close()
