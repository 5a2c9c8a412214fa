#!/usr/bin/python3
"""Everybody comes back at once: broker CPU per device of connecting, subscribing, hello and its
offer, at many against few, and against raw connect and subscribe."""
import os
import time

from stage import Stage, rounds

from harness.firmware import Image, filler

COUNTS = [int(n) for n in os.environ.get("OTA_BENCH_DEVICES", "1000,15000").split(",")]


def settle(fleet, condition):
    figures = fleet.wait(condition, 600, "all are back", 0.2)
    time.sleep(1)
    return figures


def ours(stage, count):
    broker = stage.broker()
    alice = stage.alice(broker)
    product = stage.product(alice, count)
    envelope = alice.push(stage.trust, Image(product, "2.0", filler(70000)))
    alice.release(stage.trust, envelope, product, mode="standard")

    def measure():
        cpu = broker.cpu_seconds()
        fleet = stage.fleet(broker, count, mute="true", connect_rate=10000)
        settle(fleet, lambda now: now["joined"] == count and now["offered_devices"] == count)
        spent = broker.cpu_seconds() - cpu
        stage.end(fleet)
        time.sleep(1)
        return spent / count
    taken = rounds(measure)
    stage.end(alice, broker)
    return taken


def raw(stage, count):
    broker = stage.broker(plugin=False)

    def measure():
        cpu = broker.cpu_seconds()
        fleet = stage.fleet(broker, count, raw="bench", connect_rate=10000)
        settle(fleet, lambda now: now["joined"] == count)
        spent = broker.cpu_seconds() - cpu
        stage.end(fleet)
        time.sleep(1)
        return spent / count
    taken = rounds(measure)
    stage.end(broker)
    return taken


def main():
    with Stage("reconnect") as stage:
        cpu = {}
        for count in COUNTS:
            cpu[count] = ours(stage, count)
            peer = raw(stage, count)
            stage.row(f"{count} devices, CPU per device with hello and offer",
                      cpu[count] * 1e3, peer * 1e3, "CPU-ms", 1.3, "raw connect and subscribe")
        least, most = min(COUNTS), max(COUNTS)
        if least != most:
            stage.row(f"CPU per device at {most}", cpu[most] * 1e3, cpu[least] * 1e3, "CPU-ms",
                      1.3, f"at {least}")


if __name__ == "__main__":
    main()
