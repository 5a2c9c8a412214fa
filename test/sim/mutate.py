#!/usr/bin/python3
"""Changes one thing at a time in the engine's tables and rules, and shows that a test notices.

Each row of a state table gets another next state and another action, and is left out once; each
comparison and each connective of the rules of waves, retries, places, releases and targets is
turned. A mutant is compiled alone and linked in front of the library, so one costs a second.
Needs a build directory with everything built. Exit 0 when every mutant was killed.
"""
import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

SIMS = ["engine_mode", "engine_target", "engine_end", "engine_wave", "engine_word",
        "engine_promise", "engine_slice"]
LIBRARIES = ["-lcrypto", "-lcjson", "-lzstd", "-lsqlite3", "-lcmocka", "-lpthread", "-lm"]
TURNED = [(" < ", " <= "), (" <= ", " < "), (" > ", " >= "), (" >= ", " > "), (" == ", " != "),
          (" != ", " == "), (" && ", " || "), (" || ", " && "), (" + ", " - ")]
# Files, the unit test that looks at them, and the functions whose comparisons are turned (None: no
# comparisons; []: all of them).
SUBJECTS = [
    ("update", "update", ["compare", "update_key_is_greater", "update_state_is_bad", "update_state_is_busy",
                          "update_state_is_committed"]),
    ("release", "release", ["release_is_active", "release_is_fast", "release_reaches", "release_wave_of",
                            "release_same_target", "release_is_final"]),
    ("wave", "wave", []),
    ("retry", "retry", []),
    ("fleet", None, ["comes_before", "is_open_to", "fleet_suits", "fleet_choose", "fleet_target",
                     "may_reopen", "end_other"]),
    ("rollout", None, ["rollout_take_place", "release_reason", "moment_reason", "rollout_blocked",
                       "rollout_consider", "is_already_there", "rollout_finishes_older"]),
    ("attempt", None, ["take_key", "judge_report", "is_believed", "attempt_fold", "attempt_seen",
                       "attempt_failed", "attempt_deadline", "attempt_timer", "attempt_count"]),
    ("launch", None, ["check_number", "check_target", "check_firmware", "engine_release_create",
                      "unforgive", "retry_one", "engine_release_retry", "engine_device_retry",
                      "approve"]),
    ("conduct", None, ["judge_errors", "judge_waves", "judge_end", "conduct_tick"]),
]
# Mutants that change nothing that anybody could see, each with its reason.
EQUIVALENT = {
    "wave.c '>' -> '>=' in: sums.bad = sums.bad > excused ? sums.bad - excused : 0;":
        "a difference of nothing is 0",
    "fleet.c '&&' -> '||' in: if (!best && device->pin && !extra)":
        "looks through more releases, of which none is usable",
    "fleet.c '>' -> '>=' in: device->target->document.number > update->release->document.number))":
        "it is another release",
    "launch.c '<' -> '<=' in: tally->forgiven = forgiven < bad ? forgiven : bad;":
        "of two equal numbers either is the smaller",
}


class Mutant:
    def __init__(self, noun, what, text):
        self.noun, self.what, self.text = noun, what, text


def table_mutants(noun, text):
    """Other next state, other action, no row: for each row of the state table."""
    prefix, act = ("UPDATE", "UPDATE_ACT") if noun == "update" else ("RELEASE", "RELEASE_DO")
    row = re.compile(r"^\s*\{ ?%s_(\w+), +%s_EVENT_(\w+), +\{ ?%s_(\w+), +%s_(\w+) *\} ?\},\n" %
                     (prefix, prefix, prefix, act), re.M)
    rows = list(row.finditer(text))
    nexts = sorted({r.group(3) for r in rows})
    actions = sorted({r.group(4) for r in rows})
    for r in rows:
        name = "%s on %s" % (r.group(1), r.group(2))
        for group, values, kind in ((3, nexts, "goes to"), (4, actions, "does")):
            other = values[(values.index(r.group(group)) + 1) % len(values)]
            yield Mutant(noun, "%s %s %s" % (name, kind, other),
                         text[:r.start(group)] + other + text[r.end(group):])
        yield Mutant(noun, "%s means nothing" % name, text[:r.start()] + text[r.end():])


def rank_mutants(text):
    for r in re.finditer(r"^\t\[UPDATE_(\w+)\] = (\d+),\n", text, re.M):
        yield Mutant("update", "rank of %s is one more" % r.group(1),
                     text[:r.start(2)] + str(int(r.group(2)) + 1) + text[r.end(2):])


