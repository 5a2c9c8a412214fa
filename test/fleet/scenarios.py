#!/usr/bin/python3
"""The scenarios of `./dev fleet`, run by run.sh with the images built and an engine at hand: a hundred
real agents in containers, and what must become of them. Prints one line for each assertion; the first
that fails ends it with 1."""
import argparse
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

COMPOSE = os.environ.get("COMPOSE", "docker-compose").split()
PROJECT = os.environ.get("COMPOSE_PROJECT_NAME", "mosquitto-ota-fleet")
PRODUCT = "thermo"
BEHIND_THE_LINK = 5
PATIENCE = float(os.environ.get("OTA_TEST_PATIENCE", "1"))  # × of every limit, on a busy machine
MIB = 1 << 20
LARGE = 6 * MIB  # more than an agent's `https_threshold`
GOOD = """#!/bin/sh
# version {version}
[ "${{1:-}}" != check ] || exit 0
trap 'exit 0' TERM
while :; do sleep 1 & wait $!; done
"""
BAD = """#!/bin/sh
# version {version}: it runs, and is not healthy
[ "${{1:-}}" != check ] || exit 1
trap 'exit 0' TERM
while :; do sleep 1 & wait $!; done
"""


def run(*command, check=True, seconds=600, text=None):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, input=text,
                          timeout=seconds)
    if check and done.returncode:
        raise SystemExit(f"fleet: {' '.join(map(str, command))}: {done.returncode}\n"
                         f"{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def compose(*arguments, **how):
    return run(*COMPOSE, *arguments, **how)


def containers(service=None):
    """Ids, of those that do not run as well. (docker-compose itself takes a second to say so.)"""
    wanted = [f"label=com.docker.compose.project={PROJECT}"]
    if service:
        wanted.append(f"label=com.docker.compose.service={service}")
    return run("docker", "ps", "-a", "-q", "--no-trunc",
               *[f"--filter={one}" for one in wanted]).split()


class Tools:
    """One container of the tools, kept for the whole run: otactl in it is alice."""

    def __init__(self):
        self.name = f"{PROJECT}-tools"
        self.close()  # one that an interrupted run left
        run("docker", "run", "-d", "--name", self.name, "--network", f"{PROJECT}_default",
            "-v", f"{PROJECT}_keys:/work", "-e", "XDG_CONFIG_HOME=/work/config",
            f"mosquitto-ota/tools:{os.environ.get('SUITE', 'bookworm')}", "sleep", "100000")

    def otactl(self, *arguments, check=True):
        return run("docker", "exec", self.name, "otactl", *arguments, check=check)

    def json(self, *arguments):
        return json.loads(self.otactl(*arguments, "--json"))

    def sh(self, line):
        return run("docker", "exec", self.name, "sh", "-c", line)

    def write(self, path, text):
        run("docker", "exec", "-i", self.name, "sh", "-c", f"cat > {path}", text=text)

    def close(self):
        run("docker", "rm", "-f", self.name, check=False)


class Fleet:
    def __init__(self, count):
        self.count = count
        self.tools = None
        self.number = 1

    def up(self):
        started = time.monotonic()
        compose("up", "-d", "--no-build", "broker")
        self.tools = Tools()
        self.until(lambda: self.tools.otactl("whoami", check=False), 60, "the broker answers")
        self.tools.otactl("product", "create", PRODUCT)
        compose("up", "-d", "--no-build", "--scale", f"agent={self.count}", "agent", seconds=1200)
        self.until(lambda: len(self.devices()) == self.count, 180,
                   f"{self.count} agents have said hello")
        self.tools.otactl("device", "approve", *[d["device"] for d in self.devices()])
        self.until(lambda: all(d["online"] and d["status"] == "approved"
                               for d in self.devices()), 60, "all are approved and online")
        tell(f"{len(self.containers())} agent containers up and approved in "
             f"{time.monotonic() - started:.0f} s")

    def containers(self):
        return containers("agent")

    def some(self, part):
        """One container in `part` of them, two at least."""
        return self.containers()[:max(2, self.count // part)]

    def devices(self):
        found, after = [], None
        while True:
            arguments = ["device", "list", "--product", PRODUCT, "--limit", "500"]
            page = self.tools.json(*arguments, *(["--after", after] if after else []))
            items = page["items"] if isinstance(page, dict) else page
            found += items
            after = page.get("next") if isinstance(page, dict) else None
            if not after:
                return found

    def push(self, version, script, filler=0):
        """`filler`: bytes that no shell gets to and no pack makes smaller."""
        path = f"/tmp/app-{version}"
        self.tools.write(path, script.format(version=version) + ("exit\n" if filler else ""))
        self.tools.sh(f"head -c {filler} /dev/urandom >> {path}")
        self.tools.otactl("firmware", "sign", f"/tmp/app-{version}", "--version", version,
                          "--hardware", "container")
        self.tools.otactl("firmware", "push", f"/tmp/app-{version}", "--delta-from", "none")

    def release(self, version, *how):
        self.tools.otactl("release", "create", version, *how)
        number, self.number = self.number, self.number + 1
        return number

    def show(self, number):
        return self.tools.json("release", "show", str(number))

    def counts(self, number):
        return self.show(number)["counts"]

    def versions(self):
        found = {}
        for device in self.devices():
            found[device["version"]] = found.get(device["version"], 0) + 1
        return found

    def until(self, condition, seconds, what):
        seconds *= PATIENCE
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise SystemExit(f"fleet: NOT within {seconds:.0f} s: {what}")
            time.sleep(1)

    def mqtt_bytes(self):
        """That the broker's container has sent, to all and in all."""
        return int(run("docker", "exec", *containers("broker"), "cat",
                       "/sys/class/net/eth0/statistics/tx_bytes"))

    def keep_evidence(self, directory):
        """Of a scenario that failed: what the manager is told, and the logs of the broker and of
        those devices that did not do what the others did."""
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        devices = self.devices()
        (directory / "devices.json").write_text(json.dumps(devices, indent=1))
        common = collections.Counter(map(outcome, devices)).most_common(1)[0][0]
        for container in containers():
            name = "agent-" + container[:12]
            device = next((d for d in devices if d["device"] == name), None)
            if device and outcome(device) == common:
                continue
            log = run("sh", "-c", f"docker logs -t {container} 2>&1")
            if device:
                log += self.tools.otactl("device", "show", name, check=False)
                log += self.tools.otactl("device", "why", name, check=False)
            else:
                name = run("docker", "inspect", "-f", "{{.Name}}", container).strip("/\n")
            (directory / name).write_text(log)
        tell(f"logs of those that were not '{common}' are in {directory}")

    def close(self):
        if self.tools:
            self.tools.close()


def outcome(device):
    return f"{device['version']} {device.get('update', {}).get('state', '-')}"


class Nginx:
    """The container of the profile https, and what its log says of the blobs it sent."""

    def __init__(self):
        compose("up", "-d", "--no-build", "--no-recreate", "nginx")
        self.container = containers("nginx")[0]

    def is_healthy(self):
        return run("docker", "inspect", "-f", "{{.State.Health.Status}}",
                   self.container).strip() == "healthy"

    def rows(self):
        """[(device, status, bytes)], one for each range that was asked for."""
        lines = run("docker", "logs", self.container).splitlines()
        words = [line.split() for line in lines if line.startswith("blob ")]
        return [(re.search(r"CN=([\w.-]+)", dn).group(1), int(status), int(size))
                for _, dn, status, size in words]

    def slow_down(self, rate):
        """`rate` bytes a second for each range, until it is started again."""
        run("docker", "exec", self.container, "sh", "-c",
            f"sed -i '/max_ranges/i limit_rate {rate};' /etc/nginx/conf.d/ota.conf && "
            "nginx -s reload")

    def stop(self):
        compose("stop", "-t", "1", "nginx")


def tell(text):
    print(f"fleet: {text}", flush=True)


def a_fast_release_reaches_all(fleet):
    fleet.push("2.0", GOOD)
    started = time.monotonic()
    number = fleet.release("2.0", "--fast", "--override", "--waves", "100")
    fleet.until(lambda: fleet.counts(number).get("succeeded") == fleet.count, 180, "all succeeded")
    assert fleet.versions() == {"2.0": fleet.count}
    tell(f"ok: a fast release reached all {fleet.count} in {time.monotonic() - started:.0f} s")


def a_standard_release_waits_for_reconnections(fleet):
    fleet.push("3.0", GOOD)
    number = fleet.release("3.0", "--standard", "--override", "--waves", "100")
    time.sleep(10)
    assert fleet.versions() == {"2.0": fleet.count}, "somebody did not wait"
    some = fleet.some(20)
    run("docker", "restart", "-t", "2", *some)
    fleet.until(lambda: fleet.counts(number).get("succeeded") == len(some), 120,
                "those that reconnected have it")
    assert fleet.versions() == {"2.0": fleet.count - len(some), "3.0": len(some)}
    tell(f"ok: a standard release reached the {len(some)} that reconnected, and no other in 10 s")


def a_bad_version_halts_in_its_wave(fleet):
    fleet.push("4.0", BAD)
    number = fleet.release("4.0", "--fast", "--override", "--waves", "10,50,100", "--bake", "5s",
                           "--error-count", "1")
    fleet.until(lambda: fleet.show(number)["state"] == "halted", 240, "it is halted")
    # Which devices are in a wave is chance: of a small fleet there may be none in the first.
    waves = [wave for wave in fleet.show(number)["waves"] if wave["targeted"]]
    hit = waves[0]["targeted"]
    # Those that were on trial when it was halted come back by themselves.
    fleet.until(lambda: fleet.counts(number).get("rolled_back") == hit, 120, "all are back")
    assert "4.0" not in fleet.versions()
    shown = fleet.show(number)
    later = [{state: count for state, count in wave["counts"].items() if state != "targeted"}
             for wave in shown["waves"] if wave["targeted"]][1:]
    assert not any(later), f"later waves were touched: {later}"
    errors = {error["name"] for error in shown["errors"]}
    assert errors == {"health_check_failed"}, errors
    tell(f"ok: a bad version was halted in its first wave of {hit}, all rolled back with "
         "health_check_failed")


def a_release_survives_the_broker_being_killed(fleet):
    fleet.push("5.0", GOOD)
    number = fleet.release("5.0", "--fast", "--override", "--waves", "100")
    time.sleep(2)
    run("docker", "kill", *containers("broker"))
    compose("up", "-d", "--no-build", "--no-recreate", "broker")
    fleet.until(lambda: fleet.counts(number).get("succeeded") == fleet.count, 240,
                "all succeeded")
    tell(f"ok: the broker was killed in the middle, and all {fleet.count} succeeded")


def a_release_reaches_those_whose_network_was_cut(fleet):
    cut = fleet.some(10)
    network = f"{PROJECT}_default"
    for container in cut:
        run("docker", "network", "disconnect", network, container)
    fleet.push("6.0", GOOD)
    number = fleet.release("6.0", "--fast", "--override", "--waves", "100", "--success", "80")
    fleet.until(lambda: fleet.counts(number).get("succeeded") == fleet.count - len(cut), 180,
                "those with a network have it")
    time.sleep(5)
    assert fleet.counts(number).get("succeeded") == fleet.count - len(cut)
    for container in cut:
        run("docker", "network", "connect", network, container)
    fleet.until(lambda: fleet.counts(number).get("succeeded") == fleet.count, 240,
                "the others have it too")
    tell(f"ok: {len(cut)} agents without a network got the release once they had one again")


def a_release_survives_its_agents_being_killed(fleet):
    fleet.push("7.0", GOOD)
    number = fleet.release("7.0", "--fast", "--override", "--waves", "100")
    killed = fleet.some(5)
    for container in killed:
        run("docker", "kill", container)
    run("docker", "start", *killed)
    fleet.until(lambda: fleet.counts(number).get("succeeded") == fleet.count, 240,
                "all succeeded")
    assert fleet.versions() == {"7.0": fleet.count}
    tell(f"ok: {len(killed)} agent containers were killed during the release, and all succeeded")


def a_large_release_comes_from_nginx(fleet):
    nginx = Nginx()
    fleet.until(nginx.is_healthy, 60, "nginx answers")
    fleet.push("8.0", GOOD, LARGE)
    before = fleet.mqtt_bytes()
    number = fleet.release("8.0", "--fast", "--override", "--waves", "100")
    fleet.until(lambda: fleet.counts(number).get("succeeded") == fleet.count, 300, "all succeeded")
    mqtt, rows = fleet.mqtt_bytes() - before, nginx.rows()
    whole = fleet.count * LARGE
    served = sum(size for _, _, size in rows)
    assert {device for device, _, _ in rows} == {device["device"] for device in fleet.devices()}
    assert {status for _, status, _ in rows} == {206}
    assert whole <= served <= whole * 1.05, f"nginx sent {served} of {whole} bytes"
    assert mqtt < whole * 0.05, f"{mqtt} bytes came over MQTT"
    assert fleet.versions() == {"8.0": fleet.count}
    tell(f"ok: nginx sent {served / MIB:.0f} MiB in {len(rows)} ranges to {fleet.count}, the "
         f"broker {mqtt / MIB:.1f} MiB")


def a_release_goes_on_over_mqtt_when_nginx_is_stopped(fleet):
    nginx = Nginx()
    nginx.slow_down("64k")
    seen = len(nginx.rows())
    fleet.push("9.0", GOOD, LARGE)
    before = fleet.mqtt_bytes()
    number = fleet.release("9.0", "--fast", "--override", "--waves", "100")
    fleet.until(lambda: len({device for device, _, _ in nginx.rows()[seen:]}) >= fleet.count / 2,
                120, "half of them have something from nginx")
    assert not fleet.counts(number).get("succeeded"), "somebody was through before it was stopped"
    nginx.stop()
    blamed = {}

    def all_succeeded():
        for device in fleet.devices():
            error = device["update"].get("error")
            if error:
                blamed[device["device"]] = error
        return fleet.counts(number).get("succeeded") == fleet.count

    fleet.until(all_succeeded, 300, "all succeeded")
    assert blamed, "nobody was told that nginx is gone"
    # a container that ends takes its address along: some are told so, others hear nothing more
    assert all(error["name"] in ("connection_lost", "download_stalled") and
               "https://nginx:8443" in error["message"] for error in blamed.values()), blamed
    mqtt = fleet.mqtt_bytes() - before
    served = sum(size for _, _, size in nginx.rows()[seen:])
    whole = fleet.count * LARGE
    assert served > 0 and mqtt > whole * 0.05
    # what was under way when it was stopped is paid twice, less than 1 MiB for each
    assert whole * 0.9 <= served + mqtt <= whole * 1.05 + fleet.count * MIB, \
        f"of {whole} bytes {served} came from nginx and {mqtt} over MQTT"
    assert fleet.versions() == {"9.0": fleet.count}
    tell(f"ok: nginx was stopped after {served / MIB:.0f} MiB, {len(blamed)} said so, "
         f"{mqtt / MIB:.0f} MiB came over MQTT, and all {fleet.count} succeeded")


def a_release_reaches_agents_behind_a_bad_link(fleet):
    known = {device["device"] for device in fleet.devices()}
    compose("up", "-d", "--no-build", "--scale", f"faulty-agent={BEHIND_THE_LINK}",
            "--scale", f"agent={fleet.count}", "faulty-agent")
    fleet.count += BEHIND_THE_LINK
    fleet.until(lambda: len(fleet.devices()) == fleet.count, 180, "they have said hello")
    fleet.tools.otactl("device", "approve", *({device["device"] for device in fleet.devices()} -
                                              known))
    fleet.push("10.0", GOOD, 1 << 20)  # more than the link lets through on one connection
    number = fleet.release("10.0", "--fast", "--override", "--waves", "100")
    fleet.until(lambda: fleet.counts(number).get("succeeded") == fleet.count, 300, "all succeeded")
    cuts = compose("logs", "--no-color", "link").count(": cut")
    assert cuts > 0, "the link has cut nobody off"
    tell(f"ok: {BEHIND_THE_LINK} agents behind a link that delays, stalls and cuts ({cuts} times) "
         f"succeeded with the other {fleet.count - BEHIND_THE_LINK}")


SCENARIOS = [a_fast_release_reaches_all, a_standard_release_waits_for_reconnections,
             a_bad_version_halts_in_its_wave, a_release_survives_the_broker_being_killed,
             a_release_reaches_those_whose_network_was_cut,
             a_release_survives_its_agents_being_killed,
             a_large_release_comes_from_nginx,
             a_release_goes_on_over_mqtt_when_nginx_is_stopped,
             a_release_reaches_agents_behind_a_bad_link]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--agents", type=int, default=100, help="containers, 3 or more")
    agents = parser.parse_args().agents
    if agents < 3:
        parser.error(f"--agents {agents}: at least 3")
    fleet = Fleet(agents)
    compose("config", "-q")
    try:
        fleet.up()
        for scenario in SCENARIOS:
            scenario(fleet)
    except BaseException:
        if fleet.tools and "OTA_FLEET_EVIDENCE" in os.environ:
            fleet.keep_evidence(Path(os.environ["OTA_FLEET_EVIDENCE"]))
        raise
    finally:
        fleet.close()
    tell(f"all {len(SCENARIOS)} scenarios passed with {fleet.count} agents")
    return 0


if __name__ == "__main__":
    sys.exit(main())
