#!/usr/bin/python3
"""Writes doc/BENCHMARKS.md and doc/benchmarks.svg from the newest result of each bench, with what
remarks.md says to it."""
import json
import re
import subprocess
import time
from pathlib import Path

from stage import RESULTS, TREE

ORDER = ("notify", "reconnect", "chunks", "neighbour", "reports", "agent", "memory", "publish",
         "delta", "fleet")
REMARKS = Path(__file__).resolve().with_name("remarks.md")
HEAD = """# Benchmarks

Each bench measures its peer beside us in the same run on the same machine; only the ratios mean
anything, and CPU-seconds more than seconds. `./dev bench NAME` runs one again, puts its figures into
`doc/bench/` and writes this page anew. Medians of the rounds named below. The load average says how quiet the machine was: above 2, times
(not CPU-seconds) are those of a busy machine, and ratios of times compare two moments of it.

![ratios to their targets](benchmarks.svg)
"""


def number(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def target(row):
    if row.get("most") is not None:
        return f"≤ {row['most']}×"
    if row.get("least") is not None:
        return f"≥ {row['least']}×"
    if row.get("bound") is not None:
        return f"≤ {number(row['bound'])} {row['unit']}"
    return ""


def remarks():
    """{bench: text}"""
    parts = re.split(r"^## (\w+)\n", REMARKS.read_text(), flags=re.M)
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2])}


def section(result):
    when = time.strftime("%Y-%m-%d", time.gmtime(result["time"]))
    lines = [f"\n## {result['name']}\n",
             f"`./dev bench {result['name']}` · Mosquitto {result['mosquitto']} · "
             f"{result['rounds']} rounds · {when} · {result['machine']}, load average "
             f"{result['load']}\n",
             "| what | ours | peer | ratio | target | |", "|---|---|---|---|---|---|"]
    for row in result["rows"]:
        peer = f"{number(row['peer'])} ({row['peer_name']})" if row["peer"] is not None else ""
        ratio = f"{row['ratio']:.2f}" if row["ratio"] is not None else ""
        met = {True: "met", False: "**missed**", None: ""}[row["met"]]
        lines.append(f"| {row['what']} | {number(row['ours'])} {row['unit']} | {peer} | {ratio} | "
                     f"{target(row)} | {met} |")
    lines += [f"\n{note}" for note in result["notes"]]
    if result["name"] in remarks():
        lines.append("\n" + remarks()[result["name"]])
    return "\n".join(lines) + "\n"


def share_of_target(row):
    """1 is just met, below is better, whichever way the target points."""
    if row.get("most") is not None:
        return row["ratio"] / row["most"]
    if row.get("least") is not None:
        return row["least"] / row["ratio"]
    return row["ours"] / row["bound"]


def picture(results):
    rows = [(result["name"], row) for result in results for row in result["rows"]
            if row["met"] is not None]
    if not rows:
        return
    data = "".join(f'"{name}: {row["what"]}" {max(share_of_target(row), 0.01):.4f}\n'
                   for name, row in rows)
    script = f"""
set terminal svg size 900,{80 + 26 * len(rows)} font "sans,11" background "white"
set output "{TREE / 'doc' / 'benchmarks.svg'}"
$rows << EOD
{data}EOD
set logscale x 10
set xrange [0.01:10]
set yrange [-0.5:{len(rows) - 0.5}] reverse
set xlabel "share of the target (1 is just met, left is better)"
set format x "%g"
set lmargin 62
set grid x
set arrow from 1,graph 0 to 1,graph 1 nohead lc rgb "#c03030" lw 2
unset key
set style fill solid 0.8 noborder
plot $rows using 2:0:(0.01):2:($0-0.35):($0+0.35):ytic(1) with boxxyerror lc rgb "#3070a0"
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def main():
    results = [json.loads((RESULTS / f"{name}.json").read_text()) for name in ORDER
               if (RESULTS / f"{name}.json").exists()]
    (TREE / "doc").mkdir(exist_ok=True)
    extra = sorted(Path(RESULTS).glob("*.md"))
    (TREE / "doc" / "BENCHMARKS.md").write_text(
        HEAD + "".join(section(result) for result in results) +
        "".join("\n" + part.read_text() for part in extra))
    picture(results)
    print(f"doc/BENCHMARKS.md: {', '.join(result['name'] for result in results)}")


if __name__ == "__main__":
    main()
