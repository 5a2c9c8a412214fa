"""Who may do what: every role, every topic, every way to publish and to subscribe, by its effect.

What the table of PROTOCOL.md section 2 allows happens; of all else nobody ever sees anything,
whatever the broker's acknowledgement said. Each publish carries a number of its own in a message
that the plugin would answer, so an effect shows itself somewhere: in a welcome's nonce, an ack's
seq, a chunk frame's transfer, a reply's id, a device's consent, or as the bytes themselves."""
import itertools
import json
import re
import socket
import ssl
import struct
import time

import pytest

from harness.client import V311, V5, Client, Refused
from harness.device import Device
from harness.firmware import Image, filler
from harness.manager import Manager

DEVICES = ("d1", "d2", "other-product", "quarantined", "denied")
MANAGERS = ("mona", "vic", "otto", "rex", "con")
ROLES = (*DEVICES, *MANAGERS, "norole")
SAID, HEARD = ("hello", "report", "consent", "get"), ("offer", "control", "chunk")
PRODUCT, GROUP = "thermo", "beta"
RELEASE = f"ota/v1/p/{PRODUCT}/release/0"
GROUP_RELEASE = f"ota/v1/p/{PRODUCT}/g/{GROUP}/release/0"
EVENTS = f"ota/v1/p/{PRODUCT}/events"
COMMAND = "$CONTROL/ota/v1"
NOBODYS = ("ota/x", "ota/v1/d/v1/other", "ota/v1/d/v1/hello/x", "ota/v2/d/v1/hello",
           "ota/v1/p/thermo/release", "ota/v1/m/alice", "$CONTROL/ota/v1/response",
           "$CONTROL/ota/v2")
# What only looks like a filter of somebody else's.
OURS_BY_WILDCARD = ("ota/#", "ota/v1/#", "ota/+/d/v1/control", "ota/v1/d/+/hello",
                    "ota/v1/d/v1/#", "ota/v1/d/+/chunk", "ota/v1/p/+/events",
                    "ota/v1/p/thermo/release/+", "ota/v1/m/+/reply", "$CONTROL/ota/#",
                    "$CONTROL/ota/+")
ANYBODYS = ("#", "+/#", "+/v1/#", "+/v1/d/v1/control", "+/+/+/+/+", "+/+/p/+/events",
            "+/v1/m/alice/reply", "$CONTROL/#", "$CONTROL/+/v1")
WAYS = {"QoS 0": (0, False), "QoS 1": (1, False), "QoS 2": (2, False),
        "retained": (1, True), "retained QoS 0": (0, True)}
SETTLE_S = 1.5


def is_device(role):
    return role in DEVICES


def topics_of(role):
    """Every topic that is tried as this role: the victims', its own, the fleet's, nobody's."""
    devices = ["v1"] + ([role] if is_device(role) else [])
    managers = ["alice"] + ([role] if role in MANAGERS else [])
    return [*(f"ota/v1/d/{device}/{leaf}" for device in devices for leaf in SAID + HEARD),
            RELEASE, GROUP_RELEASE, EVENTS, COMMAND,
            *(f"ota/v1/m/{manager}/{leaf}" for manager in managers
              for leaf in ("upload", "reply")),
            *NOBODYS]


def may_publish(role, topic):
    if role in ("d1", "d2", "other-product", "quarantined"):
        return topic in {f"ota/v1/d/{role}/{leaf}" for leaf in SAID}
    if role in ("mona", "vic", "otto", "con"):
        return topic in (COMMAND, f"ota/v1/m/{role}/upload")
    return False


def may_receive(role, topic):
    if role in ("d1", "d2", "other-product", "quarantined"):
        own = {f"ota/v1/d/{role}/{leaf}" for leaf in HEARD}
        fleet = {"d1": {RELEASE, GROUP_RELEASE}, "d2": {RELEASE}}.get(role, set())
        return topic in own | fleet
    if role in ("mona", "vic"):
        return topic in (RELEASE, GROUP_RELEASE, EVENTS, f"ota/v1/m/{role}/reply")
    if role in ("otto", "con"):
        return topic == f"ota/v1/m/{role}/reply"
    return False


def shows_an_effect(role, topic):
    """Allowed, and answered in a way that a test sees: the plugin says little to a device that
    is quarantined."""
    return may_publish(role, topic) and (role != "quarantined" or topic.endswith("/hello"))


