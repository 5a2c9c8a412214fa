#!/usr/bin/python3
"""The demo: a broker, six devices, three releases, in a directory of their own on 127.0.0.1.

Five meters run Debian's busybox (of bookworm, then of trixie) as their application, in file slots;
a gateway has a kernel (the same two suites) in raw partitions. Version 3 of the meter starts and
looks healthy but never reaches the broker. Called by `./dev demo`; ends by itself, 0 when
everything went as it should.
"""
import argparse
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

from antenna import Antenna

HERE = Path(__file__).resolve().parent
TREE = HERE.parents[1]
STATE = Path(os.environ.get("OTA_DEV_DIR", TREE / ".dev"))
METERS = [f"meter-{i}" for i in range(1, 6)]
OLD, NEW, BAD = "1.35.0", "1.37.0", "1.38.0"
TERMINAL = sys.stdout.isatty()


class Stopped(Exception):
    """Ctrl-C or a signal."""


def bold(text):
    return f"\033[1m{text}\033[0m" if TERMINAL else text


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def kernel_version(path):
    """As it stands in the header of an x86 kernel (Documentation/arch/x86/boot.rst)."""
    head = path.read_bytes()[:65536]
    at = struct.unpack_from("<H", head, 0x20E)[0] + 0x200
    if head[0x202:0x206] != b"HdrS" and head[0x202:0x206] != b"\0\0\0\0" or at >= len(head):
        return "1"
    return head[at:head.index(b"\0", at)].split()[0].decode()


