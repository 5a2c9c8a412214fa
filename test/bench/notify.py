#!/usr/bin/python3
"""A fast release to ten thousand connected devices, to the last offer, against the same broker
without the plugin publishing the same bytes to the same clients on as many topics."""
import os
import time

from stage import ROUNDS, Stage, median

from harness.client import Client
from harness.firmware import Image, filler
from harness.process import eventually

COUNTS = [int(n) for n in os.environ.get("OTA_BENCH_DEVICES", "1000,10000").split(",")]
SHARDS = 256


def wait_all(fleet, count):
    return fleet.wait(lambda now: now["marked"] >= count, 120, f"{count} messages", 0.05)


def end(alice, product, number, count):
    """Every device says that it has stopped: the next release finds nobody at work."""
    release = {"product": product, "number": number}
    alice.ask("release.abort", release)
    eventually(lambda: alice.ask("release.show", release)["counts"].get("canceled") == count, 60,
               "all have stopped")
    time.sleep(1)


def ours(stage, count):
    """(seconds from the command to the last offer, CPU-seconds, bytes of an offer)"""
    broker = stage.broker()
    alice = stage.alice(broker)
    product = stage.product(alice, count)
    fleet = stage.fleet(broker, count, mute="true", connect_rate=2000)
    fleet.join(300)
    time.sleep(1)
    taken = []
    size = 0
    for version in range(2, 2 + ROUNDS):
        envelope = alice.push(stage.trust, Image(product, f"{version}.0", filler(70000, version)))
        release = stage.trust.release(product, version - 1, envelope, mode="fast")
        before = fleet.status()["message_bytes"]
        fleet.tell("mark")
        cpu, start = broker.cpu_seconds(), time.monotonic()
        alice.ask("release.create", {"release": release, "override": True})
        figures = wait_all(fleet, count)
        time.sleep(0.5)
        taken.append((figures["last_us"] / 1e6 - start, broker.cpu_seconds() - cpu))
        size = (figures["message_bytes"] - before) // count
        end(alice, product, version - 1, count)
    stage.end(fleet, alice, broker)
    return median([t for t, _ in taken]), median([c for _, c in taken]), size


def raw(stage, count, size):
    broker = stage.broker(plugin=False)
    fleet = stage.fleet(broker, count, raw="bench", raw_shards=SHARDS, connect_rate=2000)
    fleet.join(300)
    time.sleep(1)
    speaker = stage.keep(Client(broker, broker.pki.device("speaker"), "speaker")).connect()
    taken = []
    for _ in range(ROUNDS):
        fleet.tell("mark")
        fleet.status()
        cpu, start = broker.cpu_seconds(), time.monotonic()
        for shard in range(SHARDS):
            speaker.mqtt.publish(f"bench/{shard}", bytes(size), 1)
        figures = wait_all(fleet, count)
        time.sleep(0.5)
        taken.append((figures["last_us"] / 1e6 - start, broker.cpu_seconds() - cpu))
    stage.end(speaker, fleet, broker)
    return median([t for t, _ in taken]), median([c for _, c in taken])


def main():
    with Stage("notify") as stage:
        per_device = {}
        for count in COUNTS:
            seconds, cpu, size = ours(stage, count)
            raw_seconds, raw_cpu = raw(stage, count, size)
            per_device[count] = cpu / count
            stage.row(f"{count} devices, time to the last offer of {size} bytes", seconds,
                      raw_seconds, "s", 1.15, "raw mosquitto")
            stage.row(f"{count} devices, broker CPU", cpu, raw_cpu, "CPU-s", 1.15,
                      "raw mosquitto")
        least, most = min(COUNTS), max(COUNTS)
        if least != most:
            stage.row(f"CPU per delivery at {most}", per_device[most] * 1e6,
                      per_device[least] * 1e6, "µs", 1.3, f"at {least}")


if __name__ == "__main__":
    main()
