"""A virtual machine that boots one of two versions: Debian's kernel, an initramfs whose init is the
boot selector, a state disk and two slot disks. `kill()` of the machine is a power cut.

A version is an ext4 image with a file `version`, some filler, and the checksums of both; init
mounts the slot that `ota-agent boot-select` names, read-only, checks it whole, says so on the
console and starts the agent. A version may misbehave: a file `hang` or `crash` in it does that before
its agent starts, `sick` fails the health command."""
import os
import random
import re
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from . import places
from .firmware import Image, filler, sha256
from .process import Process

SLOT_SIZE = 8 << 20
STATE_SIZE = 16 << 20
MODULES = ("virtio", "virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci",
           "virtio_blk", "failover", "net_failover", "virtio_net", "watchdog", "softdog")

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in {modules}; do insmod /modules/$module.ko; done
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
mount -t ext4 /dev/vda /state || echo "GUEST has no state"
{select}
mount -t ext4 -o ro,noload "$device" /version
cd /version
if sha256sum -c -s sums; then echo "GUEST boots $(cat version) from $device"
else echo "GUEST is broken: $device"; fi
if [ -e crash ]; then echo "GUEST crashes"; reboot -f; fi
if [ -e hang ]; then echo "GUEST hangs"; while :; do sleep 1000; done; fi
cd /
ota-agent --config /etc/agent.conf
echo "GUEST lost its agent: $?"
poweroff -f
"""

KERNEL_LINE = "console=ttyS0 quiet panic=-1"
SELECT = """device=$(ota-agent --config /etc/agent.conf boot-select) || {
echo "GUEST cannot select"; device=; }"""
# GRUB has chosen; its environment is written in place, on a file system without a journal.
SELECTED = """mount -t ext2 /dev/vdd1 /boot || echo "GUEST has no boot partition"
device=$(sed -n 's/.*ota\\.slot=\\([^ ]*\\).*/\\1/p' /proc/cmdline)"""

CONFIG = """state_dir = /state/agent
broker = localhost:{port}
ca_file = /etc/ca.crt
cert_file = /etc/device.crt
key_file = /etc/device.key
trust_root = /etc/root.json
product = {product}
hardware = board-1
slot = block
slot_class = main
slot_a = /dev/vdb
slot_b = /dev/vdc
boot_state = {boot_state}
boot_record = {boot_record}
restart_command = /bin/busybox reboot -f
health_command = /bin/busybox test ! -e /version/sick
health_timeout = 5s
watchdog = /dev/watchdog
watchdog_timeout = 15s
factory_version = 1.0
factory_security_version = 1
probation = 200ms
confirm_timeout = 120s
reconnect_min = 100ms
reconnect_max = 2s
https = false
"""


def parts():
    """The kernel, busybox and modules that `./dev guest` fetched, or None."""
    directory = places.STATE / "guest"
    program = "/usr/bin/qemu-system-x86_64"
    return directory if (directory / "vmlinuz").exists() and os.path.exists(program) else None


def run(*command, **more):
    subprocess.run([str(word) for word in command], check=True, capture_output=True, **more)


def version_image(product, version, fault=None):
    """A bootable version: the same bytes for the same version and fault."""
    with tempfile.TemporaryDirectory(prefix="ota-") as scratch:
        root, disk = Path(scratch) / "root", Path(scratch) / "image"
        root.mkdir()
        files = {"version": version.encode() + b"\n",
                 "filler": filler(3 << 20, int(version.split(".")[0]))}
        if fault:
            files[fault] = b"yes\n"
        for name, content in files.items():
            (root / name).write_bytes(content)
        (root / "sums").write_text("".join(f"{sha256(content)}  {name}\n"
                                           for name, content in files.items()))
        run("/sbin/mkfs.ext4", "-q", "-O", "^has_journal", "-E", "root_owner=0:0", "-m", "0", "-d",
            root, disk, "4m")
        return Image(product, version, disk.read_bytes(), segment_size=65536)


class Guest(Process):
    boot_state, boot_record, select = "record", "/state/boot", SELECT

    def __init__(self, broker, name, directory, trust, product):
        self.directory, self.parts = directory, parts()
        directory.mkdir(parents=True)
        self.image = version_image(product, "1.0")
        config = CONFIG.format(port=broker.port, product=product, boot_state=self.boot_state,
                               boot_record=self.boot_record)
        self._initramfs(broker.pki, broker.pki.device(name), trust, config)
        self.disks = [directory / f"{disk}.img" for disk in ("state", "a", "b")]
        for disk, size in zip(self.disks, (STATE_SIZE, SLOT_SIZE, SLOT_SIZE)):
            disk.write_bytes(b"")
            os.truncate(disk, size)
        run("/sbin/mkfs.ext4", "-q", "-m", "0", self.disks[0])
        with open(self.disks[1], "r+b") as slot:
            slot.write(self.image.bytes)
        command = ["/usr/bin/qemu-system-x86_64", "-M", "pc,accel=tcg", "-cpu", "max", "-smp", "1",
                   "-m", "192", "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio",
                   "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="]
        for disk in self.disks:
            command += self._disk(disk)
        super().__init__(f"guest {name}", command + self._boot(), directory / "console.log")

    @staticmethod
    def _disk(path, more=""):
        """The next of /dev/vda, /dev/vdb, …"""
        return ["-drive", f"file={path},if=none,id={path.stem},format=raw,cache=writeback",
                "-device", f"virtio-blk-pci,drive={path.stem}{more}"]

    def _boot(self):
        """What QEMU starts: the kernel itself."""
        return ["-kernel", self.parts / "vmlinuz", "-initrd", self.directory / "initramfs",
                "-append", KERNEL_LINE]

    def _initramfs(self, pki, device, trust, config):
        root = self.directory / "root"
        for folder in "bin boot dev etc modules proc state sys tmp version".split():
            (root / folder).mkdir(parents=True)
        init = INIT.format(modules=" ".join(MODULES), select=self.select)
        files = {"init": init, "etc/agent.conf": config, "etc/root.json": trust.root,
                 "etc/hosts": "10.0.2.2 localhost\n", "etc/nsswitch.conf": "hosts: files\n", "etc/ca.crt": Path(pki.ca).read_text(),
                 "etc/device.crt": Path(f"{device}.crt").read_text(),
                 "etc/device.key": Path(f"{device}.key").read_text()}
        for name, text in files.items():
            (root / name).write_text(text)
        (root / "init").chmod(0o755)
        (root / "etc/device.key").chmod(0o600)
        run("cp", self.parts / "busybox", root / "bin/busybox")
        run("cp", *(self.parts / f"{module}.ko" for module in MODULES), root / "modules")
        run("cp", places.AGENT, root / "bin/ota-agent")
        listed = subprocess.run(["ldd", places.AGENT], check=True, capture_output=True,
                                text=True).stdout
        for library in re.findall(r"(/\S+) \(0x", listed):
            target = root / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            run("cp", "-L", library, target)
        run("sh", "-c", f"find . | {self.parts}/busybox cpio -o -H newc | gzip -1 > ../initramfs",
            cwd=root)

    def boots(self):
        """What init said of every start so far: versions."""
        return re.findall(r"GUEST boots (\S+) from", self.log())

    def complaints(self):
        """What must never be on the console."""
        return re.findall(r"(?:GUEST (?:is|has|cannot|lost).*|.*Kernel panic.*)", self.log(), re.M)

    def keep_running(self):
        """Starts it again after a restart of its own."""
        if not self.is_running():
            self.start()

    def cut(self, after):
        """Lets it work for so many seconds of processor time, restarts of its own included, then cuts
        the power. A machine that has nothing to do is not waited for."""
        until, spent, last = time.monotonic() + 8 * after, 0, 0
        while spent + last < after and time.monotonic() < until:
            if not self.is_running():
                spent, last = spent + last, 0
                self.start()
            self.expected_dead = True
            last = max(last, self._worked())
            time.sleep(0.02)
        self.kill()

    def _worked(self):
        try:
            return self.cpu_seconds()
        except (FileNotFoundError, ProcessLookupError):
            return 0


class GrubGuest(Guest):
    """The same machine with GRUB in front: the BIOS starts it from a fourth disk, and our sample of
    grub.cfg chooses the slot and counts its tries."""
    boot_state, boot_record, select = "grub", "/boot/grub/grubenv", SELECTED

    def _boot(self):
        disk = self.directory / "boot.img"
        core = self.directory / "core.img"
        run("/usr/bin/grub-mkimage", "-O", "i386-pc", "-o", core, "-p", "(hd0,msdos1)/grub",
            *"biosdisk part_msdos ext2 normal configfile linux loadenv regexp test echo serial "
             "terminal".split())
        root = self.directory / "bootroot"
        (root / "grub").mkdir(parents=True)
        run("cp", self.parts / "vmlinuz", self.directory / "initramfs", root)
        run("/usr/bin/grub-editenv", root / "grub/grubenv", "create")
        sample = (places.TREE / "doc/boot/grub.cfg").read_text()
        entries = "".join(
            f"menuentry '{slot}' --id slot-{slot} {{\n"
            f"linux /vmlinuz {KERNEL_LINE} ota.slot={device}\ninitrd /initramfs\n}}\n"
            for slot, device in (("a", "/dev/vdb"), ("b", "/dev/vdc")))
        (root / "grub/grub.cfg").write_text("serial\nterminal_output serial\n" + sample +
                                            'echo "GRUB chooses $slot: $ota_state"\n' + entries)
        self._partition(disk, core, root)
        return self._disk(disk, ",bootindex=0")

    @staticmethod
    def _partition(disk, core, root):
        """GRUB's first sector, its core behind it, and from 1 MiB on one partition."""
        partition = disk.with_suffix(".part")
        run("/sbin/mkfs.ext4", "-q", "-t", "ext2", "-m", "0", "-E", "root_owner=0:0", "-d", root,
            partition, "48m")
        first = bytearray(Path("/usr/lib/grub/i386-pc/boot.img").read_bytes()[:446] + bytes(66))
        sectors = partition.stat().st_size // 512
        far = b"\xfe\xff\xff"
        first[446:462] = struct.pack("<B3sB3sII", 0x80, far, 0x83, far, 2048, sectors)
        first[510:] = b"\x55\xaa"
        with open(disk, "wb") as out:
            out.write(first)
            out.write(core.read_bytes())
            assert out.tell() <= 1 << 20
            out.seek(1 << 20)
            out.write(partition.read_bytes())
        partition.unlink()

    def choices(self):
        """What GRUB said of every start: slot and state."""
        return re.findall(r"GRUB chooses ([ab]): ?(.*?)\s*$", self.log(), re.M)


def moments(count, longest, seed=1):
    """Random times for so many cuts, the same for the same seed."""
    chance = random.Random(seed)
    return [chance.uniform(0.5, longest) for _ in range(count)]