class Demo:
    def __init__(self, build, directory):
        self.build, self.directory = build, directory
        self.started = time.monotonic()
        self.processes = []
        self.port = free_port()
        self.pki = directory / "pki"
        self.environment = {**os.environ, "XDG_CONFIG_HOME": str(directory),
                            "XDG_CACHE_HOME": str(directory / "cache"),
                            "TMPDIR": str(directory), "OTA_DEMO": str(directory),
                            "PATH": f"{build / 'manager'}:{build / 'agent'}:{os.environ['PATH']}"}

    # What is seen

    def chapter(self, text):
        seconds = time.monotonic() - self.started
        print(f"\n{bold(text)}  ({seconds:.0f} s)", flush=True)

    def say(self, text):
        print(textwrap.fill(text, 100), flush=True)

    # What is run

    def otactl(self, *arguments, status=0, show=True):
        """Runs it before the user's eyes, so on a terminal it draws as it does for anyone."""
        words = [str(word) for word in arguments]
        if show:
            shown = " ".join(words).replace(str(self.directory), "$D")
            print(f"{bold('$ otactl ' + shown)}", flush=True)
        done = subprocess.run(["otactl", *words], env=self.environment,
                              stdout=None if show else subprocess.PIPE,
                              stderr=None if show else subprocess.PIPE, text=True,
                              cwd=self.directory, timeout=170)
        if done.returncode not in (status if isinstance(status, tuple) else (status,)):
            raise SystemExit(f"demo: otactl {' '.join(words)} ended with {done.returncode}"
                             f"{': ' + done.stderr if done.stderr else ''}")
        return done.stdout

    def ask(self, *arguments):
        return json.loads(self.otactl(*arguments, "--json", show=False))

    def start(self, name, command):
        with open(self.directory / f"{name}.log", "ab") as log:
            process = subprocess.Popen([str(word) for word in command], env=self.environment,
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       cwd=self.directory, start_new_session=True)
        self.processes.append((name, process))
        return process

    def wait_for(self, what, condition, seconds=30):
        deadline = time.monotonic() + seconds
        while not condition():
            for name, process in self.processes:
                if process.poll() is not None:
                    raise SystemExit(f"demo: {name} ended; its log:\n{self.log(name)}")
            if time.monotonic() > deadline:
                raise SystemExit(f"demo: waited {seconds} s in vain for {what}")
            time.sleep(0.2)

    def log(self, name):
        lines = (self.directory / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-30:])

    # The parts

    def make_trust(self):
        subprocess.run([TREE / "certs/dev-pki", self.pki, "--manager", "alice",
                        *(f"--device={name}" for name in [*METERS, "gateway-1"])],
                       check=True, stdout=subprocess.DEVNULL)
        self.otactl("init", "--manager", "alice", "--broker", f"127.0.0.1:{self.port}",
                    "--ca", self.pki / "ca.crt", "--cert", self.pki / "manager/alice.crt",
                    "--key", self.pki / "manager/alice.key", show=False)
        self.root = self.directory / "ota-keys/root.json"

    def start_broker(self):
        (self.directory / "store").mkdir()
        (self.directory / "mosquitto.conf").write_text(textwrap.dedent(f"""\
            listener {self.port} 127.0.0.1
            cafile {self.pki}/ca.crt
            certfile {self.pki}/broker.crt
            keyfile {self.pki}/broker.key
            require_certificate true
            allow_anonymous true
            user {os.environ.get("USER") or "root"}
            plugin {self.build}/plugin/mosquitto_ota.so
            plugin_opt_store_dir {self.directory}/store
            plugin_opt_trust_root {self.root}
            plugin_opt_admin alice
            plugin_opt_connects_per_minute 1000
            """))
        mosquitto = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
        self.start("broker", [mosquitto, "-c", self.directory / "mosquitto.conf"])

        def answers():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        self.wait_for("the broker", answers)

    def agent_conf(self, name, port, lines):
        home = self.directory / name
        home.mkdir()
        (home / "agent.conf").write_text(textwrap.dedent(f"""\
            broker = 127.0.0.1:{port}
            ca_file = {self.pki}/ca.crt
            cert_file = {self.pki}/device/{name}.crt
            key_file = {self.pki}/device/{name}.key
            trust_root = {self.root}
            state_dir = {home}/state
            reconnect_min = 200ms
            reconnect_max = 2s
            keepalive = 5s
            probation = 1s
            """) + textwrap.dedent(lines))
        return home

    def start_meter(self, name):
        antenna = Antenna()
        web = free_port()
        home = self.agent_conf(name, antenna.port, f"""\
            product = meter
            hardware = meter-a
            slot = file
            slot_a = {self.directory}/{name}/busybox-a
            slot_b = {self.directory}/{name}/busybox-b
            current_link = {self.directory}/{name}/busybox
            command = {{slot}} sh {HERE}/meter.sh {{slot}} {web} {antenna.dial} {self.port} {self.directory}/pages
            stop_timeout = 3s
            health_command = curl -fsS -m 2 -o /dev/null http://127.0.0.1:{web}/
            health_timeout = 10s
            confirm_timeout = 8s
            factory_version = {OLD}
            factory_security_version = 1
            rate_limit = 600k
            """)
        shutil.copy(STATE / "images/busybox-bookworm", home / "busybox-a")
        self.start(name, ["ota-agent", "--config", home / "agent.conf"])

    def start_gateway(self):
        """Plain files stand for its two partitions, a script for its bootloader: it asks the
        boot record what to boot, runs that system's agent, and again when it restarts."""
        old = STATE / "images/vmlinuz-bookworm"
        size = 16 << 20
        home = self.agent_conf("gateway-1", self.port, f"""\
            product = gateway
            hardware = gateway-x86
            slot = block
            slot_a = {self.directory}/gateway-1/partition-a
            slot_b = {self.directory}/gateway-1/partition-b
            restart_command = sh {self.directory}/gateway-1/restart.sh
            confirm_timeout = 60s
            factory_version = {kernel_version(old)}
            factory_security_version = 1
            rate_limit = 6M
            """)
        for slot in "ab":
            with open(home / f"partition-{slot}", "wb") as partition:
                partition.truncate(size)
        with open(home / "partition-a", "r+b") as partition:
            partition.write(old.read_bytes())
        (home / "state").mkdir()
        (home / "restart.sh").write_text(f"kill -TERM $(cat {home}/system.pid)\n")
        (home / "boot.sh").write_text(textwrap.dedent(f"""\
            # The gateway's power button, bootloader and kernel.
            trap 'kill $system; exit' TERM
            while :; do
                echo "boot: slot $(ota-agent --config {home}/agent.conf boot-select)"
                ota-agent --config {home}/agent.conf &
                system=$!
                echo $system > {home}/system.pid
                wait $system
            done
            """))
        self.start("gateway-1", ["sh", home / "boot.sh"])

    def make_bad_firmware(self):
        path = self.directory / "busybox-bad"
        subprocess.run(["cc", "-static", "-O2", "-o", path, HERE / "deaf.c"], check=True)
        return path

    # The story

    def prepare(self):
        self.chapter("A trust root, certificates, a stock Mosquitto with the plugin")
        self.make_trust()
        self.start_broker()
        self.otactl("whoami")
        for product, hardware in (("meter", "meter-a"), ("gateway", "gateway-x86")):
            self.otactl("product", "create", product, "--hardware", hardware, show=False)
        self.otactl("device", "import", *METERS, "--product", "meter")
        self.otactl("device", "import", "gateway-1", "--product", "gateway")

    def push(self, image, product, hardware, version, *options, show=True):
        self.otactl("firmware", "sign", image, "--product", product, "--hardware", hardware,
                    "--version", version, "--output", self.directory / "manifest", show=show)
        self.otactl("firmware", "push", image, "--product", product, "--manifest",
                    self.directory / "manifest", *options, show=show)

    def start_devices(self):
        self.chapter(f"Five meters start on busybox {OLD}, a gateway on its first kernel")
        (self.directory / "pages").mkdir()
        (self.directory / "pages/index.html").write_text("ok\n")
        for name in METERS:
            self.start_meter(name)
        self.start_gateway()
        self.wait_for("six devices to be online", lambda: sum(
            device["online"] for device in self.ask("device", "list")) == 6)
        self.otactl("device", "list")

    def update_fleet(self):
        images = STATE / "images"
        self.chapter(f"busybox {NEW} for the meters: first to one, then to all")
        self.push(images / "busybox-bookworm", "meter", "meter-a", OLD, show=False)
        self.push(images / "busybox-trixie", "meter", "meter-a", NEW)
        self.otactl("release", "create", NEW, "--product", "meter", "--fast", "--device",
                    METERS[0], "--watch")
        self.otactl("release", "create", NEW, "--product", "meter", "--fast", "--waves", "100",
                    "--watch")
        self.chapter("A kernel for the gateway's raw partitions")
        version = kernel_version(images / "vmlinuz-trixie")
        self.push(images / "vmlinuz-trixie", "gateway", "gateway-x86", version,
                  "--delta-from", "none", "--level", "3")
        self.otactl("release", "create", version, "--product", "gateway", "--fast", "--device",
                    "gateway-1", "--watch")

    def release_bad(self):
        self.chapter(f"Version {BAD}: it starts, it looks healthy, it cannot reach the broker")
        self.push(self.make_bad_firmware(), "meter", "meter-a", BAD)
        self.say("To all meters at once? Not before it has succeeded on one:")
        self.otactl("release", "create", BAD, "--product", "meter", "--fast", status=1)
        self.say(f"So to {METERS[0]}. The new firmware will be cut off, the old one comes back and "
                 "tells why:")
        self.otactl("release", "create", BAD, "--product", "meter", "--fast", "--device",
                    METERS[0], "--watch", status=(0, 1))
        self.chapter("The evidence")
        self.otactl("device", "show", METERS[0])

    def summary(self):
        self.chapter("Summary")
        succeeded, rolled_back, wrong = [], [], []
        for device in self.ask("device", "list"):
            name = device["device"]
            history = self.ask("device", "history", name)
            done = [update for update in history
                    if update["state"] in ("succeeded", "already_installed")]
            (succeeded if any(update["state"] == "succeeded" for update in done)
             else wrong).append(name)
            for update in history:
                if update["state"] == "rolled_back":
                    errors = [attempt["error"]["name"] for attempt in update["attempts"]
                              if "error" in attempt]
                    rolled_back.append((name, device["version"], ", ".join(errors)))
        print(f"{len(succeeded)} succeeded: {', '.join(sorted(succeeded))}")
        for name, version, error in rolled_back:
            print(f"then 1 rolled back: {name} with {error}; it runs {version} again")
        whole = (STATE / "images/busybox-trixie").stat().st_size
        fetched = max(report["fetched"]
                      for report in self.ask("device", "log", METERS[1], "--release", "2"))
        print(f"each meter fetched {fetched // 1024} KiB for an image of {whole // 1024} KiB")
        status = self.ask("status")
        callbacks = status["callbacks"].values()
        print(f"{status['served']['chunks']} chunks, {status['served']['bytes'] / 2**20:.1f} MiB; "
              f"the slowest of {sum(one['count'] for one in callbacks)} callbacks in the broker took "
              f"{max(one['max_us'] for one in callbacks) / 1000:.1f} ms")
        print(f"{time.monotonic() - self.started:.0f} s in all")
        good = len(succeeded) == 6 and any(
            "no_connectivity_after_update" in error and version == NEW
            for _, version, error in rolled_back)
        if not good:
            print(f"demo: this is not how it should end (without success: {wrong})",
                  file=sys.stderr)
        return 0 if good else 1

    # The end

    def ours(self):
        """Processes that carry this demo's directory in their environment."""
        mark = f"OTA_DEMO={self.directory}".encode()
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if int(path.parent.name) != os.getpid() and mark in path.read_bytes().split(b"\0"):
                    yield int(path.parent.name)
            except OSError:
                continue

    def close(self):
        for number, seconds in ((signal.SIGTERM, 6), (signal.SIGKILL, 6)):
            pids = [process.pid for _, process in self.processes if process.poll() is None]
            for pid in set(pids) | (set(self.ours()) if number == signal.SIGKILL else set()):
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline and (
                    any(p.poll() is None for _, p in self.processes) or list(self.ours())):
                time.sleep(0.05)
        shutil.rmtree(self.directory, ignore_errors=True)

    def start_console(self):
        """The REST API and the web pages; returns the address and an admin's token."""
        (self.directory / "console.conf").write_text(textwrap.dedent(f"""\
            port = 0
            certificate = {self.pki}/broker.crt
            key = {self.pki}/broker.key
            broker = 127.0.0.1:{self.port}
            broker_ca = {self.pki}/ca.crt
            broker_certificate = {self.pki}/console/demo.crt
            broker_key = {self.pki}/console/demo.key
            spool = {self.directory}/spool
            """))
        subprocess.run([TREE / "certs/dev-pki", self.pki, "--console", "demo"], check=True,
                       stdout=subprocess.DEVNULL)
        self.start("console", [self.build / "manager/console/ota-console", "--config",
                               self.directory / "console.conf"])
        self.wait_for("the console", lambda: "listening on" in self.log("console"))
        address = self.log("console").split("listening on ")[1].split()[0]
        token = self.ask("token", "create", "browser", "--product", "*", "--role", "admin",
                         "--days", "1")
        return address, token["secret"]

    def start_crowd(self):
        """Eighty simulated devices of a third product in the middle of a release, so that there
        is something to look at; a few fail, a few take their time."""
        names = [f"sensor-{i}" for i in range(1, 81)]
        image = self.directory / "sensor.bin"
        image.write_bytes(os.urandom(1 << 20))
        self.otactl("product", "create", "sensor", "--hardware", "sensor-a", show=False)
        self.otactl("device", "import", *names, "--product", "sensor", show=False)
        self.push(image, "sensor", "sensor-a", "2.0", "--delta-from", "none", show=False)
        self.start("crowd", [
            self.build / "test/fleet/fleetsim", "--broker=localhost", f"--port={self.port}",
            f"--ca={self.pki}/ca.crt", f"--ca-key={self.pki}/ca.key", "--product=sensor",
            "--hardware=sensor-a", "--prefix=sensor-", "--count=82", "--install-time=20s",
            "--restart-time=15s", "--defer-time=2m", "--unhealthy=250", "--roll-back=250",
            "--defer=1500", "--connect-rate=50", "--seed=7"])
        self.wait_for("the simulated devices", lambda: sum(
            device["online"] for device in self.ask("device", "list", "--product", "sensor")) >= 80)
        self.otactl("release", "create", "2.0", "--product", "sensor", "--fast", "--waves",
                    "25,50,100", "--override", show=False)

    def keep(self):
        self.start_crowd()
        address, token = self.start_console()
        print(textwrap.dedent(f"""
            The console (its certificate is of this demo's own CA, so the browser will ask):

              {address}
              one-time login: {address}/#login={token}&product=sensor&once

            Everything goes on running, in {self.directory}. In another terminal:

              export XDG_CONFIG_HOME={self.directory} XDG_CACHE_HOME={self.directory}/cache
              export PATH={self.build}/manager:{self.build}/agent:$PATH
              otactl device list
              otactl watch --product meter
              ota-agent --config {self.directory}/meter-2/agent.conf status

            Ctrl-C ends it and removes the directory."""), flush=True)
        signal.pause()