def message_for(topic, number):
    """What the plugin would understand on this topic, with `number` in it."""
    leaf = topic.rsplit("/", 1)[1]
    product = "pump" if "/other-product/" in topic else PRODUCT
    if leaf == "hello":
        return json.dumps({
            "v": 1, "nonce": f"{number:032x}", "agent": "test", "product": product,
            "hardware": "board-1", "version": "1.0", "digest": "11" * 32,
            "security_version": 1, "floor": 0, "root": 1, "number": 0, "slot_size": 1 << 30,
            "boot": "normal", "consent": {"download": True, "install": True, "restart": True}})
    if leaf == "report":
        return json.dumps({"v": 1, "seq": number, "release": 1, "attempt": 1,
                           "state": "deferred", "at_ms": 1, "version": "1.0",
                           "digest": "11" * 32})
    if leaf == "consent":
        return json.dumps({"v": 1, "reason": f"cell {number}", "consent":
                           {"download": False, "install": False, "restart": False}})
    if leaf == "get":
        return json.dumps({"v": 1, "transfer": number, "blob": "22" * 32, "ranges": [[0, 1]]})
    if leaf == "upload":
        return struct.pack(">QQ", number, 0) + b"bytes"
    if topic == COMMAND:
        return json.dumps({"v": 1, "id": f"cell {number}", "verb": "whoami", "args": {}})
    return f"cell {number}"


def numbers_in(topic, payload):
    """The numbers of publishes whose effect this message is."""
    found = {int(number) for number in re.findall(rb"cell (\d+)", payload)}
    if topic.endswith("/chunk") and len(payload) >= 12:
        found.add(struct.unpack(">I", payload[4:8])[0])
    if not payload.startswith(b"{"):
        return found
    message = json.loads(payload)
    found |= set(message.get("seqs", []))
    for key in ("nonce", "upload"):
        if key in message:
            found.add(int(message[key], 16))
    return found


