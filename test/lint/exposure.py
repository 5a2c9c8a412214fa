"""How exposed the agent's systemd unit is, by systemd's own measure: at most 1.5."""
import re
import shutil
import subprocess
import sys
from pathlib import Path

UNIT = Path(__file__).resolve().parents[2] / "agent" / "ota-agent.service"
LIMIT = 1.5

if not shutil.which("systemd-analyze"):
    sys.exit("systemd-analyze is missing (Debian package systemd)")
done = subprocess.run(["systemd-analyze", "security", "--no-pager", "--offline=true", UNIT],
                      capture_output=True, text=True)
level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
if not level:
    sys.exit(done.stdout + done.stderr)
print(f"exposure of {UNIT.name}: {level.group(1)} (at most {LIMIT})")
sys.exit(float(level.group(1)) > LIMIT)
