"""What has nothing to do with OTA goes on as before: a broker without any access control, with an
acl_file, with dynamic-security, and the same broker with our plugin loaded before or after."""
import json
import subprocess

import pytest

from harness import places
from harness.client import V311, V5, Client, Refused

PEOPLE = {"bob": "pw-b", "carol": "pw-c"}
ACL_FILE = """\
topic read public/#
user bob
topic readwrite house/bob/#
topic read public/#
user carol
topic readwrite house/#
topic readwrite public/#
topic deny house/safe
pattern read inbox/%u/#
"""
FILTERS = ("house/#", "house/bob/#", "house/+/temperature", "public/#", "inbox/bob/mail", "#",
           "+/bob/#", "$share/g/house/#", "$SYS/broker/version", "otaku/#", "x/ota/v1", "ota")
TOPICS = ("house/bob/temperature", "house/hall/lamp", "house/safe", "public/news",
          "inbox/bob/mail", "otaku/ota/v1", "OTA/v1/d/d1/hello", "ota", "x/ota/v1/d/d1/hello")
DYNSEC = {
    "defaultACLAccess": {"publishClientSend": False, "publishClientReceive": True,
                         "subscribe": False, "unsubscribe": True},
    "groups": [{"groupname": "guests", "roles": [{"rolename": "guest"}]}],
    "anonymousGroup": "guests",
    "roles": [{"rolename": "guest", "acls": [
        {"acltype": kind, "topic": topic, "priority": 0, "allow": allow}
        for kind, topic, allow in (
            ("publishClientSend", "house/hall/#", True), ("publishClientSend", "public/#", True),
            ("publishClientSend", "otaku/#", True), ("subscribePattern", "house/#", True),
            ("subscribePattern", "public/#", True), ("subscribeLiteral", "#", True),
            ("publishClientReceive", "house/safe", False))]}],
    "clients": []}


class Access:
    """One way to control access; `lines` go into the broker's configuration, `clients` are the
    people who use it."""

    def __init__(self, lines, clients, other_topics):
        self.lines, self.clients, self.other_topics = lines, clients, other_topics


def no_access_control(_suite, _directory):
    return Access([], [None], "allow")


def an_acl_file(_suite, directory):
    acl, passwords = directory / "acl", directory / "passwords"
    acl.write_text(ACL_FILE)
    passwords.touch(mode=0o600)
    for name, password in PEOPLE.items():
        subprocess.run(["mosquitto_passwd", "-b", str(passwords), name, password], check=True,
                       capture_output=True)
    for path in (acl, passwords):
        path.chmod(0o600)
    return Access([f"acl_file {acl}", f"password_file {passwords}"], [None, "bob", "carol"],
                  "defer")


def dynamic_security(suite, directory):
    config = directory / "dynamic-security.json"
    config.write_text(json.dumps(DYNSEC))
    config.chmod(0o600)
    root = places.broker_program(suite).resolve().parent / "root"
    plugin, = list(root.rglob("mosquitto_dynamic_security.so"))[:1]
    return Access([f"plugin {plugin}", f"plugin_opt_config_file {config}"], [None], "defer")


class Watch:
    """Connects the people and notes everything that they are told."""

    def __init__(self, broker, closing, clients, protocol):
        self.broker, self.closing, self.protocol = broker, closing, protocol
        self.clients, self.facts = clients, {}

    def connect(self, name, client_id, password=None, **more):
        client = self.closing.keep(Client(self.broker, None, client_id, self.protocol,
                                          port=self.broker.plain_port, **more))
        if name:
            client.mqtt.username_pw_set(name, password or PEOPLE[name])
        return client.connect()

    def note(self, what, fact):
        self.facts[what] = fact

    def observe(self):
        hearers = {}
        for name in self.clients:
            hearer = self.connect(name, f"hearer-{name}")
            hearers[name] = hearer
            for topic in FILTERS:
                self.note(f"{name} subscribes {topic}", hearer.subscribe(topic, 2))
        for name in self.clients:
            speaker = self.connect(name, f"speaker-{name}",
                                   will=("house/hall/will", f"will of {name}", 1, False))
            for topic in TOPICS:
                for qos in (0, 1, 2):
                    speaker.publish(topic, f"{name} {topic} {qos}", qos)
                speaker.publish(topic, f"{name} {topic} retained", 1, retain=True)
            speaker.cut()
        for name, password in (("bob", "wrong"), ("nobody", "none")):
            if None not in self.clients or len(self.clients) > 1:
                try:
                    self.connect(name, f"{name}-wrong", password)
                    self.note(f"{name} with the password {password}", "connected")
                except Refused:
                    self.note(f"{name} with the password {password}", "refused")
        self.settle(hearers)
        for name, hearer in hearers.items():
            with hearer.condition:
                self.note(f"{name} hears", sorted(
                    {(topic, payload.decode(), bool(retained))
                     for _, topic, payload, retained in hearer.messages
                     if not topic.startswith("$SYS/")}))
        for name in self.clients:
            late = self.connect(name, f"late-{name}")
            for topic in ("house/#", "public/#", "#"):
                late.subscribe(topic, 2)
            self.settle({name: late})
            with late.condition:
                self.note(f"{name} finds retained", sorted(
                    {(topic, payload.decode()) for _, topic, payload, retained in late.messages
                     if retained and not topic.startswith("$SYS/")}))
        return self.facts

    def settle(self, hearers):
        """A last word that every hearer may hear, behind all others."""
        sure = self.clients[-1]
        speaker = self.connect(sure, "last-speaker")
        speaker.publish("public/last", "last", 1)
        for name, hearer in hearers.items():
            if self.facts.get(f"{name} subscribes public/#", 0) <= 2:
                try:
                    hearer.wait_message(lambda topic, _: topic == "public/last", 3)
                except AssertionError:
                    pass  # that it hears nothing is one of the facts
        speaker.close()


@pytest.mark.parametrize("control", [no_access_control, an_acl_file, dynamic_security])
def test_other_topics_are_as_they_were(brokers, suite, directory, closing, control):
    access = control(suite, directory)
    seen = {}
    for name, how in {
            "without": {"plugin": None, "lines": access.lines},
            "loaded last": {"lines": access.lines},
            "loaded first": {"lines_after": access.lines}}.items():
        if "plugin" not in how:
            how["options"] = {"other_topics": access.other_topics}
        broker = brokers(name.replace(" ", "-"), plain=True, identity="b", **how).start()
        seen[name] = {
            f"{what} ({protocol})": fact for protocol in (V5, V311) for what, fact in
            Watch(broker, closing, access.clients, protocol).observe().items()}
        if name != "without":
            assert "ready in Mosquitto" in broker.log()
    without = seen.pop("without")
    for name, facts in seen.items():
        differences = {what: (without.get(what), facts.get(what))
                       for what in without.keys() | facts.keys()
                       if without.get(what) != facts.get(what)}
        assert differences == {}, f"{name}: what: (without, with the plugin)"
    # the facts are facts: somebody heard something, and where there are rules some were kept
    assert any(without[what] for what in without if "hears" in what)
    refused = [what for what, fact in without.items() if "subscribes" in what and fact > 2]
    heard = {topic for what, fact in without.items() if "hears" in what
             for topic, _, _ in fact}
    if control is not no_access_control:
        assert refused or "house/safe" not in heard
