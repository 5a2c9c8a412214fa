#!/usr/bin/python3
"""A whole fleet takes a 16 MiB firmware, fast and in one wave, to the last device: ten thousand TLS
devices with delta packs, a thousand without over MQTT, a thousand without over HTTPS. Printed: time,
CPU-seconds and memory of the broker, p99 of a neighbour's round trip. OTA_BENCH_FLEET names some of
delta,mqtt,https."""
import os
import subprocess
import time

from stage import GIB, Stage, neighbour, places, unwaved

from harness.firmware import Image, filler, sha256

SIZE = 16 << 20
DELTA_COUNT = int(os.environ.get("OTA_BENCH_DEVICES", "10000"))
FULL_COUNT = DELTA_COUNT // 10
PLACES = FULL_COUNT  # downloads at a time: the default of max_concurrent, for ten thousand
CASES = os.environ.get("OTA_BENCH_FLEET", "delta,mqtt,https").split(",")


def images():
    """(base, new): a sixteenth of each 64 KiB is new, in one place."""
    base = bytearray(filler(SIZE, 1))
    fresh = filler(SIZE // 16, 2)
    new = bytearray(base)
    for number, at in enumerate(range(0, SIZE, 65536)):
        new[at + 8192:at + 8192 + 4096] = fresh[number * 4096:(number + 1) * 4096]
    return bytes(base), bytes(new)


def make_delta(stage, base, new):
    """(pack, segment size)"""
    paths = [stage.directory / name for name in ("base", "new", "pack")]
    paths[0].write_bytes(base)
    paths[1].write_bytes(new)
    subprocess.run([places.BUILD / "test/bench/pack_cost", *paths], check=True,
                   stdout=subprocess.DEVNULL)
    pack = paths[2].read_bytes()
    return pack, int.from_bytes(pack[24:28], "big")


def push(stage, alice, product, base, new, delta):
    """The envelope of version 2.0."""
    if not delta:
        return alice.push(stage.trust, Image(product, "2.0", new))
    pack, segment_size = make_delta(stage, base, new)
    image = Image(product, "2.0", new, segment_size)
    envelope = stage.trust.firmware(image)
    alice.upload(product, image.index)
    packs = [alice.upload(product, image.pack), alice.upload(product, pack)]
    alice.ask("firmware.add", {"firmware": envelope, "packs": packs}, 60)
    stage.note(f"delta pack: {len(pack)} bytes of {SIZE}")
    return envelope


def measure(stage, case, base, new):
    count = DELTA_COUNT if case == "delta" else FULL_COUNT
    server = stage.nginx()
    broker = stage.broker(other_topics="allow", max_concurrent=PLACES,
                          source=f"https://localhost:{server.port}")
    server.serve(broker.store / "blobs")
    alice = stage.alice(broker)
    product = stage.product(alice, count)
    envelope = push(stage, alice, product, base, new, case == "delta")
    fleet = stage.fleet(broker, count, connect_rate=2000, install_time="1s", restart_time="10s",
                        timeout="60s", digest=sha256(base), https=str(case == "https").lower())
    fleet.join(600)
    pinger = neighbour(stage, broker)
    time.sleep(3)
    pinger.tell("mark")
    cpu, resident, start = broker.cpu_seconds(), broker.resident_bytes(), time.monotonic()
    served = server.worker_cpu()
    alice.release(stage.trust, envelope, product, mode="fast", **unwaved())
    figures = fleet.wait(lambda now: now["ended"].get("succeeded") == count, 1200,
                         "all have succeeded", 1)
    took = time.monotonic() - start
    tell(stage, case, count, {
        "took": took, "cpu": broker.cpu_seconds() - cpu, "web": server.worker_cpu() - served,
        "grown": broker.resident_bytes("VmHWM") - resident, "ping": pinger.status(),
        "bytes": figures["chunk_bytes"] + figures["https_bytes"], "figures": figures})
    assert figures["https_failures"] == 0 and figures["chunk_refusals"] == 0, figures
    if case == "https":
        assert figures["https_bytes"] >= count * SIZE, figures
    stage.end(pinger, fleet, alice, broker, server)


def tell(stage, case, count, seen):
    name = {"delta": "delta packs over MQTT", "mqtt": "no deltas, MQTT",
            "https": "no deltas, HTTPS"}[case]
    what = f"{count} devices, 16 MiB, {name}"
    figures = seen["figures"]
    stage.figure(f"{what}: all finished", seen["took"], "s")
    stage.figure(f"{what}: broker", seen["cpu"], "CPU-s")
    if case == "https":
        stage.figure(f"{what}: nginx", seen["web"], "CPU-s")
    if case == "delta":
        stage.figure(f"{what}: growth of the broker's memory", seen["grown"] / (1 << 20), "MiB")
    else:
        stage.bound(f"{what}: growth of the broker's memory", seen["grown"] / (1 << 20), "MiB", 64)
    stage.figure(f"{what}: p99 of a neighbour's round trip",
                 seen["ping"]["echo_p99_us"] / 1e3, "ms")
    stage.note(f"{what}: {seen['bytes'] / GIB:.2f} GiB, {figures['connects']} connections in all, "
               f"{figures['reports']} reports, {figures['waits']} times told to wait, "
               f"{figures['chunk_timeouts']} chunks asked for again; fleetsim "
               f"{figures['cpu_ms'] / 1e3:.0f} CPU-s; neighbour p50 "
               f"{seen['ping']['echo_p50_us'] / 1e3:.2f} ms, max "
               f"{seen['ping']['echo_max_us'] / 1e3:.0f} ms")


def main():
    with Stage("fleet") as stage:
        base, new = images()
        for case in CASES:
            measure(stage, case, base, new)


if __name__ == "__main__":
    main()
