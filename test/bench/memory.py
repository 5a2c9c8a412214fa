#!/usr/bin/python3
"""Bytes of the broker's memory for each known device, and for each connected one over what the
same broker without the plugin needs for a client with as many subscriptions of the same shape."""
import time

from stage import Stage

KNOWN = 100_000
CONNECTED = 5000


def main():
    with Stage("memory") as stage:
        broker = stage.broker()
        alice = stage.alice(broker)
        alice.ask("product.create", {"name": "thermo"})
        alice.ask("device.import", {"product": "thermo", "devices": ["warm"]})
        time.sleep(1)
        before = broker.resident_bytes()
        for at in range(0, KNOWN, 1000):
            alice.ask("device.import", {"product": "thermo", "devices": [
                f"known-{n}" for n in range(at, at + 1000)]}, 60)
        broker_known = (broker.resident_bytes() - before) / KNOWN
        stage.end(alice)
        started = time.monotonic()
        broker.restart()
        stage.figure(f"start with {KNOWN} known devices", time.monotonic() - started, "s")
        fresh = (broker.resident_bytes() - before) / KNOWN
        stage.note(f"just after the import {broker_known:.0f} bytes each")
        stage.bound("known device, after a restart", fresh, "bytes", 400)
        stage.end(broker)

        grown = {}
        for plugin in (True, False):
            broker = stage.broker(plugin=plugin)
            options = {"raw": "bench", "raw_full": "true"}
            if plugin:
                alice = stage.alice(broker)
                stage.product(alice, CONNECTED)
                stage.end(alice)
                options = {"mute": "true"}
            broker.restart()  # what the import has freed would be used again
            before = broker.resident_bytes()
            fleet = stage.fleet(broker, CONNECTED, connect_rate=2000, **options)
            fleet.join(300)
            time.sleep(2)
            grown[plugin] = (broker.resident_bytes() - before) / CONNECTED
            stage.end(fleet, broker)
        stage.note(f"with the plugin {grown[True]:.0f} bytes, without {grown[False]:.0f}")
        stage.bound("connected device, over mosquitto's own", grown[True] - grown[False],
                    "bytes", 1024)


if __name__ == "__main__":
    main()
