"""The pages in Debian's Chromium, driven by Playwright over the real stack: Mosquitto with the
plugin, the console, and a simulated fleet that downloads real bytes, fails and comes back."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import places
from harness.firmware import Image, filler
from harness.fleetsim import Fleetsim

HERE = Path(__file__).resolve().parent
MODULES = Path(os.environ.get("OTA_NODE_MODULES", places.STATE / "console" / "node_modules"))
VERSION = "2.0.0"


def need_browser():
    missing = [str(path) for path in (MODULES / "playwright-core", Path("/usr/bin/chromium"))
               if not path.exists()]
    if not shutil.which("node"):
        missing.append("node")
    if missing:
        reason = f"BROWSER NOT REACHED: {', '.join(missing)} missing; run ./dev deps"
        pytest.skip(reason)


@pytest.fixture
def fleet(api, alice, broker, product, directory, closing):
    """Twenty simulated devices in group beta, one more in quarantine; d3 fails its health check,
    d4 takes so long to decide that the release is still under way at the end."""
    names = [f"d{number}" for number in range(1, 21)]
    alice.ask("device.import", {"product": product, "devices": names})
    alice.ask("group.create", {"product": product, "group": "beta"})
    alice.ask("group.edit", {"product": product, "group": "beta", "add": names})
    sim = closing.keep(Fleetsim(broker, directory / "fleetsim.log", 21, install_time="1s",
                                restart_time="3s", defer_time="1h",
                                fate=["d3=unhealthy", "d4=defer"]))
    sim.start().join()
    return sim


def environment(console, tokens, **more):
    return {**os.environ, "OTA_CONSOLE_URL": f"https://127.0.0.1:{console.port}",
            "OTA_TOKEN": tokens("admin", name="browser"), "OTA_PRODUCT": "thermo",
            "OTA_NODE_MODULES": str(MODULES), "OTA_WEB": str(web_words()), **more}


def drive(script, console, tokens, **more):
    done = subprocess.run(["node", HERE / "browser" / script], text=True, capture_output=True,
                          timeout=280 * places.PATIENCE,
                          env=environment(console, tokens, **more))
    print(done.stdout)
    assert done.returncode == 0 and done.stdout.endswith("ok\n"), done.stdout + done.stderr
    return done.stdout


def web_words():
    """The pages' own table of words; node reads a module by the nearest package.json."""
    return places.TREE / "manager" / "console" / "web"


@pytest.mark.parametrize("language", ["en", "it"])
def test_a_managers_day(language, console, tokens, fleet, trust, directory):
    need_browser()
    image = Image("thermo", VERSION, filler(1200000, 9), 262144)
    (directory / "image.bin").write_bytes(image.bytes)
    trust.firmware_key.save(directory / "firmware.pem")
    trust.release_key.save(directory / "release.pem")
    out = drive("work.mjs", console, tokens, OTA_LANGUAGE=language, OTA_VERSION=VERSION,
                OTA_IMAGE=str(directory / "image.bin"), OTA_FAILING="d3", OTA_NEW_DEVICE="d21",
                OTA_FIRMWARE_KEY=str(directory / "firmware.pem"),
                OTA_RELEASE_KEY=str(directory / "release.pem"))
    assert out.count(f"{language}: ") == 13


class Told:
    """A page that is told what to expect, a step at a time."""

    def __init__(self, script, env):
        self.process = subprocess.Popen(["node", HERE / "browser" / script], text=True, env=env,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self.expect("ready")

    def expect(self, line):
        got = self.process.stdout.readline()
        assert got == line + "\n", got + self.process.stdout.read()

    def step(self, *words):
        line = "\t".join(words)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        self.expect(line)

    def end(self):
        self.process.stdin.close()
        self.expect("ok")
        assert self.process.wait(30) == 0

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def test_the_page_says_what_is_away_and_comes_back_by_itself(console, tokens, broker, api, trust,
                                                             devices, closing, pki):
    need_browser()
    from harness.device import Device
    from test_rest import add_firmware
    device = devices(1)[0]
    text, _ = add_firmware(api, trust, "1.0.0", 21)
    api.good("POST", "/v1/products/thermo/releases", {"release": trust.release("thermo", 1, text)},
             query={"override": "true"})
    device.wait_offer()
    markup = "<img src=x onerror=alert(1)>"
    device.report(1, "failed", error={"name": "install_failed", "number": 24, "message": markup,
                                      "detail": 0, "state": "installing",
                                      "log": "<script>alert(2)</script>"})
    page = closing.keep(Told("resilience.mjs", environment(console, tokens)))
    page.step("hostile", "d1", markup)
    console.kill()
    page.step("lost")
    console.start()
    page.step("live")
    device.close()
    broker.kill()
    page.step("away")
    broker.start()
    page.step("live")
    console.kill()
    broker.kill()
    page.step("lost")
    broker.start()
    stranger = closing.keep(Device(broker, "stranger"))
    stranger.join()
    console.start()
    page.step("live")
    page.step("quarantined", "1")
    page.end()


def test_long_lists_stay_quick(console, tokens, alice, product):
    """OTA_SCALE_DEVICES says how long."""
    need_browser()
    count = int(os.environ.get("OTA_SCALE_DEVICES", "3000"))
    for first in range(0, count, 1000):
        alice.ask("device.import", {"product": product, "devices": [
            f"gw-{number:06d}" for number in range(first, min(first + 1000, count))]}, 60)
    out = drive("scale.mjs", console, tokens)
    print(f"{count} devices: {out.splitlines()[0]}")
