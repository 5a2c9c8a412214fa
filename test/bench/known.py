#!/usr/bin/python3
"""A store that knows 100,000 devices: how long the broker takes to start with it, a dry run over
all of them, a page of the device list, and what the plugin's own clock says of its callbacks
meanwhile."""
import time

from stage import Stage

from harness.firmware import Image, filler

KNOWN = 100_000
TURNS = 20


def busy_us(alice):
    """What commands have taken of the broker's time: what is long goes on at its ticks."""
    callbacks = alice.ask("status")["callbacks"]
    return callbacks["command"]["total_us"] + callbacks["tick"]["total_us"]


def timed(alice, verb, args):
    """Milliseconds of one command by the plugin's own clock, and until its answer is there: the
    means of several."""
    before, start = busy_us(alice), time.monotonic()
    for _ in range(TURNS):
        alice.ask(verb, args, 60)
    seconds = time.monotonic() - start
    # Among them is one `status`, which costs a few microseconds.
    return (busy_us(alice) - before) / 1000 / TURNS, seconds * 1000 / TURNS


def tell(stage, what, took, most):
    stage.bound(what, took[0], "ms", most)
    stage.note(f"{what}: answered after {took[1]:.1f} ms")


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
        tell(stage, "dry run over all", took, 20)
        took = timed(alice, "device.list", {"product": "thermo", "limit": 100,
                                               "after": "known-050000"})
        tell(stage, "a page of the device list", took, 5)
        took = timed(alice, "device.list", {"product": "thermo", "limit": 100,
                                               "search": "099999"})
        tell(stage, "a search through all", took, 20)
        alice.ask("release.create", {"release": release, "override": True}, 60)
        time.sleep(3)
        callbacks = alice.ask("status")["callbacks"]
        for name in ("command", "tick", "acl"):
            stage.note(f"{name}: p99 {callbacks[name]['p99_us']} µs, "
                       f"max {callbacks[name]['max_us']} µs by the wall clock, "
                       f"{callbacks[name]['max_cpu_us']} µs of CPU time")
        stage.bound("the longest callback, of CPU time", max(
            one["max_cpu_us"] for one in callbacks.values()) / 1000, "ms", 20)


if __name__ == "__main__":
    main()
