"""Real agents and a real otactl as processes."""
import json
import os
import subprocess

from . import places
from .process import Process


class Agent(Process):
    """ota-agent with two `file` slots, supervising an application that only lives. `image` is a
    firmware.Image that it runs from the factory; `settings` replace lines of its configuration
    (None leaves one out)."""

    def __init__(self, broker, name, directory, trust, image, product="thermo",
                 settings=None, certificate=None):
        directory.mkdir(parents=True, exist_ok=True)
        self.broker, self.device, self.directory = broker, name, directory
        self.image, self.product = image, product
        self.settings = settings or {}
        self.certificate = certificate or broker.pki.device(name)
        self.slot_a, self.slot_b = directory / "slot-a", directory / "slot-b"
        self.current = directory / "current"
        self.slot_a.write_bytes(image.bytes)
        (directory / "root.json").write_text(trust.root)
        self.config_path = directory / "agent.conf"
        self.configure()
        super().__init__(f"agent {name}", [places.AGENT, "--config", self.config_path],
                         directory / "agent.log")

    def configure(self, **settings):
        """Writes the configuration, with these settings replaced from now on."""
        self.settings.update(settings)
        lines = {
            "state_dir": self.directory / "state", "broker": f"localhost:{self.broker.port}",
            "ca_file": self.broker.pki.ca, "cert_file": f"{self.certificate}.crt",
            "key_file": f"{self.certificate}.key", "trust_root": self.directory / "root.json",
            "product": self.product, "hardware": "board-1", "slot": "file",
            "slot_class": "main", "slot_a": self.slot_a, "slot_b": self.slot_b,
            "current_link": self.current, "command": "/bin/sleep 1000000",
            "factory_version": self.image.version, "factory_security_version": 1,
            "probation": "200ms", "confirm_timeout": "30s", "stop_timeout": "2s",
            "reconnect_min": "50ms", "reconnect_max": "1s", "https": "false",
            "log_level": "debug", **self.settings}
        self.config_path.write_text("".join(f"{key} = {value}\n" for key, value in lines.items()
                                            if value is not None))

    def ask(self, *words, status=0):
        """`ota-agent status` and its like: what it printed."""
        done = subprocess.run([*self.command, *map(str, words)], capture_output=True, text=True,
                              timeout=20 * places.PATIENCE,
                              env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
        assert done.returncode == status, \
            f"ota-agent {words}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.tail()}"
        return done.stdout

    def status(self):
        """What `ota-agent status` says, as a dictionary."""
        pairs = (line.partition(" ") for line in self.ask("status").splitlines())
        return {key: value for key, _, value in pairs}

    def running_bytes(self):
        """The image that the link of the running slot points to."""
        return self.current.read_bytes()


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
