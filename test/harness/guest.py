"""A virtual machine that boots one of two versions: Debian's kernel, an initramfs whose init is the
boot selector, a state disk and two slot disks. `kill()` of the machine is a power cut.

A version is an ext4 image with a file `version`, some filler, and the checksums of both; init
mounts the slot that `ota-agent boot-select` names, read-only, checks it whole, says so on the
console and starts the agent."""
import os
import random
import re
import subprocess
import tempfile
from pathlib import Path

from . import places
from .firmware import Image, filler, sha256
from .process import Process

SLOT_SIZE = 8 << 20
STATE_SIZE = 16 << 20
MODULES = ("virtio", "virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci",
           "virtio_blk", "failover", "net_failover", "virtio_net")

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
device=$(ota-agent --config /etc/agent.conf boot-select) || {{ echo "GUEST cannot select"; device=; }}
mount -t ext4 -o ro,noload "$device" /version
cd /version
if sha256sum -c -s sums; then echo "GUEST boots $(cat version) from $device"
else echo "GUEST is broken: $device"; fi
cd /
ota-agent --config /etc/agent.conf
echo "GUEST lost its agent: $?"
poweroff -f
"""

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
boot_record = /state/boot
restart_command = /bin/busybox reboot -f
health_command = /bin/busybox test -s /version/version
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


def version_image(product, version):
    """A bootable version: the same bytes for the same version."""
    with tempfile.TemporaryDirectory(prefix="ota-") as scratch:
        root, disk = Path(scratch) / "root", Path(scratch) / "image"
        root.mkdir()
        files = {"version": version.encode() + b"\n", "filler": filler(3 << 20, int(version.split(".")[0]))}
        for name, content in files.items():
            (root / name).write_bytes(content)
        (root / "sums").write_text("".join(f"{sha256(content)}  {name}\n"
                                           for name, content in files.items()))
        run("/sbin/mkfs.ext4", "-q", "-O", "^has_journal", "-E", "root_owner=0:0", "-m", "0", "-d",
            root, disk, "4m")
        return Image(product, version, disk.read_bytes(), segment_size=65536)


class Guest(Process):
    def __init__(self, broker, name, directory, trust, product):
        self.directory, self.parts = directory, parts()
        directory.mkdir(parents=True)
        self.image = version_image(product, "1.0")
        config = CONFIG.format(port=broker.port, product=product)
        self._initramfs(broker.pki, broker.pki.device(name), trust, config)
        self.disks = [directory / f"{disk}.img" for disk in ("state", "a", "b")]
        for disk, size in zip(self.disks, (STATE_SIZE, SLOT_SIZE, SLOT_SIZE)):
            disk.write_bytes(b"")
            os.truncate(disk, size)
        run("/sbin/mkfs.ext4", "-q", "-m", "0", self.disks[0])
        with open(self.disks[1], "r+b") as slot:
            slot.write(self.image.bytes)
        super().__init__(f"guest {name}", self._command(), directory / "console.log")

    def _command(self):
        command = ["/usr/bin/qemu-system-x86_64", "-M", "pc,accel=tcg", "-cpu", "max", "-smp", "1",
                   "-m", "192", "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio",
                   "-kernel", self.parts / "vmlinuz", "-initrd", self.directory / "initramfs",
                   "-append", "console=ttyS0 quiet panic=-1", "-netdev", "user,id=net",
                   "-device", "virtio-net-pci,netdev=net,romfile="]
        for disk in self.disks:
            command += ["-drive", f"file={disk},if=virtio,format=raw,cache=writeback"]
        return command

    def _initramfs(self, pki, device, trust, config):
        root = self.directory / "root"
        for folder in ("bin", "dev", "etc", "modules", "proc", "state", "sys", "tmp", "version"):
            (root / folder).mkdir(parents=True)
        files = {"init": INIT.format(modules=" ".join(MODULES)), "etc/agent.conf": config,
                 "etc/root.json": trust.root, "etc/hosts": "10.0.2.2 localhost\n",
                 "etc/nsswitch.conf": "hosts: files\n", "etc/ca.crt": Path(pki.ca).read_text(),
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
        """Lets it run so many seconds, restarts of its own included, then cuts the power."""
        import time
        until = time.monotonic() + after
        while time.monotonic() < until:
            self.keep_running()
            self.expected_dead = True
            time.sleep(0.05)
        self.kill()


def moments(count, longest, seed=1):
    """Random times for so many cuts, the same for the same seed."""
    chance = random.Random(seed)
    return [chance.uniform(0.5, longest) for _ in range(count)]
