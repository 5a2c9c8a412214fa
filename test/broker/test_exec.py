"""Sub-devices behind a gateway: a firmware of two components and our sample of a slot program. All of
them run the new version, or all the old one."""
import shutil

import pytest
from harness import places
from harness.firmware import Image, filler
from harness.stock import agents, plugin, stock  # noqa: F401

DEVICES = ("sensor", "radio")
# Writes a sub-device; one that is `broken` takes half of what comes from the slot that it names.
FLASH = """#!/bin/sh
[ "$(cat "$GATEWAY_DIR/broken-$1" 2>/dev/null)" != "$(basename "$(dirname "$2")")" ] || {
	head -c 1000 "$2" >"$GATEWAY_DIR/runs-$1"; exit 1; }
cp "$2" "$GATEWAY_DIR/runs-$1"
"""


class Gateway:
    def __init__(self, directory):
        self.directory = directory
        for slot in "ab":
            (directory / slot).mkdir(parents=True)
        self.program, self.flash = directory / "gateway", directory / "flash"
        shutil.copy(places.TREE / "agent/example/gateway", self.program)
        self.flash.write_text(FLASH)
        self.flash.chmod(0o755)
        for device, content in zip(DEVICES, (filler(50_000, 1), filler(80_000, 2))):
            (directory / "a" / device).write_bytes(content)
            (directory / f"runs-{device}").write_bytes(content)
        self.old = self.running()

    def running(self):
        return [(self.directory / f"runs-{device}").read_bytes() for device in DEVICES]

    def breaks(self, device, slot):
        (self.directory / f"broken-{device}").write_text(f"{slot}\n")


@pytest.fixture
def gateway(directory):
    return Gateway(directory / "gateway")


@pytest.fixture
def agent(agents, gateway):
    made = agents(settings={
        "slot": "exec", "slot_class": "sensor radio", "slot_program": gateway.program,
        "slot_a": None, "slot_b": None, "current_link": None, "command": None,
        "restart_command": None})
    made.environment = {"GATEWAY_DIR": str(gateway.directory), "GATEWAY_FLASH": str(gateway.flash)}
    return made


def offer(plugin, trust, version, number, attempt=1):
    """Both components of a version, and their bytes."""
    images = [Image("thermo", version, filler(size, int(version[0]) * 10 + size))
              for size in (120_000, 200_000)]
    components = [{"name": name, "slot_class": name, "size": len(image.bytes),
                   "sha256": image.digest, "segment_size": image.segment_size,
                   "index": {"sha256": image.index_digest, "size": len(image.index)}}
                  for name, image in zip(DEVICES, images)]
    for image in images:
        plugin.put(image)
    plugin.offer("d1", images[0], number, attempt,
                 firmware=trust.firmware(images[0], components=components),
                 packs=[{"sha256": image.pack_digest, "size": len(image.pack)}
                        for image in images])
    return [image.bytes for image in images]


def test_all_components_of_a_firmware_are_installed(agent, gateway, plugin, trust):
    agent.start()
    plugin.wait_hello("d1")
    new = offer(plugin, trust, "2.0", 1)
    plugin.wait_report("d1", "succeeded", 1)
    assert gateway.running() == new
    newer = offer(plugin, trust, "3.0", 2)
    plugin.wait_report("d1", "succeeded", 2)
    assert gateway.running() == newer


def test_when_the_second_does_not_take_its_image_the_first_gets_its_old_one_back(agent, gateway,
                                                                                plugin, trust):
    gateway.breaks("radio", "b")
    agent.start()
    plugin.wait_hello("d1")
    offer(plugin, trust, "2.0", 1)
    report = plugin.wait_report("d1", "rolled_back", 1)
    assert report["error"]["name"] == "slot_error", report
    assert "the radio does not take its image; all have their old ones again" in \
        report["error"]["message"]
    assert gateway.running() == gateway.old
    assert report["version"] == "1.0"


def test_a_firmware_that_is_not_healthy_is_taken_back_from_all(agent, gateway, plugin, trust):
    agent.configure(health_command="/bin/false", health_timeout=places.patient(0.5))
    agent.start()
    plugin.wait_hello("d1")
    new = offer(plugin, trust, "2.0", 1)
    plugin.wait(lambda: gateway.running() == new, 30, "all run the new version")
    report = plugin.wait_report("d1", "rolled_back", 1)
    assert report["error"]["name"] == "health_check_failed"
    assert gateway.running() == gateway.old


def test_a_power_cut_in_the_midst_of_the_switch_leaves_no_mixture(agent, gateway, plugin, trust):
    """The first has its new image, the second has not, and the machine starts again."""
    cut = gateway.directory / "flash-that-loses-power"
    cut.write_text("#!/bin/sh\n[ $1 = sensor ] || { sleep 30; exit 1; }\n"
                   f"exec {gateway.flash} \"$@\"\n")
    cut.chmod(0o755)
    agent.environment["GATEWAY_FLASH"] = str(cut)
    agent.start()
    plugin.wait_hello("d1")
    offer(plugin, trust, "2.0", 1)
    plugin.wait(lambda: gateway.running()[0] != gateway.old[0], 30, "the first is written")
    agent.kill()
    agent.environment["GATEWAY_FLASH"] = str(gateway.flash)
    agent.start()
    plugin.wait_report("d1", "rolled_back", 1)
    assert gateway.running() == gateway.old