class World:
    """A broker with the victims v1 and alice, who do everything right and watch, and with
    somebody of every role."""

    def __init__(self, broker, alice, trust, pki, closing, protocol):
        self.broker, self.alice, self.trust, self.pki = broker, alice, trust, pki
        self.closing, self.protocol = closing, protocol
        self.numbers, self.versions = itertools.count(1000), itertools.count(2)
        self.roles = {}
        alice.ask("product.create", {"name": PRODUCT, "default_hardware": "board-1"})
        alice.ask("product.create", {"name": "pump", "default_hardware": "board-1"})
        # Enough devices that a release goes out on fleet topics; these never connect.
        asleep = [f"asleep-{number}" for number in range(80)]
        alice.ask("device.import", {"product": PRODUCT,
                                    "devices": ["v1", "d1", "d2", "denied", *asleep]})
        alice.ask("device.import", {"product": "pump", "devices": ["other-product"]})
        alice.ask("group.create", {"product": PRODUCT, "group": GROUP})
        alice.ask("group.edit", {"product": PRODUCT, "group": GROUP, "add": ["v1", "d1", *asleep]})
        alice.ask("device.deny", {"devices": ["denied"]})
        for name, product, role in (("mona", PRODUCT, "maintainer"), ("vic", PRODUCT, "viewer"),
                                    ("otto", "pump", "admin"), ("rex", PRODUCT, "admin")):
            alice.ask("manager.set", {"name": name, "product": product, "role": role})
        alice.ask("manager.revoke", {"name": "rex"})
        assert alice.subscribe(EVENTS) <= 1
        self.victim = closing.keep(Device(broker, "v1", PRODUCT, protocol=protocol))
        self.victim.join()

    def certificate(self, role):
        if is_device(role):
            return self.pki.device(role)
        if role == "norole":
            return self.pki.bad()["device-no-role"]
        return self.pki.console(role) if role == "con" else self.pki.manager(role)

    def connect(self, role):
        """None when the broker does not let it in: then it can do nothing."""
        client = Client(self.broker, self.certificate(role), role, self.protocol)
        try:
            return client.connect()
        except Refused:
            client.close()
            return None

    def die_with_will(self, role, topic, payload, qos):
        """Connects, and vanishes without DISCONNECT. Two packets: paho would take ten times as
        long."""
        def counted(content):
            return struct.pack(">H", len(content)) + content
        is_5 = self.protocol == V5
        body = counted(b"MQTT") + bytes([5 if is_5 else 4, 0x06 | qos << 3]) + \
            struct.pack(">H", 60) + (b"\0" if is_5 else b"") + counted(role.encode()) + \
            (b"\0" if is_5 else b"") + counted(topic.encode()) + counted(payload)
        length = bytes([len(body)]) if len(body) < 128 else \
            bytes([len(body) % 128 | 128, len(body) // 128])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.pki.ca)
        context.load_cert_chain(f"{self.certificate(role)}.crt", f"{self.certificate(role)}.key")
        with socket.create_connection(("127.0.0.1", self.broker.port), 20) as plain, \
                context.wrap_socket(plain, server_hostname="localhost") as link:
            link.sendall(b"\x10" + length + body)
            answer = link.recv(4)
            return len(answer) == 4 and answer[0] == 0x20 and answer[3] == 0

    def connect_all(self):
        for role in ROLES:
            client = self.connect(role)
            if client:
                self.roles[role] = client

    def close_all(self):
        while self.roles:
            self.roles.popitem()[1].close()

    def watchers(self):
        return [self.victim, self.alice, *self.roles.values()]

    def effects(self):
        """The numbers that anybody has seen since the world began."""
        found = set()
        for client in self.watchers():
            with client.condition:
                messages = list(client.messages)
            for _, topic, payload, _ in messages:
                found |= numbers_in(topic, payload)
        for product in (PRODUCT, "pump"):
            shown = json.dumps(self.alice.every("device.list", {"product": product}))
            found |= {int(number) for number in re.findall(r"cell (\d+)", shown)}
        return found

    def release(self, awaited=True, **target):
        version = f"{next(self.versions)}.0"
        image = Image(PRODUCT, version, filler(1000, int(version[:-2])))
        envelope = self.alice.push(self.trust, image)
        self.alice.release(self.trust, envelope, PRODUCT, target=target)
        if awaited and target["name"] in ("v1", PRODUCT, GROUP):
            self.victim.wait(lambda: any(offer["firmware"] == envelope
                                         for offer in self.victim.offers()), 20,
                             f"the offer of {version}")

    def traffic(self, devices=("d1", "d2", "v1"), awaited=True):
        """Everything that the plugin ever publishes, for v1, d1, d2 and alice. What went to v1
        alone comes before what goes to all, so the second time not every offer is for v1."""
        self.victim.publish(self.victim.topic("get"), message_for("/get", 7), 0)
        self.victim.hello()
        for name in ("d1", "d2"):
            if name in self.roles:
                for leaf in ("hello", "get"):
                    topic = f"ota/v1/d/{name}/{leaf}"
                    self.roles[name].publish(topic, message_for(topic, next(self.numbers)))
        for name in ("mona", "vic", "otto", "con"):
            if name in self.roles:
                self.roles[name].publish(COMMAND, message_for(COMMAND, next(self.numbers)))
        self.release(awaited, kind="product", name=PRODUCT)
        self.release(awaited, kind="group", name=GROUP)
        for name in devices:
            self.release(kind="device", name=name)
        time.sleep(SETTLE_S)

    def received(self, role):
        """The topics of ours on which this role got anything."""
        client = self.roles.get(role)
        if not client:
            return set()
        with client.condition:
            return {topic for _, topic, _, _ in client.messages
                    if topic.startswith(("ota/", "$CONTROL/"))}


@pytest.fixture(params=[V5, V311], ids=["MQTT 5", "MQTT 3.1.1"])
def world(request, brokers, trust, pki, closing):
    broker = brokers(identity="b", lines=["allow_zero_length_clientid false"], options={
        "shards": 1, "other_topics": "allow", "errors_per_minute": 1000,
        "messages_per_second": 1000, "messages_burst": 10000}).start()
    alice = closing.keep(Manager(broker, "alice")).connect()
    world = World(broker, alice, trust, pki, closing, request.param)
    yield world
    world.close_all()


def test_who_may_publish_what(world):
    world.connect_all()
    for role, client in world.roles.items():
        for leaf in HEARD:
            client.subscribe(f"ota/v1/d/{role}/{leaf}")
        client.subscribe(f"ota/v1/m/{role}/reply")
    cells = {}
    for role, client in world.roles.items():
        for topic, (way, (qos, retain)) in itertools.product(topics_of(role), WAYS.items()):
            number = next(world.numbers)
            cells[number] = (role, topic, way)
            client.mqtt.publish(topic, message_for(topic, number), qos, retain)
    for client in world.roles.values():
        client.publish("others/end", b"", 1)  # behind all others
    time.sleep(SETTLE_S)
    seen = world.effects()
    wrong = []
    for number, (role, topic, way) in cells.items():
        allowed = way in ("QoS 0", "QoS 1") and may_publish(role, topic)
        if number in seen and not allowed:
            wrong.append(f"{role} on {topic}, {way}: had an effect")
        # A consent is overwritten by the next; the last one shows.
        elif number not in seen and allowed and shows_an_effect(role, topic) and \
                (not topic.endswith("/consent") or way == "QoS 1"):
            wrong.append(f"{role} on {topic}, {way}: had none")
    assert wrong == []
    assert len(cells) > 1000
    nothing_is_retained(world)


def nothing_is_retained(world):
    late = world.closing.keep(Client(world.broker, world.pki.manager("mona"), "mona:late",
                                     world.protocol)).connect()
    for topic in ("#", "$CONTROL/#", RELEASE, GROUP_RELEASE, EVENTS, "ota/v1/m/mona/reply"):
        late.subscribe(topic)
    time.sleep(SETTLE_S)
    with late.condition:
        assert [topic for _, topic, _, retained in late.messages
                if retained and not topic.startswith("$SYS/")] == []


def test_no_will_is_ever_published(world):
    cells, connected = {}, set()
    for role in ROLES:
        for count, topic in enumerate(topics_of(role)):
            number = next(world.numbers)
            cells[number] = (role, topic)
            message = message_for(topic, number)
            if world.die_with_will(role, topic, message if isinstance(message, bytes)
                                   else message.encode(), count % 2):
                connected.add(role)
    # Who was refused because of the Will has published none either; others did die with one.
    assert {"d1", "mona"} <= connected
    time.sleep(SETTLE_S)
    seen = world.effects()
    assert [cell for number, cell in cells.items() if number in seen] == []


def test_who_may_receive_what(world):
    world.connect_all()
    granted = {(role, topic): client.subscribe(topic) <= 1
               for role, client in world.roles.items() for topic in topics_of(role)}
    world.traffic()
    wrong = [f"{role} subscribed {topic}: {'granted' if yes else 'refused'}"
             for (role, topic), yes in granted.items() if yes != may_receive(role, topic)]
    assert wrong == []
    for role in ROLES:
        got = world.received(role)
        assert {topic for topic in got if not may_receive(role, topic)} == set(), role
    for role, topics in {
            "d1": {"ota/v1/d/d1/control", "ota/v1/d/d1/chunk", GROUP_RELEASE},
            "d2": {"ota/v1/d/d2/control", "ota/v1/d/d2/chunk", RELEASE},
            "quarantined": set(), "otto": {"ota/v1/m/otto/reply"},
            "con": {"ota/v1/m/con/reply"},
            "mona": {RELEASE, GROUP_RELEASE, EVENTS, "ota/v1/m/mona/reply"},
            "vic": {RELEASE, GROUP_RELEASE, EVENTS, "ota/v1/m/vic/reply"}}.items():
        assert topics - world.received(role) == set(), role
    for share in ("", "$share/g/"):
        wildcards_show_nothing_more(world, share)


def wildcards_show_nothing_more(world, share):
    world.close_all()
    world.connect_all()
    wrong = []
    for role, client in world.roles.items():
        ours = [share + topic for topic in OURS_BY_WILDCARD]
        if share:
            ours += [share + topic for topic in topics_of(role)]
        for topic in ours:
            if client.connected and client.subscribe(topic) <= 2:
                wrong.append(f"{role} was granted {topic}")
        for topic in ANYBODYS:
            if client.connected:
                client.subscribe(share + topic)
    assert wrong == []
    before = len(world.victim.messages)
    world.traffic(("v1",), awaited=False)
    for role in ROLES:
        got = world.received(role)
        assert {topic for topic in got if not may_receive(role, topic)} == set(), role
    # and the victim lost nothing to them
    got = {topic for _, topic, _, _ in world.victim.messages[before:]}
    assert {"ota/v1/d/v1/control", "ota/v1/d/v1/chunk"} <= got
    assert any("/release/" in topic or topic.endswith("/offer") for topic in got)
