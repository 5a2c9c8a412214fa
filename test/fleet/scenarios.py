#!/usr/bin/python3
"""The scenarios of `./dev fleet`, run by run.sh with the images built and an engine at hand: a hundred
real agents in containers, and what must become of them. Prints one line for each assertion; the first
that fails ends it with 1."""
import argparse
import json
import os
import subprocess
import sys
import time

COMPOSE = os.environ.get("COMPOSE", "docker-compose").split()
PROJECT = os.environ.get("COMPOSE_PROJECT_NAME", "mosquitto-ota-fleet")
PRODUCT = "thermo"
BEHIND_THE_LINK = 5
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
        return compose("ps", "-q", "agent").split()

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

    def push(self, version, script):
        self.tools.write(f"/tmp/app-{version}", script.format(version=version))
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
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise SystemExit(f"fleet: NOT within {seconds} s: {what}")
            time.sleep(1)

    def close(self):
        if self.tools:
            self.tools.close()


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
    some = fleet.containers()[:5]
    run("docker", "restart", "-t", "2", *some)
    fleet.until(lambda: fleet.counts(number).get("succeeded") == len(some), 120,
                "the five that reconnected have it")
    assert fleet.versions() == {"2.0": fleet.count - 5, "3.0": 5}
    tell("ok: a standard release reached the 5 that reconnected, and no other in 10 s")


def a_bad_version_halts_in_its_wave(fleet):
    fleet.push("4.0", BAD)
    number = fleet.release("4.0", "--fast", "--override", "--waves", "10,50,100", "--bake", "5s",
                           "--error-count", "1")
    fleet.until(lambda: fleet.show(number)["state"] == "halted", 240, "it is halted")
    hit = fleet.show(number)["waves"][0]["targeted"]
    # Those that were on trial when it was halted come back by themselves.
    fleet.until(lambda: fleet.counts(number).get("rolled_back") == hit, 120, "all are back")
    assert "4.0" not in fleet.versions()
    shown = fleet.show(number)
    later = [{state: count for state, count in wave["counts"].items() if state != "targeted"}
             for wave in shown["waves"][1:]]
    assert not any(later), f"later waves were touched: {later}"
    errors = {error["name"] for error in shown["errors"]}
    assert errors == {"health_check_failed"}, errors
    tell(f"ok: a bad version was halted in its first wave of {hit}, all rolled back with "
         "health_check_failed")


def a_release_survives_the_broker_being_killed(fleet):
    fleet.push("5.0", GOOD)
    number = fleet.release("5.0", "--fast", "--override", "--waves", "100")
    time.sleep(2)
    run("docker", "kill", compose("ps", "-q", "broker").strip())
    compose("up", "-d", "--no-build", "--no-recreate", "broker")
    fleet.until(lambda: fleet.counts(number).get("succeeded") == fleet.count, 240,
                "all succeeded")
    tell(f"ok: the broker was killed in the middle, and all {fleet.count} succeeded")


def a_release_reaches_those_whose_network_was_cut(fleet):
    cut = fleet.containers()[:10]
    network = f"{PROJECT}_default"
    for container in cut:
        run("docker", "network", "disconnect", network, container)
    fleet.push("6.0", GOOD)
    number = fleet.release("6.0", "--fast", "--override", "--waves", "100", "--success", "80")
    fleet.until(lambda: fleet.counts(number).get("succeeded") == fleet.count - 10, 180,
                "those with a network have it")
    time.sleep(5)
    assert fleet.counts(number).get("succeeded") == fleet.count - 10
    for container in cut:
        run("docker", "network", "connect", network, container)
    fleet.until(lambda: fleet.counts(number).get("succeeded") == fleet.count, 240,
                "the others have it too")
    tell("ok: 10 agents without a network got the release once they had one again")


def a_release_survives_its_agents_being_killed(fleet):
    fleet.push("7.0", GOOD)
    number = fleet.release("7.0", "--fast", "--override", "--waves", "100")
    killed = fleet.containers()[10:30]
    for container in killed:
        run("docker", "kill", container)
    run("docker", "start", *killed)
    fleet.until(lambda: fleet.counts(number).get("succeeded") == fleet.count, 240,
                "all succeeded")
    assert fleet.versions() == {"7.0": fleet.count}
    tell("ok: 20 agent containers were killed during the release, and all succeeded")


def a_release_reaches_agents_behind_a_bad_link(fleet):
    known = {device["device"] for device in fleet.devices()}
    compose("up", "-d", "--no-build", "--scale", f"faulty-agent={BEHIND_THE_LINK}",
            "--scale", f"agent={fleet.count}", "faulty-agent")
    fleet.count += BEHIND_THE_LINK
    fleet.until(lambda: len(fleet.devices()) == fleet.count, 180, "they have said hello")
    fleet.tools.otactl("device", "approve", *({device["device"] for device in fleet.devices()} -
                                              known))
    # More than the link lets through on one connection: a comment that no shell gets to.
    fleet.push("8.0", GOOD + "# " + os.urandom(1 << 19).hex() + "\n")
    number = fleet.release("8.0", "--fast", "--override", "--waves", "100")
    fleet.until(lambda: fleet.counts(number).get("succeeded") == fleet.count, 300, "all succeeded")
    cuts = compose("logs", "--no-color", "link").count(": cut")
    assert cuts > 0, "the link has cut nobody off"
    tell(f"ok: {BEHIND_THE_LINK} agents behind a link that delays, stalls and cuts ({cuts} times) "
         f"succeeded with the other {fleet.count - BEHIND_THE_LINK}")


SCENARIOS = [a_fast_release_reaches_all, a_standard_release_waits_for_reconnections,
             a_bad_version_halts_in_its_wave, a_release_survives_the_broker_being_killed,
             a_release_reaches_those_whose_network_was_cut,
             a_release_survives_its_agents_being_killed,
             a_release_reaches_agents_behind_a_bad_link]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--agents", type=int, default=100)
    fleet = Fleet(parser.parse_args().agents)
    compose("config", "-q")
    try:
        fleet.up()
        for scenario in SCENARIOS:
            scenario(fleet)
    finally:
        fleet.close()
    tell(f"all {len(SCENARIOS)} scenarios passed with {fleet.count} agents")
    return 0


if __name__ == "__main__":
    sys.exit(main())
