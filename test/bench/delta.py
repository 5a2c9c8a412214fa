#!/usr/bin/python3
"""Packs of real firmware pairs against the delta tools that are installed: bytes, CPU-seconds,
memory. The pairs are OTA_CORPUS/<name>/old and new, and <name>/main where there is one: from old
is then the way from an older version. OTA_BENCH_PAIRS names some of them and OTA_BENCH_TOOLS some
of the tools ("ours" among them); the figures of the others stay as they are."""
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from stage import RESULTS, Stage, median, places

CORPUS = Path(os.environ.get("OTA_CORPUS", places.STATE / "corpus"))
STORE = RESULTS / "delta-pairs.json"
DESYNC = places.STATE / "desync/usr/bin/desync"  # Debian has it in sid only; ./dev bench fetches it
LARGE = 128 << 20  # images of which a damaged base is tried
SMALL = 16 << 20  # images that are measured three times
MEMORY = 10 << 30  # that a tool may take; bsdiff takes 17 times the old image
LIMIT = int(os.environ.get("OTA_BENCH_LIMIT", "1800"))  # CPU-seconds that a tool may take
FASTEST = 300  # megabytes of image a second that decoding should reach
PEERS = ("bsdiff", "xdelta3", "zstd", "hdiffz", "casync", "desync", "zck")
TOOLS = os.environ.get("OTA_BENCH_TOOLS", " ".join(("ours", *PEERS))).split()


def command(tool, old, new, out):
    """What writes `out`, or None."""
    found = {
        "xdelta3": ["xdelta3", "-f", "-9", "-e", "-B", str(1 << 28), "-s", old, new, out],
        "zstd": ["zstd", "-q", "-f", "-19", "--single-thread", "--long=28",
                 f"--patch-from={old}", new, "-o", out],
        "hdiffz": ["hdiffz", "-f", "-m", "-c-zstd-19", old, new, out],
        "bsdiff": ["bsdiff", old, new, out] if 17 * old.stat().st_size < MEMORY else None,
    }
    return found[tool] if shutil.which(tool) else None


def limit():
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT))


def cost(line):
    """(CPU-seconds, KiB resident), or None when it took longer than it may."""
    run = subprocess.run(["/usr/bin/time", "-f", "%U %S %M", *line], preexec_fn=limit,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if re.search(f"signal ({signal.SIGXCPU:d}|{signal.SIGKILL:d})$", run.stderr, re.M):
        return None
    run.check_returncode()
    user, system, peak = run.stderr.split("\n")[-2].split()
    return float(user) + float(system), int(peak)


def patched(tool, directory, old, new):
    """[bytes, CPU-seconds, KiB resident]; no bytes when it took longer than it may."""
    out = directory / "out"
    line = command(tool, old, new, out)
    if not line:
        return None
    taken = cost(line)
    return [out.stat().st_size, *taken] if taken else [None, LIMIT, None]


def stored(tool, directory, old, new):
    """The same of a chunk store's tool: the chunks that the base does not have, compressed as
    the tool does, and the index. What it cost is to cut and compress the new image."""
    index = directory / "image.caibx"
    program = str(DESYNC) if tool == "desync" else shutil.which(tool)
    if not program or not Path(program).exists():
        return None
    stores = []
    for image in (old, new):
        stores.append(directory / f"{image.name}-{tool}")
        stores[-1].mkdir()
        one_thread = ["-n", "1"] if tool == "desync" else []
        taken = cost([program, "make", *one_thread, f"--store={stores[-1]}", index, image])
    there, wanted = ({chunk.name: chunk.stat().st_size for chunk in store.glob("*/*")}
                     for store in stores)
    for store in stores:
        shutil.rmtree(store)
    size = sum(wanted[name] for name in wanted.keys() - there.keys())
    return [size + index.stat().st_size, *taken]


def zchunked(directory, old, new):
    """The same, as zchunk counts them."""
    if not shutil.which("zck_delta_size"):
        return None
    files = []
    for image in (old, new):
        files.append(directory / f"{image.name}.zck")
        taken = cost(["zck", "-o", files[-1], image])
    told = subprocess.run(["zck_delta_size", *files], check=True, capture_output=True,
                          text=True).stdout
    for file in files:
        file.unlink()
    return [int(re.search(r"download (\d+) of", told)[1]), *taken]


def packed(directory, old, new):
    """Ours, with more fields."""
    tool = Path(os.environ["OTA_BUILD"]) / "test/bench/pack_cost"
    fields = [tool, old, new, directory / "out"]
    if new.stat().st_size > LARGE:
        fields.append("damage")
    told = subprocess.run(fields, check=True, capture_output=True, text=True).stdout
    return [float(field) for field in told.split()]


def measure(tool, directory, old, new):
    """[bytes, CPU-seconds, KiB …]: the medians, where it does not take long; or None."""
    taken = []
    for _ in range(3 if new.stat().st_size < SMALL else 1):
        if tool == "ours":
            figures = packed(directory, old, new)
        elif tool == "zck":
            figures = zchunked(directory, old, new)
        elif tool in ("casync", "desync"):
            figures = stored(tool, directory, old, new)
        else:
            figures = patched(tool, directory, old, new)
        if not figures or figures[0] is None:
            return figures
        taken.append(figures)
    return [median(column) for column in zip(*taken)]


def rows(stage, name, megabytes, found):
    size, made, extra, decoded, memory, *damage = found["ours"]
    peers = [tool for tool in PEERS if tool in found and found[tool][0] is not None]
    if peers:
        best = min(peers, key=lambda tool: found[tool][0])
        stage.row(f"{name}: bytes", size, found[best][0], "B", most=1.05, peer_name=best)
    else:
        stage.figure(f"{name}: bytes", size, "B")
    if "bsdiff" in found and found["bsdiff"][0] is not None:
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
    if size is None:
        return f"– (> {cpu:.0f} s)"
    return f"{size:,.0f} B, {cpu:.1f} s, {memory / 1024:.0f} MiB"


def table(pairs):
    tools = [tool for tool in ("ours", *PEERS) if any(tool in p["tools"]
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


def stored_pairs():
    return json.loads(STORE.read_text()) if STORE.exists() else {}


def keep(name, new, tool, figures):
    """As soon as they are there: all of it takes an hour."""
    known = stored_pairs()
    pair = known.setdefault(name, {"megabytes": new.stat().st_size / 1e6, "tools": {}})
    pair["tools"][tool] = figures
    STORE.write_text(json.dumps(known, indent=1) + "\n")


def main():
    wanted = os.environ.get("OTA_BENCH_PAIRS", "").split()
    pairs = {name: pair for name, pair in all_pairs().items() if not wanted or name in wanted}
    if not pairs:
        sys.exit(f"bench delta: no pairs: put them at {CORPUS}/NAME/old and new, "
                 "or let OTA_CORPUS name their directory")
    with Stage("delta") as stage:
        for name, (old, new) in pairs.items():
            for tool in TOOLS:
                figures = measure(tool, stage.directory, old, new)
                if figures:
                    keep(name, new, tool, figures)
        known = stored_pairs()
        for name, pair in sorted(known.items()):
            rows(stage, name, pair["megabytes"], pair["tools"])
        stage.note("Bytes, CPU-seconds to make, memory to make (ours beyond the two mapped "
                   "images, of others all of it); medians of three up to 16 MiB, above that "
                   "measured once. casync, desync and zck: the chunks that the base does not "
                   "have, and the index; CPU and memory to cut and compress the new image.\n\n" +
                   table(known))


if __name__ == "__main__":
    main()
