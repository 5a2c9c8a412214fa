"""Real agents and a real otactl as processes."""
import json
import os
import pwd
import shutil
import subprocess

from . import places
from .process import Process, eventually


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
        # With the sanitizer's dlopen() between, the program's own search path does not count.
        environment = {"LD_LIBRARY_PATH": str(places.AGENT.parent)} if places.SANITIZED else {}
        super().__init__(f"agent {name}", [places.AGENT, "--config", self.config_path],
                         directory / "agent.log", environment)

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
            "probation": "200ms", "confirm_timeout": places.patient(30), "stop_timeout": "2s",
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


class Machine:
    """A machine with two partitions, our boot record and a boot selector, which runs as root
    whoever the agent runs as."""

    def __init__(self, agent, size):
        self.agent = agent
        self.asked = agent.directory / "restart-asked"
        for path in (agent.slot_a, agent.slot_b):
            with open(path, "r+b" if path.exists() else "w+b") as partition:
                partition.truncate(size)
        agent.configure(slot="block", command=None, current_link=None,
                        restart_command=f"touch {self.asked}")

    def boot(self):
        """Power on: the boot selector decides, the system's agent starts."""
        path = self.select()
        self.agent.start()
        return path

    def select(self):
        return subprocess.run([places.AGENT, "--config", self.agent.config_path, "boot-select"],
                              check=True, capture_output=True, text=True,
                              env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}).stdout.strip()

    def halts(self):
        """Waits for the restart that the agent asks for; what runs is ended by it."""
        eventually(self.asked.exists, 30, self.agent.tail)
        self.agent.kill()
        self.asked.unlink()

    def restarts(self):
        """The same, and the machine is up again: the slot that was booted."""
        self.halts()
        return self.boot()

    def reverts_what_is_not_healthy(self, plugin, image):
        """A version that fails its health check is booted, and the old one after it."""
        self.agent.configure(health_command="/bin/false", health_timeout=places.patient(0.5))
        self.boot()
        plugin.wait_hello("d1")
        plugin.offer("d1", image, 1)
        plugin.wait_report("d1", "restarting", 1)
        assert self.restarts() == str(self.agent.slot_b)
        assert self.restarts() == str(self.agent.slot_a)
        report = plugin.wait_report("d1", "rolled_back", 1)
        assert report["error"]["name"] == "health_check_failed"


class SlotWriter(Process):
    """ota-slot for the block slots of an agent, which then runs as the user nobody where the test
    is root, and may write neither the slots nor the boot state."""

    def __init__(self, agent):
        self.agent, self.user = agent, pwd.getpwuid(os.geteuid()).pw_name
        self.socket = agent.directory / "slot.sock"
        kept = agent.directory / "root"
        kept.mkdir(mode=0o700)
        if os.geteuid() == 0:
            self.user = "nobody"
            self._give_away()
        for slot in (agent.slot_a, agent.slot_b):
            slot.chmod(0o600)
        agent.configure(slot_socket=self.socket, slot_user=self.user,
                        boot_record=kept / "boot-state")
        super().__init__("ota-slot", [places.SLOT, "--config", agent.config_path],
                         agent.directory / "slot.log")

    def _give_away(self):
        """What the agent needs becomes nobody's: its program, credentials and state."""
        agent, user = self.agent, pwd.getpwnam("nobody")
        program, state = agent.directory / "ota-agent", agent.directory / "state"
        shutil.copy(places.AGENT, program)
        state.mkdir(mode=0o700)
        os.chown(state, user.pw_uid, user.pw_gid)
        for ending in ("crt", "key"):
            copy = agent.directory / f"device.{ending}"
            shutil.copy(f"{agent.certificate}.{ending}", copy)
            os.chown(copy, user.pw_uid, user.pw_gid)
        ca = agent.directory / "ca.crt"
        shutil.copy(agent.broker.pki.ca, ca)
        ca.chmod(0o644)
        for above in (agent.directory, *list(agent.directory.parents)[:2]):
            above.chmod(0o755)
        agent.configure(cert_file=agent.directory / "device.crt", ca_file=ca,
                        key_file=agent.directory / "device.key")
        agent.command = ["/usr/bin/setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}",
                         "--clear-groups", "--no-new-privs", str(program),
                         *agent.command[1:]]

    def start(self):
        super().start()
        eventually(self.socket.exists, 10, self.tail)
        return self


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
        return done.stdout + done.stderr if status else done.stdout

    def json(self, *arguments, **how):
        return json.loads(self(*arguments, "--json", **how))
