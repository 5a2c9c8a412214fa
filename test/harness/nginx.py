"""nginx with one worker, over mutual TLS, by ranges: as a peer that serves one file, and as the
source of the plugin's blobs; and with the reference configuration, doc/nginx.conf."""
import os
import pwd
import re
import subprocess

from .places import TREE, Port
from .process import Process, cpu_seconds, eventually


def _configuration(pki, directory, root, port):
    return f"""
worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log;
user {pwd.getpwuid(os.getuid()).pw_name};
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2;
  fastcgi_temp_path {directory}/t3; uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5;
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096; root {root};
    ssl_certificate {pki.broker}.crt; ssl_certificate_key {pki.broker}.key;
    ssl_client_certificate {pki.ca}; ssl_verify_client on; ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    keepalive_requests 100000;
  }}
}}
"""


class Nginx(Process):
    """Only the worker's CPU is counted; the master does nothing."""

    def __init__(self, pki, directory):
        directory.mkdir()
        self.pki, self.directory = pki, directory
        self._port = Port()
        self.port = self._port.number
        self.conf = self.directory / "nginx.conf"
        super().__init__("nginx", ["/usr/sbin/nginx", "-c", self.conf], self.directory / "log")

    def serve(self, root):
        self.conf.write_text(_configuration(self.pki, self.directory, root, self.port))
        return self.start()

    def start(self):
        super().start()
        eventually((self.directory / "nginx.pid").exists, 10, self.tail)
        return self

    def serve_file(self, content):
        """As /blob."""
        (self.directory / "blob").write_bytes(content)
        return self.serve(self.directory)

    def worker_cpu(self):
        out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.pid)], check=True,
                             capture_output=True, text=True).stdout.split()
        return cpu_seconds(int(out[0]))

    def close(self):
        super().close()
        self._port.release()


def _reference(pki, directory, blobs, port):
    """doc/nginx.conf with this machine's paths and port, and every request logged."""
    site = (TREE / "doc" / "nginx.conf").read_text()
    for pattern, to in (
            (r"listen 8443 ssl http2;", f"listen 127.0.0.1:{port} ssl http2;"),
            (r"listen \[::\]:8443 ssl http2;", ""),
            (r"/etc/mosquitto/pki/updates\.crt", f"{pki.broker}.crt"),
            (r"/etc/mosquitto/pki/updates\.key", f"{pki.broker}.key"),
            (r"/etc/mosquitto/pki/ca\.crt", str(pki.ca)),
            (r"/etc/mosquitto/pki/crl\.pem", str(pki.crl)),
            (r"root /var/lib/mosquitto-ota/blobs;", f"root {blobs};"),
            (r"access_log off;", f"access_log {directory}/access.log ota;")):
        site, count = re.subn(pattern, to, site)
        assert count == 1, f"doc/nginx.conf: '{pattern}' {count} times"
    return site


def _machine(directory):
    """What stands around it in Debian's /etc/nginx/nginx.conf."""
    return f"""
user {pwd.getpwuid(os.getuid()).pw_name};
worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 1024; }}
http {{
  log_format ota '$connection $connection_requests $ssl_session_reused $server_protocol '
    '$status $body_bytes_sent $http_range';
  access_log off; sendfile on; client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2;
  fastcgi_temp_path {directory}/t3; uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5;
  include {directory}/site.conf;
}}
"""


class Reference(Nginx):
    """Serves `blobs`, the plugin's, to the devices of `pki`, as doc/nginx.conf has it."""

    def __init__(self, pki, blobs, directory):
        super().__init__(pki, directory)
        self.access = directory / "access.log"
        self.url = f"https://localhost:{self.port}"
        (directory / "site.conf").write_text(_reference(pki, directory, blobs, self.port))
        self.conf.write_text(_machine(directory))

    def requests(self):
        """[(connection, resumed, protocol, status, bytes of body)]"""
        rows = [line.split() for line in self.access.read_text().splitlines()]
        return [(row[0], row[2] == "r", row[3], int(row[4]), int(row[5])) for row in rows]

    def body_bytes(self):
        return sum(row[4] for row in self.requests())