def function_spans(text, names):
    """(name, first, end) of the functions, or of the whole file when no names are given."""
    if not names:
        return [("", text.index("\n{\n"), len(text))]
    spans = []
    for name in names:
        found = re.search(r"^[a-z][^\n;]*\b%s\([^;]*?\)\n\{\n.*?^\}\n" % name, text, re.M | re.S)
        if not found:
            sys.exit("no function %s: mutate.py is older than the source" % name)
        spans.append((name, found.start() + found.group(0).index("\n{\n"), found.end()))
    return spans


def rule_mutants(noun, text, names):
    for name, first, end in function_spans(text, names):
        line_of = lambda at: text.count("\n", 0, at) + 1
        body = text[first:end]
        for old, new in TURNED:
            at = body.find(old)
            while at >= 0:
                line_start = body.rfind("\n", 0, at) + 1
                line = body[line_start:body.find("\n", at)]
                comment = "/*" in line or line.strip().startswith("*") or "*/" in line
                if not comment and "for (" not in line:
                    yield Mutant(noun, "%s:%d '%s' -> '%s' in: %s" %
                                 (noun + ".c", line_of(first + at), old.strip(), new.strip(), line.strip()),
                                 text[:first + at] + new + text[first + at + len(old):])
                at = body.find(old, at + 1)


def mutants(source):
    for noun, _, names in SUBJECTS:
        with open(os.path.join(source, "plugin", noun + ".c"), encoding="utf-8") as file:
            text = file.read()
        if noun in ("update", "release"):
            yield from table_mutants(noun, text)
        if noun == "update":
            yield from rank_mutants(text)
        yield from rule_mutants(noun, text, names)


class Bench:
    def __init__(self, source, build, work):
        self.build, self.work = build, work
        with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
            self.commands = {os.path.relpath(c["file"], source): c for c in json.load(file)}

    def compile(self, mutant):
        path = os.path.join(self.work, mutant.noun + ".c")
        with open(path, "w", encoding="utf-8") as file:
            file.write(mutant.text)
        command = shlex.split(self.commands["plugin/%s.c" % mutant.noun]["command"])
        at = command.index("-o")
        flags = [f for f in command[1:at] if f not in ("-O2", "-g", "-Werror")]
        here = os.path.dirname(self.commands["plugin/%s.c" % mutant.noun]["file"])
        self.object = os.path.join(self.work, mutant.noun + ".o")
        done = subprocess.run([command[0]] + flags + ["-w", "-O1", "-I" + here, "-o", self.object, "-c", path],
                              capture_output=True, check=False)
        return done.returncode == 0

    def passes(self, directory, test):
        folder = os.path.join(self.build, "test", directory)
        extra = [os.path.join(folder, "libsim-world.a")] if directory == "sim" else []
        binary = os.path.join(self.work, "test")
        subprocess.run(["cc", "-o", binary,
                        os.path.join(folder, "CMakeFiles", test + ".dir", test + ".c.o"), self.object] + extra +
                       [os.path.join(self.build, "plugin", "libota-plugin-core.a"),
                        os.path.join(self.build, "common", "libota-common.a")] + LIBRARIES, check=True)
        try:
            return subprocess.run([binary], capture_output=True, timeout=60, check=False).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def kills(self, mutant, unit):
        if not self.compile(mutant):
            return "compiler"
        if unit and not self.passes("unit", unit + "_test"):
            return unit + "_test"
        for sim in SIMS:
            if not self.passes("sim", sim + "_sim"):
                return sim + "_sim"
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default="build", help="a build directory where everything is built")
    parser.add_argument("--only", default="", help="only subjects of this name")
    parser.add_argument("--part", default="1/1", help="only the first of two halves is 1/2")
    options = parser.parse_args()
    part, parts = map(int, options.part.split("/"))
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    units = {noun: unit for noun, unit, _ in SUBJECTS}
    killers, survivors, equivalent = {}, [], 0
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(source, os.path.abspath(options.build), work)
        for number, mutant in enumerate(mutants(source)):
            if options.only and mutant.noun != options.only or number % parts != part - 1:
                continue
            killer = bench.kills(mutant, units[mutant.noun])
            if not killer and re.sub(r":\d+", "", mutant.what) in EQUIVALENT:
                equivalent += 1
                continue
            if killer:
                killers[killer] = killers.get(killer, 0) + 1
            else:
                survivors.append(mutant.what)
                print("SURVIVED %s" % mutant.what, flush=True)
    killed = sum(killers.values())
    print("mutants: %d, killed: %d, survived: %d, equivalent: %d" %
          (killed + len(survivors), killed, len(survivors), equivalent))
    print("killed by: " + ", ".join("%s %d" % k for k in sorted(killers.items())))
    return 1 if survivors or not killed else 0


if __name__ == "__main__":
    sys.exit(main())
