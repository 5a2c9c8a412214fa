#!/usr/bin/python3
"""CPU-seconds per GiB and peak memory of a real agent that fetches, verifies, writes, reads back and
installs an image over MQTT, against curl by ranges, dd and sha256sum of the same bytes."""
import os
import subprocess

from stage import GIB, Stage, rounds

from harness.agent import Agent
from harness.firmware import Image, filler
from harness.process import eventually

SIZE = int(os.environ.get("OTA_BENCH_IMAGE_MIB", "256")) << 20
STEP = 4 << 20


def content(seed):
    return b"".join(filler(1 << 24, seed << 20 | part) for part in range(SIZE >> 24))


def state_of(alice):
    return alice.ask("device.show", {"device": "d1"}).get("update", {}).get("state")


def ours(stage):
    """(CPU-s per GiB, peak resident MiB, MiB of its own right after)"""
    broker = stage.broker()
    alice = stage.alice(broker)
    product = stage.product(alice, 1)
    factory = Image(product, "1.0", filler(100_000, 1))
    version = iter(range(2, 100))

    def measure():
        number = next(version)
        image = Image(product, f"{number}.0", content(number), 262144)
        envelope = alice.push(stage.trust, image)
        stage.count += 1
        agent = stage.keep(Agent(broker, "d1", stage.directory / f"agent{stage.count}",
                                 stage.trust, factory, product,
                                 {"log_level": "info", "state_dir": stage.directory / f"s{stage.count}"}))
        agent.start()
        eventually(lambda: alice.ask("device.show", {"device": "d1"})["online"], 20, agent.tail)
        cpu = agent.cpu_seconds()
        alice.release(stage.trust, envelope, product, mode="fast", allow_downgrade=True)
        eventually(lambda: state_of(alice) in ("trial", "succeeded"), 300, agent.tail)
        spent, peak = agent.cpu_seconds() - cpu, agent.resident_bytes("VmHWM")
        private = agent.private_bytes()
        eventually(lambda: state_of(alice) == "succeeded", 60, agent.tail)
        stage.end(agent)
        return spent / (SIZE / GIB), peak / (1 << 20), private / (1 << 20)
    result = rounds(measure)
    stage.end(alice, broker)
    return result


def spent_by(command):
    before = os.times()
    subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return (after.children_user + after.children_system - before.children_user -
            before.children_system) / (SIZE / GIB)


def curl(stage):
    """CPU-s per GiB: of the download into a file, of one sha256sum of it, of one openssl dgst."""
    server = stage.nginx().serve_file(content(1))
    device = stage.pki.device("d1")
    part = stage.directory / "part"
    config = stage.directory / "curl.conf"
    config.write_text("\nnext\n".join(
        f'url = "https://localhost:{server.port}/blob"\nrange = "{at}-{at + STEP - 1}"\n'
        f'cacert = "{stage.pki.ca}"\ncert = "{device}.crt"\nkey = "{device}.key"\nsilent\nfail'
        for at in range(0, SIZE, STEP)))

    def measure():
        fetch = spent_by(f"curl -K {config} | dd of={part} bs=256k iflag=fullblock conv=fsync status=none")
        return fetch, spent_by(f"sha256sum {part}"), spent_by(f"openssl dgst -sha256 {part}")
    result = rounds(measure)
    stage.end(server)
    return result


def main():
    with Stage("agent") as stage:
        cpu, peak, private = ours(stage)
        fetch, sha256sum, dgst = curl(stage)
        what = f"agent, {SIZE >> 20} MiB: fetch, verify, write, read back"
        stage.row(what, cpu, fetch + sha256sum, "CPU-s/GiB", 1.1, "curl --range, dd, sha256sum")
        stage.row(f"{what} (the peer also twice)", cpu, fetch + 2 * sha256sum, "CPU-s/GiB", None,
                  "curl --range, dd, sha256sum twice")
        stage.row(f"{what} (the peer also twice, by OpenSSL)", cpu, fetch + 2 * dgst, "CPU-s/GiB", None,
                  "curl --range, dd, openssl dgst twice")
        stage.bound("peak resident memory", peak, "MiB", 8)
        stage.figure("of that the agent's own (private, dirty)", private, "MiB")
        stage.note("The agent hashes the image twice, as it comes and as it lies on the medium, which it reads past "
                   "the page cache; it syncs every MiB, dd once at the end. coreutils' sha256sum computes in C, "
                   "OpenSSL (and so the agent) with the processor's instructions. Resident memory counts the shared "
                   "libraries.")


if __name__ == "__main__":
    main()
