"""How exposed the systemd units are, by systemd's own measure: those that talk to the network at
most 1.5, the one of root's that writes the slots at most 2.5."""
import re
import shutil
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
LIMITS = {"agent/ota-agent.service": 1.5, "agent/ota-slot.service": 2.5,
          "manager/console/ota-console.service": 1.5}

if not shutil.which("systemd-analyze"):
    sys.exit("systemd-analyze is missing (Debian package systemd)")
too_much = 0
for unit, limit in LIMITS.items():
    done = subprocess.run(["systemd-analyze", "security", "--no-pager", "--offline=true",
                           TREE / unit], capture_output=True, text=True)
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    if not level:
        sys.exit(done.stdout + done.stderr)
    print(f"exposure of {unit}: {level.group(1)} (at most {limit})")
    too_much += float(level.group(1)) > limit
sys.exit(too_much)
