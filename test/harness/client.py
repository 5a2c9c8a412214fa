"""A stock MQTT client (python3-paho-mqtt) over mutual TLS, with the waits that tests need."""
import ssl
import threading
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from .places import PATIENCE

V5, V311 = mqtt.MQTTv5, mqtt.MQTTv311


class Refused(Exception):
    """The broker refused the connection, or closed it before it had answered."""

    def __init__(self, code):
        super().__init__(f"refused: {code}")


class _Loop(mqtt.Client):
    """paho's loop without its automatic reconnection, telling how the connection ended."""

    def __init__(self, ended, *arguments, **more):
        super().__init__(*arguments, **more)
        self._ended = ended

    def _thread_main(self):
        end = None
        try:
            while not self._thread_terminate and end in (None, mqtt.MQTT_ERR_SUCCESS):
                end = self.loop(0.1)
        except (OSError, ValueError) as error:
            end = error
        self._ended(end)


class Client:
    """`certificate` is a path without its ending (None: no TLS). Messages are kept in
    `messages` as (time, topic, payload, retained)."""

    def __init__(self, broker, certificate, client_id, protocol=V5, port=None, ca=None,
                 clean=True, will=None, max_inflight=200):
        self.broker, self.client_id, self.protocol = broker, client_id, protocol
        self.port = port or broker.port
        self.condition = threading.Condition()
        self.messages, self.acks, self.granted = [], {}, {}
        self.connected, self.refusal, self.end = False, None, None
        self.clean = clean
        extra = {} if protocol == V5 else {"clean_session": clean}
        self.mqtt = _Loop(self._on_end, client_id, protocol=protocol, **extra)
        self.mqtt.max_inflight_messages_set(max_inflight)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(ca or broker.pki.ca)
            context.load_cert_chain(f"{certificate}.crt", f"{certificate}.key")
            self.mqtt.tls_set_context(context)
        if will:
            self.mqtt.will_set(*will)
        self.mqtt.on_connect = self._on_connect
        self.mqtt.on_message = self._on_message
        self.mqtt.on_publish = self._on_publish
        self.mqtt.on_subscribe = self._on_subscribe

    # Callbacks run on paho's thread; `properties` comes with MQTT 5 only.
    def _on_connect(self, _client, _data, _flags, code, _properties=None):
        value = code if isinstance(code, int) else code.value
        with self.condition:
            self.connected, self.refusal = value == 0, value or None
            self.condition.notify_all()

    def _on_end(self, end):
        with self.condition:
            self.connected, self.end = False, end if end is not None else "closed"
            self.condition.notify_all()

    def _on_message(self, _client, _data, message):
        self.received(time.monotonic(), message.topic, message.payload, message.retain)

    def _on_publish(self, _client, _data, mid):
        with self.condition:
            self.acks[mid] = True
            self.condition.notify_all()

    def _on_subscribe(self, _client, _data, mid, granted, _properties=None):
        with self.condition:
            self.granted[mid] = [g if isinstance(g, int) else g.value for g in granted]
            self.condition.notify_all()

    def received(self, when, topic, payload, retained):
        with self.condition:
            self.messages.append((when, topic, payload, retained))
            self.condition.notify_all()

    def wait(self, condition, seconds, what):
        """Waits for condition() under the lock and returns its value."""
        deadline = time.monotonic() + seconds * PATIENCE
        with self.condition:
            while True:
                value = condition()
                if value:
                    return value
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"{self.client_id}: not within {seconds:g} s: {what}")
                self.condition.wait(min(left, 0.5))

    def connect(self, seconds=20):
        """Returns self once the broker has accepted; raises Refused."""
        extra = {}
        if self.protocol == V5:
            properties = Properties(PacketTypes.CONNECT)
            properties.ReceiveMaximum = 200
            if not self.clean:
                properties.SessionExpiryInterval = 3600
            extra = {"clean_start": self.clean, "properties": properties}
        with self.condition:
            self.refusal = self.end = None
        try:
            self.mqtt.connect("127.0.0.1", self.port, keepalive=60, **extra)
        except OSError as error:
            raise Refused(error) from error
        self.mqtt.loop_start()
        self.wait(lambda: self.connected or self.refusal or self.end, seconds,
                  "an answer to CONNECT")
        if not self.connected:
            self.mqtt.loop_stop()
            raise Refused(f"{self.refusal or self.end}\n{self.broker.tail()}")
        return self

    def is_there(self):
        """True; that the connection ended by itself is told at once, not by what is waited for."""
        assert self.connected, f"{self.client_id} lost its connection: {self.end}"
        return True

    def close(self):
        """DISCONNECT where there is a connection, and the end of paho's thread."""
        if self.connected:
            try:
                self.mqtt.disconnect()
            except OSError:
                pass  # the broker was quicker
        self.mqtt.loop_stop()

    def cut(self):
        """The link vanishes: no DISCONNECT, so the Will is published."""
        self.mqtt.loop_stop()
        if self.mqtt.socket():
            self.mqtt.socket().close()

    def subscribe(self, topic, qos=1, seconds=20):
        """The broker's answer: the granted QoS, or 0x80 and more for a refusal."""
        status, mid = self.mqtt.subscribe(topic, qos)
        assert status == 0, f"subscribe {topic}: {status}"
        return self.wait(lambda: self.granted.get(mid), seconds, f"SUBACK of {topic}")[0]

    def publish(self, topic, payload=b"", qos=1, retain=False, seconds=20):
        """Waits until it is acknowledged (QoS 1, 2) or written (QoS 0)."""
        info = self.mqtt.publish(topic, payload, qos, retain)
        assert info.rc == 0, f"publish {topic}: {info.rc}"
        self.wait(lambda: self.acks.get(info.mid) or not self.connected, seconds,
                  f"the end of the publish to {topic}")
        return info

    def of_topic(self, topic):
        with self.condition:
            return [message for message in self.messages if message[1] == topic]

    def wait_message(self, matches, seconds=10, what="a message", first=0):
        """The first message from index `first` on for which matches(topic, payload)."""
        def found():
            for message in self.messages[first:]:
                if matches(message[1], message[2]):
                    return message
            return None
        return self.wait(found, seconds, what)
