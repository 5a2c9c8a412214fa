#!/usr/bin/python3
"""Signing, packing, uploading and storing a firmware of 1 GiB by otactl, against sha256sum and cp
of the same file."""
import os
import subprocess
import time

from stage import Stage, rounds

from harness.agent import Otactl
from harness.firmware import filler

SIZE = int(os.environ.get("OTA_BENCH_IMAGE_MIB", "1024")) << 20


def make_image(path, seed):
    """Bytes that do not compress, like an encrypted or compressed file system."""
    with open(path, "wb") as file:
        for part in range(SIZE >> 24):
            file.write(filler(1 << 24, seed << 20 | part))


def spent(act):
    """(seconds, CPU-seconds of the children)"""
    before, start = os.times(), time.monotonic()
    act()
    after = os.times()
    return (time.monotonic() - start, after.children_user + after.children_system -
            before.children_user - before.children_system)


def main():
    with Stage("publish") as stage:
        broker = stage.broker()
        alice = stage.alice(broker)
        stage.product(alice, 1)
        otactl = Otactl(broker, stage.directory / "otactl", stage.trust)
        image = stage.directory / "image"
        number = iter(range(2, 100))

        def publish():
            version = next(number)
            make_image(image, version)
            cpu = broker.cpu_seconds()

            def act():
                otactl("firmware", "sign", image, "--version", f"{version}.0", "--hardware",
                       "board-1", seconds=600)
                otactl("firmware", "push", image, "--delta-from", "none", "--level", "1",
                       seconds=1200)
            seconds, own = spent(act)
            return seconds, own + broker.cpu_seconds() - cpu

        def plain():
            def act():
                subprocess.run(["sha256sum", image], check=True, stdout=subprocess.DEVNULL)
                subprocess.run(["cp", image, stage.directory / "copy"], check=True)
                subprocess.run(["sync", stage.directory / "copy"], check=True)
            return spent(act)
        seconds, cpu = rounds(publish)
        peer_seconds, peer_cpu = rounds(plain)
        stage.row(f"{SIZE >> 20} MiB, otactl and broker together, CPU", cpu, peer_cpu, "CPU-s", 2,
                  "sha256sum + cp")
        stage.row("the same, time", seconds, peer_seconds, "s", 2, "sha256sum + cp")


if __name__ == "__main__":
    main()
