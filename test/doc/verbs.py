#!/usr/bin/python3
"""Every command that the manager's side sends is one that the plugin knows and that PROTOCOL.md
lists; every one that the plugin knows is in PROTOCOL.md."""
import re
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
NOUNS = "product|device|group|blob|firmware|release|root|head|manager|token|audit|event"
VERB = re.compile(rf'"((?:{NOUNS})\.(?!key\b|json\b|threshold\b)[a-z]+)"')


def main():
    known = set(VERB.findall((TREE / "plugin/command_table.c").read_text()))
    protocol = (TREE / "common/PROTOCOL.md").read_text()
    written = set(re.findall(rf"`((?:{NOUNS})\.(?!json\b)[a-z]+)`", protocol))
    sent = {(verb, path.relative_to(TREE)) for path in TREE.glob("manager/**/*.c")
            for verb in VERB.findall(path.read_text())}
    wrong = [f"{path} sends {verb}, which the plugin does not know"
             for verb, path in sorted(sent) if verb not in known]
    wrong += [f"PROTOCOL.md does not list {verb}" for verb in sorted(known - written)]
    wrong += [f"PROTOCOL.md lists {verb}, which the plugin does not know"
              for verb in sorted(written - known)]
    print("\n".join([*wrong, f"{len(known)} commands, {len(sent)} uses, {len(wrong)} wrong"]))
    return bool(wrong) or len(known) < 40 or len(sent) < 40


sys.exit(main())
