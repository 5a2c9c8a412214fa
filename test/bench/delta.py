#!/usr/bin/python3
"""Packs of real firmware pairs against the delta tools that are installed: bytes, CPU-seconds,
memory. The pairs are OTA_CORPUS/<name>/old and new, and <name>/main where there is one: from old
is then the way from an older version. OTA_BENCH_PAIRS names some of them; the figures of the
others stay as they are. OTA_BENCH_PEERS names some of the tools."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from stage import RESULTS, Stage, places

CORPUS = Path(os.environ.get("OTA_CORPUS", places.STATE / "corpus"))
LARGE = 128 << 20  # bsdiff takes 17 times the image in memory
FASTEST = 300  # megabytes of image a second that decoding should reach
TARGETS = ("bsdiff", "xdelta3", "zstd", "hdiffz")  # the best of these is the peer
PEERS = os.environ.get("OTA_BENCH_PEERS", "bsdiff xdelta3 zstd hdiffz zck").split()


def commands(old, new, out):
    """{tool: command that writes `out`}"""
    found = {
        "xdelta3": ["xdelta3", "-f", "-9", "-e", "-B", str(1 << 28), "-s", old, new, out],
        "zstd": ["zstd", "-q", "-f", "-19", "--single-thread", "--long=28",
                 f"--patch-from={old}", new, "-o", out],
        "hdiffz": ["hdiffz", "-f", "-m", "-c-zstd-19", old, new, out],
    }
    if new.stat().st_size < LARGE:
        found["bsdiff"] = ["bsdiff", old, new, out]
    return {name: found[name] for name in PEERS if name in found and shutil.which(name)}


def cost(command, out):
    """[bytes, CPU-seconds, KiB resident]"""
    run = subprocess.run(["/usr/bin/time", "-f", "%U %S %M", *command], check=True,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    user, system, peak = run.stderr.split("\n")[-2].split()
    return [out.stat().st_size, float(user) + float(system), int(peak)]


def chunked(directory, old, new):
    """Bytes of the chunks that the base does not have, as zchunk counts them."""
    files = []
    for image in (old, new):
        files.append(directory / f"{image.name}.zck")
        subprocess.run(["zck", "-o", files[-1], image], check=True, stdout=subprocess.DEVNULL)
    size = subprocess.run(["zck_delta_size", *files], check=True, capture_output=True,
                          text=True).stdout
    return [int("".join(c for c in size.split("bytes")[0].split()[-1] if c.isdigit())), None,
            None]


def measure(directory, old, new):
    """{tool: [bytes, CPU-seconds, KiB]}, ours first, with more fields."""
    tool = Path(os.environ["OTA_BUILD"]) / "test/bench/pack_cost"
    out = directory / "out"
    fields = [tool, old, new, out] + (["damage"] if new.stat().st_size > LARGE else [])
    ours = subprocess.run(fields, check=True, capture_output=True, text=True).stdout.split()
    found = {"ours": [float(field) for field in ours]}
    for name, command in commands(old, new, out).items():
        found[name] = cost(command, out)
    if "zck" in PEERS and shutil.which("zck_delta_size"):
        found["zck"] = chunked(directory, old, new)
    return found


def rows(stage, name, megabytes, found):
    size, made, extra, decoded, memory, *damage = found["ours"]
    peers = [tool for tool in TARGETS if tool in found]
    if peers:
        best = min(peers, key=lambda tool: found[tool][0])
        stage.row(f"{name}: bytes", size, found[best][0], "B", most=1.05, peer_name=best)
    else:
        stage.figure(f"{name}: bytes", size, "B")
    if "bsdiff" in found:
        stage.row(f"{name}: CPU to make", made, found["bsdiff"][1], "CPU-s", most=1,
                  peer_name="bsdiff")
    stage.bound(f"{name}: memory to make, beyond the images", extra / 1024, "MiB", 64)
    stage.row(f"{name}: decoding", megabytes / max(decoded, 0.001), FASTEST, "MB/s", least=1,
              peer_name="the aim")
    stage.bound(f"{name}: memory to decode", memory, "KiB", 1465)
    for what, (spoilt, bytes_more) in zip(("first", "scattered"),
                                          zip(damage[::2], damage[1::2])):
        stage.row(f"{name}: 300 {what} blocks of the base damaged, {spoilt:.0f} segments "
                  "fetched otherwise", size + bytes_more, size, "B", most=1.15,
                  peer_name="undamaged")


def cell(figures):
    size, cpu, memory = figures[:3]
    if cpu is None:
        return f"{size:,.0f}"
    return f"{size:,.0f} B, {cpu:.1f} s, {memory / 1024:.0f} MiB"


def table(pairs):
    tools = [tool for tool in ("ours", *TARGETS, "zck") if any(tool in p["tools"]
                                                               for p in pairs.values())]
    lines = ["| pair | MB | " + " | ".join(tools) + " |", "|---" * (len(tools) + 2) + "|"]
    for name, pair in sorted(pairs.items()):
        cells = [cell(pair["tools"][tool]) if tool in pair["tools"] else "–" for tool in tools]
        lines.append(f"| {name} | {pair['megabytes']:.1f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def all_pairs():
    """{name: (old, new)}"""
    found = {}
    for new in sorted(CORPUS.glob("*/new")):
        place = new.parent
        if (place / "main").exists():
            found[place.name] = (place / "main", new)
            found[f"{place.name}-older"] = (place / "old", new)
        elif (place / "old").exists():
            found[place.name] = (place / "old", new)
    return found


def main():
    wanted = os.environ.get("OTA_BENCH_PAIRS", "").split()
    pairs = {name: pair for name, pair in all_pairs().items() if not wanted or name in wanted}
    if not pairs:
        sys.exit(f"bench delta: no pairs: put them at {CORPUS}/NAME/old and new, "
                 "or let OTA_CORPUS name their directory")
    store = RESULTS / "delta-pairs.json"
    known = json.loads(store.read_text()) if store.exists() else {}
    with Stage("delta") as stage:
        for name, (old, new) in pairs.items():
            found = measure(stage.directory, old, new)
            known[name] = {"megabytes": new.stat().st_size / 1e6,
                           "tools": {**known.get(name, {}).get("tools", {}), **found}}
            store.write_text(json.dumps(known, indent=1) + "\n")
        for name, pair in sorted(known.items()):
            rows(stage, name, pair["megabytes"], pair["tools"])
        stage.note("Bytes, CPU-seconds to make, memory to make (ours beyond the two mapped "
                   "images, of others all of it); zck: bytes of chunks not in the base.\n\n" +
                   table(known))


if __name__ == "__main__":
    main()
