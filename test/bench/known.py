#!/usr/bin/python3
"""A store that knows 100,000 devices: how long the broker takes to start with it, a dry run over
all of them, a page of the device list, and what the plugin's own clock says of its callbacks
meanwhile."""
import time

from stage import Stage

from harness.firmware import Image, filler

KNOWN = 100_000
TURNS = 20


def timed(alice, verb, args):
    """Milliseconds of one command by the plugin's own clock: the mean of several."""
    before = alice.ask("status")["callbacks"]["command"]
    for _ in range(TURNS):
        alice.ask(verb, args, 60)
    after = alice.ask("status")["callbacks"]["command"]
    # Among them is one `status`, which costs a few microseconds.
    return (after["total_us"] - before["total_us"]) / 1000 / TURNS


def main():
    with Stage("known") as stage:
        broker = stage.broker()
        alice = stage.alice(broker)
        alice.ask("product.create", {"name": "thermo", "default_hardware": "board-1"})
        started = time.monotonic()
        for at in range(0, KNOWN, 1000):
            alice.ask("device.import", {"product": "thermo", "devices": [
                f"known-{n:06}" for n in range(at, at + 1000)]}, 60)
        stage.figure(f"import of {KNOWN} devices", time.monotonic() - started, "s")
        image = Image("thermo", "2.0", filler(100_000, 1))
        envelope = alice.push(stage.trust, image)
        stage.end(alice)
        broker.restart()
        alice = stage.alice(broker)
        status = alice.ask("status")
        stage.bound(f"start with {KNOWN} known devices", status["start_ms"], "ms", 2000)
        stage.figure("memory of the plugin for each", status["memory_bytes"] / KNOWN, "bytes")
        release = stage.trust.release("thermo", 1, envelope)
        took = timed(alice, "release.create", {"release": release, "dry_run": True})
        stage.bound("dry run over all", took, "ms", 20)
        took = timed(alice, "device.list", {"product": "thermo", "limit": 100,
                                               "after": "known-050000"})
        stage.bound("a page of the device list", took, "ms", 5)
        took = timed(alice, "device.list", {"product": "thermo", "limit": 100,
                                               "search": "099999"})
        stage.bound("a search through all", took, "ms", 20)
        alice.ask("release.create", {"release": release, "override": True}, 60)
        time.sleep(3)
        callbacks = alice.ask("status")["callbacks"]
        for name in ("command", "tick", "acl"):
            stage.note(f"{name}: p99 {callbacks[name]['p99_us']} µs, "
                       f"max {callbacks[name]['max_us']} µs")


if __name__ == "__main__":
    main()
