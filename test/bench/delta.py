#!/usr/bin/python3
"""Packs of real firmware pairs against bsdiff, xdelta3 and zstd --patch-from: bytes, CPU-seconds,
memory. The pairs are OTA_CORPUS/<name>/old and new; OTA_BENCH_PAIRS names some of them."""
import os
import subprocess
import sys
from pathlib import Path

from stage import Stage, places

CORPUS = Path(os.environ.get("OTA_CORPUS", places.STATE / "corpus"))
LARGE = 128 << 20  # bsdiff takes 17 times the image in memory


def peers(old, new, out):
    """{name: command}"""
    commands = {
        "xdelta3": ["xdelta3", "-f", "-9", "-e", "-B", str(1 << 28), "-s", old, new, out],
        "zstd": ["zstd", "-q", "-f", "-19", "--long=28", f"--patch-from={old}", new, "-o", out],
    }
    if new.stat().st_size < LARGE:
        commands["bsdiff"] = ["bsdiff", old, new, out]
    return commands


def cost(command, out):
    """(bytes, CPU-seconds, KiB resident)"""
    run = subprocess.run(["/usr/bin/time", "-f", "%U %S %M", *command], check=True,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    user, system, peak = run.stderr.split("\n")[-2].split()
    return out.stat().st_size, float(user) + float(system), int(peak)


def measure(stage, name, old, new):
    tool = Path(os.environ["OTA_BUILD"]) / "test/bench/pack_cost"
    out = stage.directory / "out"
    ours = subprocess.run([tool, old, new, out], check=True, capture_output=True,
                          text=True).stdout.split()
    size, made, peak, decoded, memory = (float(field) for field in ours)
    others = {peer: cost(command, out) for peer, command in peers(old, new, out).items()}
    best = min(others, key=lambda peer: others[peer][0])
    stage.row(f"{name}: bytes", size, others[best][0], "B", most=1.05, peer_name=best)
    if "bsdiff" in others:
        stage.row(f"{name}: CPU to make", made, others["bsdiff"][1], "s", most=1,
                  peer_name="bsdiff")
    stage.bound(f"{name}: memory to decode", memory, "KiB", 1465)
    megabytes = new.stat().st_size / 1e6
    told = ", ".join(f"{peer} {others[peer][0]} B {others[peer][1]:.1f} s "
                     f"{others[peer][2] >> 10} MiB" for peer in sorted(others))
    stage.note(f"{name}: {megabytes:.1f} MB; ours {size:.0f} B {made:.1f} s "
               f"{int(peak) >> 10} MiB, decoded at {megabytes / max(decoded, 0.001):.0f} MB/s; "
               f"{told}.")


def main():
    wanted = os.environ.get("OTA_BENCH_PAIRS", "").split()
    pairs = [pair.parent for pair in sorted(CORPUS.glob("*/new"))
             if (pair.parent / "old").exists() and (not wanted or pair.parent.name in wanted)]
    if not pairs:
        sys.exit(f"bench delta: no pairs: put them at {CORPUS}/NAME/old and new, "
                 "or let OTA_CORPUS name their directory")
    with Stage("delta") as stage:
        for pair in pairs:
            measure(stage, pair.name, pair / "old", pair / "new")


if __name__ == "__main__":
    main()
