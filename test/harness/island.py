"""A network namespace: a machine of its own as far as its network goes, with one cable to this
one. Takes root."""
import os
import subprocess


class Island:
    """`address` is this machine's end of the cable; on the island it is cable0, which no
    machine has: what is meant for the island can do nothing outside of it."""

    def __init__(self, number):
        self.name = f"ota{os.getpid()}-{number}"
        outer = f"ota{os.getpid() % 100000}{number}"
        net = f"10.{200 + number}.{os.getpid() % 250 + 1}"
        self.address, self.inside = f"{net}.1", ["/usr/sbin/ip", "netns", "exec", self.name]
        self._ip("netns", "add", self.name)
        try:
            self._ip("link", "add", outer, "type", "veth", "peer", "name", "cable0",
                     "netns", self.name)
            self._ip("address", "add", f"{net}.1/24", "dev", outer)
            self._ip("link", "set", outer, "up")
            for words in (["address", "add", f"{net}.2/24", "dev", "cable0"],
                          ["link", "set", "cable0", "up"], ["link", "set", "lo", "up"]):
                self._ip("-n", self.name, *words)
        except Exception:
            self.close()
            raise

    def adopt(self, agent):
        """From its next start on the agent runs here, and `localhost`, which the broker's
        certificate names, is this machine."""
        hosts = agent.directory / "hosts"
        hosts.write_text(f"{self.address} localhost\n")
        agent.command = [*self.inside, "unshare", "--mount", "sh", "-c",
                         'mount --bind "$0" /etc/hosts && exec "$@"', str(hosts), *agent.command]

    @classmethod
    def is_possible(cls):
        """Root alone is not enough: in a chroot, say, `ip -n` cannot make its mounts its own."""
        if os.geteuid() != 0 or not os.path.exists("/usr/sbin/ip"):
            return False
        try:
            cls(0).close()
        except subprocess.CalledProcessError:
            return False
        return True

    @staticmethod
    def _ip(*words):
        subprocess.run(["/usr/sbin/ip", *words], check=True, capture_output=True)

    def close(self):
        self._ip("netns", "delete", self.name)
