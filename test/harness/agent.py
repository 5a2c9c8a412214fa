"""Real agents and a real otactl as processes."""
import json
import subprocess

from . import places
from .process import Process


class Agent(Process):
    """ota-agent with two `file` slots. `image` is a firmware.Image that it runs from the
    factory; `settings` are lines of its configuration, replacing those made here (None leaves
    one out)."""

    def __init__(self, broker, name, directory, trust, image, product="thermo",
                 settings=None, certificate=None):
        directory.mkdir(parents=True, exist_ok=True)
        self.broker, self.device, self.directory = broker, name, directory
        self.image, self.product = image, product
        self.settings = settings or {}
        self.certificate = certificate or broker.pki.device(name)
        (directory / "root.json").write_text(trust.root)
        self.config_path = directory / "agent.conf"
        super().__init__(f"agent {name}", [places.AGENT, "--config", self.config_path],
                         directory / "agent.log")

    def start(self):
        return super().start()


class Otactl:
    """Runs otactl to its end; returns what it printed. A status other than `status` fails."""

    def __init__(self, broker, home, manager="alice"):
        home.mkdir(parents=True, exist_ok=True)
        self.broker, self.home, self.manager = broker, home, manager
        self.certificate = broker.pki.manager(manager)

    def __call__(self, *arguments, status=0, seconds=60, stdin=None):
        done = subprocess.run([str(places.OTACTL), *map(str, arguments)], cwd=self.home,
                              input=stdin, capture_output=True, text=True,
                              timeout=seconds * places.PATIENCE)
        assert done.returncode == status, \
            f"otactl {' '.join(map(str, arguments))}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *arguments, **how):
        return json.loads(self(*arguments, "--json", **how))
