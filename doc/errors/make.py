#!/usr/bin/python3
"""Writes one page per error name from the program's own table (`otactl explain --json`). With
--check nothing is written and a difference is an error."""
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLASSES = {
    "network": "network: tried again by itself, up to 3 times, after about 1, 5 and 30 minutes",
    "device": "device: tried again once the device's own condition has changed",
    "permanent": "permanent: never tried again by itself; a manager may with `otactl device retry`",
    "command": "command: the answer to a manager's command; nothing was changed",
}



def page(error):
    return (f"# {error['name']} ({error['number']})\n\n{error['sentence']}\n\n"
            f"Class: {CLASSES[error['class']]}.\n\n## What it means\n\n{error['meaning']}\n\n"
            f"## What to do\n\n{error['remedy']}\n")


def main():
    otactl = next(a for a in sys.argv[1:] if a != "--check")
    table = json.loads(subprocess.run([otactl, "explain", "--json"], check=True,
                                      capture_output=True, text=True).stdout)
    pages = {f"{error['name']}.md": page(error) for error in table}
    pages["README.md"] = "# Errors\n\n| number | name | |\n|---|---|---|\n" + "".join(
        f"| {e['number']} | [{e['name']}]({e['name']}.md) | {e['sentence']} |\n" for e in table)
    if "--check" not in sys.argv:
        for name, text in pages.items():
            (HERE / name).write_text(text)
        return 0
    there = {path.name: path.read_text() for path in HERE.glob("*.md")}
    wrong = sorted(name for name in there.keys() | pages.keys() if there.get(name) != pages.get(name))
    for name in wrong:
        print(f"doc/errors/{name} is not what doc/errors/make.py writes")
    print(f"{len(pages)} pages, {len(wrong)} wrong")
    return bool(wrong)


sys.exit(main())
