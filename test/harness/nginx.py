"""nginx with one worker, over mutual TLS, by ranges: as a peer that serves one file, and as the
source of the plugin's blobs."""
import os
import pwd
import subprocess

from .places import Port
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
