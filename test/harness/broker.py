"""A real Mosquitto of one suite, with or without our plugin, on a port of its own."""
import os
import pwd
import signal
import socket
import subprocess

from . import places
from .process import Process, eventually


class Broker(Process):
    """`identity`: "a" binds the client id to the certificate by Mosquitto's own options, "b"
    leaves it to the plugin, "half" forgets use_username_as_clientid (mutual TLS in all). `options` become plugin_opt_… lines;
    `lines` are put into the configuration as they are, `lines_after` behind the plugin's.
    `quiet`: only errors and warnings are logged, for benches. `plain`: one more listener without TLS, for clients that have nothing to do with OTA."""

    def __init__(self, suite, directory, pki, plugin=places.PLUGIN, identity="a", options=None,
                 lines=(), lines_after=(), plain=False, certificate=None, quiet=False):
        directory.mkdir(parents=True, exist_ok=True)
        self.suite, self.directory, self.pki = suite, directory, pki
        self.version = places.broker_version(suite)
        self.plugin, self.identity, self.quiet = plugin, identity, quiet
        self.options = dict(options or {})
        self.lines, self.lines_after = list(lines), list(lines_after)
        self.certificate = certificate or pki.broker
        self._ports = [places.Port()]
        self.port = self._ports[0].number
        self.plain_port = None
        if plain:
            self._ports.append(places.Port())
            self.plain_port = self._ports[1].number
        self.config_path = directory / "mosquitto.conf"
        self.store = directory / "store"
        self.persistence = directory / "persistence"
        preload = places.sanitizer_libraries(plugin) if plugin else []
        environment = {"OTA_PRELOAD": ":".join(preload)} if preload else {}
        super().__init__(f"mosquitto {self.version}",
                         [places.broker_program(suite), "-c", self.config_path],
                         directory / "broker.log", environment)

    def configuration(self):
        lines = ["per_listener_settings false",
                 f"user {pwd.getpwuid(os.getuid()).pw_name}",
                 "log_dest stderr", *self._log_lines(),
                 "set_tcp_nodelay true", "persistence true",
                 f"persistence_location {self.persistence}/",
                 f"allow_anonymous {str(bool(self.plain_port or not self.plugin)).lower()}",
                 *self.lines]
        if self.plugin:
            lines.append(f"plugin {self.plugin}")
            lines += [f"plugin_opt_{key} {value}" for key, value in self.plugin_options().items()]
        lines += self.lines_after
        if self.plain_port:
            lines.append(f"listener {self.plain_port} 127.0.0.1")
        lines += [f"listener {self.port} 127.0.0.1", f"cafile {self.pki.ca}",
                  f"certfile {self.certificate}.crt", f"keyfile {self.certificate}.key",
                  f"crlfile {self.pki.crl}", "require_certificate true"]
        if self.identity in ("a", "half"):
            lines.append("use_identity_as_username true")
        if self.identity == "a":
            lines.append("use_username_as_clientid true")
        return "\n".join(lines) + "\n"

    def _log_lines(self):
        if self.quiet:
            # Not `connection_messages false`: doc/mosquitto.conf says what Mosquitto 2.0.11 then does.
            return ["log_type error", "log_type warning"]
        return ["log_type all", "connection_messages true"]

    def plugin_options(self):
        return {"store_dir": self.store, "connects_per_minute": 1000, **self.options}

    def start(self):
        self.store.mkdir(exist_ok=True)
        self.persistence.mkdir(exist_ok=True)
        self.config_path.write_text(self.configuration())
        self._started_at = len(self.log())
        super().start()
        eventually(self._answers, 30, self.tail)
        return self

    def start_refused(self, seconds=20):
        """Starts a broker that must refuse to run; returns its log."""
        self.store.mkdir(exist_ok=True)
        self.persistence.mkdir(exist_ok=True)
        self.config_path.write_text(self.configuration())
        self._started_at = len(self.log())
        super().start()
        status = self.wait(seconds)
        assert status != 0, f"it ran\n{self.tail()}"
        return self.log()

    def _answers(self):
        assert self.is_running(), f"it ended with {self.process.poll()}\n{self.tail()}"
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def wait(self, seconds=20):
        """As Process.wait. With the sanitizers of gcc 12 a broker on glibc 2.43 never leaves
        exit(): any plugin that calls strerror_r there, an empty one too, leaves the C library's
        locale lock held. There, and only there, it is killed a second after its last word."""
        if self.suite != "sid" or not self.environment:
            return super().wait(seconds)
        self.expected_dead = True
        try:
            eventually(lambda: self.process.poll() is not None or
                       "Saving in-memory database" in self.log()[self._started_at:], seconds,
                       lambda: f"{self.name} did not end\n{self.tail()}")
            return self.process.wait(1)
        except subprocess.TimeoutExpired:
            return 1 if "Plugin returned" in self.log()[self._started_at:] else 0
        finally:
            if self.is_running():
                self.signal(signal.SIGKILL)
                self.process.wait()

    def restart(self, kill=False):
        if kill:
            self.kill()
        else:
            self.stop()
        return self.start()

    def reload(self):
        """SIGHUP: configuration, passwords, revocation list."""
        self.signal(signal.SIGHUP)

    def close(self):
        try:
            super().close()
        finally:
            for port in self._ports:
                port.release()
            self._ports = []
