#!/usr/bin/python3
"""An unrelated client pings itself through the broker while a thousand devices fetch a release:
p99 of its round trips, against those of the idle broker."""
import threading
import time

from stage import Stage, percentile

from harness.client import Client
from harness.firmware import Image, filler

COUNT = 1000
SIZE = 1 << 20
PAUSE_S = 0.01


class Pinger:
    """QoS 0 to its own topic and back, one at a time, on a connection of its own."""

    def __init__(self, client):
        self.client, self.times, self.running = client, [], False
        self.arrived = threading.Event()
        client.received = self._received
        client.subscribe("neighbour/echo", 0)

    def _received(self, *_):
        self.arrived.set()

    def _run(self):
        while self.running:
            self.arrived.clear()
            start = time.monotonic()
            self.client.mqtt.publish("neighbour/echo", b"ping", 0)
            if not self.arrived.wait(30):
                self.times.append(30.0)
            self.times.append(time.monotonic() - start)
            time.sleep(PAUSE_S)

    def during(self, act):
        """The round trips, in seconds, while act() runs."""
        self.times, self.running = [], True
        thread = threading.Thread(target=self._run)
        thread.start()
        act()
        self.running = False
        thread.join()
        return self.times


def main():
    with Stage("neighbour") as stage:
        broker = stage.broker(other_topics="allow")
        alice = stage.alice(broker)
        product = stage.product(alice, COUNT)
        envelope = alice.push(stage.trust, Image(product, "2.0", filler(SIZE)))
        fleet = stage.fleet(broker, COUNT, connect_rate=2000, fail=10000, install_time="0ms",
                            timeout="60s")
        fleet.join(300)
        pinger = Pinger(stage.keep(Client(broker, broker.pki.manager("neighbour"),
                                          "neighbour")).connect())
        idle = pinger.during(lambda: time.sleep(10))

        def release():
            alice.release(stage.trust, envelope, product, mode="fast",
                          thresholds={"success": 0, "errors": 10000, "error_count": 1000000,
                                      "sample": 1, "bake_s": 0, "silence_s": 3600})
            fleet.finish(600)
        busy = pinger.during(release)
        stage.note(f"idle: {len(idle)} pings, p50 {percentile(idle, .5) * 1e3:.2f} ms; during the "
                   f"release: {len(busy)} pings, p50 {percentile(busy, .5) * 1e3:.2f} ms, "
                   f"max {max(busy) * 1e3:.1f} ms")
        stage.bound(f"p99 of a ping while {COUNT} devices fetch {SIZE >> 20} MiB over MQTT",
                    percentile(busy, .99) * 1e3, "ms", 20)
        stage.row("the same", percentile(busy, .99) * 1e3, percentile(idle, .99) * 1e3, "ms",
                  None, "idle")


if __name__ == "__main__":
    main()
