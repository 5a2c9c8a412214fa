"""Debian's U-Boot for QEMU's ARM machine runs our sample script, with an environment in flash.

That U-Boot keeps one copy of the environment, and QEMU's flash refuses the second half of its
saveenv; what is wanted is in the first half. So the real script shows what U-Boot counts and that
an uncounted try is not made, and the script with `true` for `saveenv` what it starts. The two copies
are libubootenv's, and tested with it (unit.bootstate_uboot)."""
import os
import re
import struct
import subprocess
import zlib

from . import places

PROGRAM = "/usr/bin/qemu-system-aarch64"
FIRMWARE = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"
MKIMAGE = "/usr/bin/mkimage"
ENVIRONMENT_SIZE, FLASH_SIZE, SCRIPT_AT = 0x40000, 64 << 20, 0x48000000
BOOT = f"source {SCRIPT_AT:#x}; echo UBOOT starts ${{slot}}; reset"


def is_there():
    return all(os.path.exists(path) for path in (PROGRAM, FIRMWARE, MKIMAGE))


class UBoot:
    def __init__(self, directory, store="saveenv"):
        self.flash, self.script = directory / "flash.img", directory / "boot.scr"
        text = (places.TREE / "doc/boot/uboot.cmd").read_text()
        assert "saveenv" in text
        (directory / "boot.cmd").write_text(text.replace("saveenv", store))
        subprocess.run([MKIMAGE, "-A", "arm64", "-T", "script", "-n", "ota", "-d",
                        directory / "boot.cmd", self.script], check=True, capture_output=True)
        self.flash.write_bytes(b"")
        os.truncate(self.flash, FLASH_SIZE)
        self.put({})

    def put(self, variables):
        """Writes the environment as U-Boot would: a CRC-32, then NUL-terminated texts."""
        variables = {"bootdelay": "0", "bootcmd": BOOT, **variables}
        data = b"".join(f"{key}={value}\0".encode() for key, value in variables.items())
        data = data.ljust(ENVIRONMENT_SIZE - 4, b"\0")
        with open(self.flash, "r+b") as flash:
            flash.write(struct.pack("<I", zlib.crc32(data)) + data)

    def variables(self):
        """Those of ours that are in the environment."""
        with open(self.flash, "rb") as flash:
            whole = flash.read(ENVIRONMENT_SIZE)
        pairs = (text.partition(b"=") for text in whole[4:].split(b"\0\0")[0].split(b"\0"))
        return {key.decode(): value.decode() for key, _, value in pairs
                if key.startswith(b"ota_")}

    def boot(self):
        """Power on, up to the slot that it starts."""
        done = subprocess.run(
            [PROGRAM, "-M", "virt", "-cpu", "cortex-a57", "-m", "192", "-nographic", "-nodefaults",
             "-serial", "stdio", "-no-reboot", "-bios", FIRMWARE, "-drive",
             f"if=pflash,unit=1,format=raw,file={self.flash}",
             "-device", f"loader,file={self.script},addr={SCRIPT_AT:#x},force-raw=on"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=60 * places.PATIENCE)
        started = re.search(r"UBOOT starts ([ab])", done.stdout)
        assert started, done.stdout + done.stderr
        return started.group(1)
