#!/usr/bin/python3
"""Broker CPU-seconds per GiB of chunks fetched over MQTT, against raw mosquitto publishing the same
payloads to the same number of clients, and against nginx serving the same file by ranges."""
import os
import subprocess
import time

from stage import GIB, Stage, rounds

from harness.client import Client
from harness.firmware import Image, filler

MIB = int(os.environ.get("OTA_BENCH_MIB", "800"))  # fetched by all devices together
CASES = tuple((count, MIB * (1 << 20) // count) for count in (50, 1000))
CHUNK = 65536


def ours(stage, count, size):
    """(CPU-s per GiB, growth of the broker's memory in MiB)"""
    broker = stage.broker()
    alice = stage.alice(broker)
    product = stage.product(alice, count)
    version = iter(range(2, 100))

    def measure():
        number = next(version)
        image = Image(product, f"{number}.0", filler(size, number))
        envelope = alice.push(stage.trust, image)
        fleet = stage.fleet(broker, count, connect_rate=2000, install_time="0ms", fail=10000,
                            timeout="60s")
        fleet.join(300)
        time.sleep(1)
        resident = broker.resident_bytes()
        cpu = broker.cpu_seconds()
        alice.release(stage.trust, envelope, product, mode="fast",
                      thresholds={"success": 0, "errors": 10000, "error_count": 1000000,
                                  "sample": 1, "bake_s": 0, "silence_s": 3600})
        figures = fleet.finish(600)
        spent = broker.cpu_seconds() - cpu
        grown = broker.resident_bytes("VmHWM") - resident
        assert figures["ended"] == {"failed": count}, figures
        served = figures["chunk_bytes"]
        stage.end(fleet)
        return spent / (served / GIB), grown / (1 << 20)
    taken = rounds(measure)
    stage.end(alice, broker)
    return taken


def raw(stage, count, size):
    broker = stage.broker(plugin=False)
    fleet = stage.fleet(broker, count, raw="bench", connect_rate=2000)
    fleet.join(300)
    speaker = stage.keep(Client(broker, broker.pki.device("speaker"), "speaker")).connect()
    payload = filler(CHUNK + 12)
    pieces = count * size // CHUNK

    def measure():
        fleet.tell("mark")
        cpu, sent = broker.cpu_seconds(), 0
        while sent < pieces:
            for _ in range(min(50, pieces - sent)):
                speaker.mqtt.publish(f"bench/d{sent % count + 1}", payload, 0)
                sent += 1
            fleet.wait(lambda now, sent=sent: now["marked"] >= sent, 60, "all came", 0)
        return (broker.cpu_seconds() - cpu) / (pieces * CHUNK / GIB)
    taken = rounds(measure)
    stage.end(speaker, fleet, broker)
    return taken


def nginx(stage, count, size):
    server = stage.nginx().serve_file(filler(size))
    directory = server.directory
    device = stage.pki.device("d1")
    step = 4 * CHUNK
    ranges = [f"{at}-{min(at + step, size) - 1}" for at in range(0, size, step)]
    config = directory / "curl.conf"
    # One connection a device, all its ranges one after another on it, as the agent does.
    config.write_text("\nnext\n".join(
        f'url = "https://localhost:{server.port}/blob"\nrange = "{one}"\noutput = "/dev/null"\n'
        f'cacert = "{stage.pki.ca}"\ncert = "{device}.crt"\nkey = "{device}.key"\nsilent\nfail'
        for one in ranges))

    def measure():
        cpu = server.worker_cpu()
        waiting = count
        while waiting:
            batch = [subprocess.Popen(["curl", "-K", str(config)])
                     for _ in range(min(50, waiting))]
            waiting -= len(batch)
            for process in batch:
                assert process.wait() == 0
        return (server.worker_cpu() - cpu) / (count * size / GIB)
    taken = rounds(measure)
    stage.end(server)
    return taken


def main():
    with Stage("chunks") as stage:
        for count, size in CASES:
            cpu, grown = ours(stage, count, size)
            peer = raw(stage, count, size)
            http = nginx(stage, count, size)
            what = f"{count} devices fetch {size / (1 << 20):.3g} MiB each"
            stage.row(what, cpu, peer, "CPU-s/GiB", 0.7, "raw pub→sub")
            stage.row(what, cpu, http, "CPU-s/GiB", 1.2 if count == 50 else None, "nginx Range")
            if count == 1000:
                stage.bound("growth of the broker's memory at 1000", grown, "MiB", 64)


if __name__ == "__main__":
    main()
