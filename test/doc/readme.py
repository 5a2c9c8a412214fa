#!/usr/bin/python3
"""Executes the blocks of README.md that are marked `<!-- run: name -->`, one after the other, in
one shell, with a home and an installation directory of their own. Two things differ from what a
reader does: the build is the one under test, and broker and console listen on free ports of
127.0.0.1 instead of 8883 and 8443."""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]


def blocks():
    text = (TREE / "README.md").read_text()
    found = re.findall(r"<!-- run: (\w+) -->\n```sh\n(.*?)```", text, re.S)
    commands = re.findall(r"^```sh\n(.*?)```", text, re.S | re.M)
    unmarked = [block for block in commands if block not in [body for _, body in found]]
    assert unmarked == ["./dev demo\n./dev test\n"], f"blocks that nobody runs: {unmarked}"
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def script(build):
    port, console_port = free_port(), free_port()
    parts = ["set -euo pipefail", f"cd {TREE}"]
    for name, body in blocks():
        body = body.replace("./dev build\n", "").replace("build/gcc", str(build))
        body = body.replace("listener 8883\n", f"listener {port} 127.0.0.1\n")
        body = body.replace("8883", str(port)).replace("8443", str(console_port))
        parts += [f"echo '--- {name}'", body]
        if name == "console":
            parts[-1] = body.rstrip() + " > ~/devices.json\ngrep '\"gw1\"' ~/devices.json"
        if name == "broker":  # a reader is slower than a script
            parts.append(f"for i in $(seq 100); do (: </dev/tcp/127.0.0.1/{port}) 2>/dev/null && break; "
                         "sleep 0.1; done")
        if name == "agent":
            parts.append("for i in $(seq 100); do otactl device show gw1 | grep -q 'online *yes' && break; "
                         "sleep 0.2; done")
    parts.append("otactl device show gw1 --json | grep -q '\"version\":\"1.1.0\"'")
    return "\n".join(parts)


def ours(home):
    mark = f"OTA_README={home}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if int(path.parent.name) != os.getpid() and mark in path.read_bytes().split(b"\0"):
                yield int(path.parent.name)
        except OSError:
            continue


def main():
    home = tempfile.mkdtemp(prefix="ota-readme.")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("XDG_")}
    environment.update(HOME=home, PREFIX=f"{home}/usr", OTA_README=home)
    try:
        done = subprocess.run(["bash", "-c", script(Path(sys.argv[1]).resolve())], timeout=150,
                              env=environment, stdin=subprocess.DEVNULL)
        if done.returncode:
            for log in ("ota/broker.log", "ota/gw1/agent.log", "ota/console.log"):
                path = Path(home, log)
                print(f"--- {log}\n{path.read_text()[-3000:] if path.exists() else 'none'}")
        return done.returncode
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in ours(home):
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
            subprocess.run(["sleep", "1.5"], check=True)
        shutil.rmtree(home, ignore_errors=True)


sys.exit(main())
