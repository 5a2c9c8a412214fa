"""A broker with the configuration that doc/mosquitto.conf recommends, line by line: only its names
of files, its port, and where it logs are this machine's."""
import os
import pwd

from . import places
from .broker import Broker

REFERENCE = places.TREE / "doc" / "mosquitto.conf"


def reference_lines():
    """(key, value) of each line that is not a comment."""
    return [tuple(line.split(" ", 1)) for line in REFERENCE.read_text().splitlines()
            if line and not line.startswith("#")]


class ReferenceBroker(Broker):
    def configuration(self):
        stem = self.certificate
        ours = {"log_dest": "stderr", "persistence_location": f"{self.persistence}/",
                "listener": f"{self.port} 127.0.0.1", "cafile": self.pki.ca,
                "certfile": f"{stem}.crt", "keyfile": f"{stem}.key", "crlfile": self.pki.crl}
        options = {key: value for key, value in reference_lines()
                   if key.startswith("plugin_opt_")}
        options |= {f"plugin_opt_{key}": value for key, value in self.plugin_options().items()}
        lines = [f"user {pwd.getpwuid(os.getuid()).pw_name}",
                 f"allow_anonymous {str(not self.plugin).lower()}", *self.lines]
        if self.plugin:
            lines += [f"plugin {self.plugin}", *(" ".join(map(str, one)) for one in options.items())]
        lines += [f"{key} {ours.get(key, value)}" for key, value in reference_lines()
                  if not key.startswith("plugin")]
        lines.append("log_type information")  # its last word, which wait() listens for
        return "\n".join(lines) + "\n"