def stop(number, frame):
    raise Stopped


def main():
    parser = argparse.ArgumentParser(prog="dev demo", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=TREE / "build/gcc")
    parser.add_argument("--keep", action="store_true", help="leave everything running at the end")
    options = parser.parse_args()
    wanted = [STATE / "images" / f"{kind}-{suite}" for kind in ("busybox", "vmlinuz")
              for suite in ("bookworm", "trixie")]
    wanted += [options.build / part for part in ("manager/otactl", "agent/ota-agent",
                                                 "plugin/mosquitto_ota.so")]
    for path in wanted:
        if not path.exists():
            parser.error(f"'{path}' is missing; `./dev demo` fetches and builds what is needed")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    demo = Demo(options.build.resolve(), Path(tempfile.mkdtemp(prefix="ota-demo.")))
    try:
        demo.prepare()
        demo.start_devices()
        demo.update_fleet()
        demo.release_bad()
        status = demo.summary()
        if options.keep:
            demo.keep()
        return status
    except Stopped:
        print("\nstopped", file=sys.stderr)
        return 130
    except SystemExit:
        for name, _ in demo.processes:
            print(f"--- log of {name}:\n{demo.log(name)}", file=sys.stderr)
        raise
    finally:
        demo.close()


if __name__ == "__main__":
    sys.exit(main())
