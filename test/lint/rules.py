#!/usr/bin/python3
"""The rules of the tree that a machine can keep: banned functions, who may include what,
lengths of functions and files, nothing private and no unfinished work.

Prints one line for each offence, `file:line: rule`, and exits 1 when there is any.
"""
import re
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
FUNCTION_MAX = 60
FILE_MAX = 600

BANNED = re.compile(
    r"(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|atoll|sscanf|alloca|"
    r"system|tmpnam|rand|srand)\s*\(")

# header → the files that may include it. A pattern is matched against the path in the tree.
LAYERS = [
    (r"mosquitto(_broker|_plugin)?\.h|mosquitto/.*", r"plugin/plugin\.c"),
    (r"MQTTAsync\.h|MQTTClient\.h", r"agent/link\w*\.c|manager/line\.c"),
    (r"openssl/.*", r"common/(sign|digest)\w*\.c|agent/\w*tls\w*\.c|agent/link\w*\.c|"
                    r"manager/certificate\.c|plugin/(identity|session)\w*\.c|plugin/plugin\.c|"
                    r"test/fleet/\w+\.[ch]"),
    (r"cjson/.*|cJSON\.h", r"manager/view\.c"),
    (r"sqlite3\.h", r"plugin/store_(sqlite|table)\w*\.[ch]"),
    (r"microhttpd\.h", r"manager/console/http\w*\.[ch]"),
    (r"curl/.*", r"agent/source_https\w*\.[ch]"),
    (r"zstd.*\.h", r"common/pack_\w*\.[ch]"),
]
PRODUCT = ("plugin/", "agent/", "manager/", "common/")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
PRIVATE = re.compile(r"^-----BEGIN ([A-Z]+ )*PRIVATE KEY-----")
TEXT = re.compile(r"(\.(c|h|py|sh|md|txt|json|js|html|css|conf|yml|cmake|in|service)|/dev|/run|Dockerfile.*)$")


def tracked():
    out = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
                         cwd=TREE, check=True, capture_output=True).stdout.decode(errors="surrogateescape")
    return [f for f in out.split("\0") if f and "/vendor/" not in f and (TREE / f).is_file()]


def without_comments_and_strings(text):
    """Blanks them out, so that lines keep their numbers."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.S)


def functions_of(lines):
    """(first line, length) of each body: an opening and a closing brace in the first column."""
    start = None
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            start = number
        elif line.rstrip() == "}" and start:
            yield start, number - start - 1
            start = None
        elif line.startswith("}"):
            start = None


def check_c(path, text, say):
    code = without_comments_and_strings(text)
    lines = code.splitlines()
    for number, line in enumerate(lines, 1):
        for match in BANNED.finditer(line):
            say(path, number, f"{match.group(1)}() is banned")
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
        if match and path.startswith(PRODUCT):
            check_include(path, number, match.group(1), say)
    if path.endswith(".c"):
        for start, length in functions_of(lines):
            if length > FUNCTION_MAX:
                say(path, start, f"a function of {length} lines (at most {FUNCTION_MAX})")
    if len(lines) > FILE_MAX:
        say(path, len(lines), f"{len(lines)} lines in one file (at most {FILE_MAX})")


def check_include(path, number, header, say):
    for pattern, allowed in LAYERS:
        if re.fullmatch(pattern, header) and not re.fullmatch(allowed, path):
            say(path, number, f"must not include {header}: only {allowed} may")
    home = path.split("/")[0]
    name = Path(header).name
    for other in {"plugin", "agent", "manager"} - {home}:
        if (TREE / other / name).exists() and not (TREE / home / name).exists() \
                and not (TREE / "common" / name).exists():
            say(path, number, f"{home}/ must not include {other}/{name}")


def check_any(path, text, say):
    for number, line in enumerate(text.splitlines(), 1):
        if UNFINISHED.search(line) and path != "test/lint/rules.py":
            say(path, number, "unfinished work")
        if PRIVATE.search(line):
            say(path, number, "a private key")


def main():
    offences = []
    checked = 0
    for path in tracked():
        if not re.fullmatch(r"[A-Za-z0-9._/+-]+", path):
            offences.append(f"{ascii(path)}: a file of this name is an accident")
        if not TEXT.search("/" + path):
            continue
        text = (TREE / path).read_text(errors="replace")
        checked += 1

        def say(where, line, rule):
            offences.append(f"{where}:{line}: {rule}")
        check_any(path, text, say)
        if path.endswith((".c", ".h")):
            check_c(path, text, say)
    for offence in offences:
        print(offence)
    print(f"rules: {checked} files, {len(offences)} offences")
    return 1 if offences or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
