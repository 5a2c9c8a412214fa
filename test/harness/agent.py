"""Real agents and a real otactl as processes."""
import json
import os
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
    """Runs otactl to its end; returns what it printed. A status other than `status` fails. Its
    configuration holds the signing keys of `trust`."""

    def __init__(self, broker, home, trust, manager="alice", product="thermo"):
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        certificate = broker.pki.manager(manager)
        settings = {"broker": f"localhost:{broker.port}", "ca": broker.pki.ca,
                    "cert": f"{certificate}.crt", "key": f"{certificate}.key",
                    "product": product, "root": home / "root.json"}
        for role, key in (("root", trust.root_key), ("firmware", trust.firmware_key),
                          ("release", trust.release_key), ("head", trust.head_key)):
            settings[f"{role}_key"] = home / f"{role}.key"
            key.save(settings[f"{role}_key"])
        settings["root"].write_text(trust.root)
        (home / "otactl.conf").write_text(
            "".join(f"{key} = {value}\n" for key, value in settings.items()))

    def __call__(self, *arguments, status=0, seconds=60):
        command = [str(places.OTACTL), *map(str, arguments)]
        environment = {**os.environ, "XDG_CONFIG_HOME": str(self.home),
                       "ASAN_OPTIONS": "detect_leaks=0"}
        done = subprocess.run(command, cwd=self.home, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, env=environment,
                              timeout=seconds * places.PATIENCE)
        assert done.returncode == status, \
            f"otactl {' '.join(command[1:])}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *arguments, **how):
        return json.loads(self(*arguments, "--json", **how))
