"""nginx as a peer: one worker that serves one file over mutual TLS, by ranges."""
import os
import pwd
import subprocess

from harness.places import Port
from harness.process import Process, cpu_seconds, eventually


def _configuration(stage, directory, port):
    return f"""
worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log;
user {pwd.getpwuid(os.getuid()).pw_name};
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2;
  fastcgi_temp_path {directory}/t3; uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5;
  server {{
    listen 127.0.0.1:{port} ssl; root {directory};
    ssl_certificate {stage.pki.broker}.crt; ssl_certificate_key {stage.pki.broker}.key;
    ssl_client_certificate {stage.pki.ca}; ssl_verify_client on; ssl_protocols TLSv1.3;
    keepalive_requests 100000;
  }}
}}
"""


class Nginx(Process):
    """Serves `content` as /blob. Only the worker's CPU is counted; the master does nothing."""

    def __init__(self, stage, content):
        stage.count += 1
        self.directory = stage.directory / f"nginx{stage.count}"
        self.directory.mkdir()
        (self.directory / "blob").write_bytes(content)
        self._port = Port()
        self.port = self._port.number
        conf = self.directory / "nginx.conf"
        conf.write_text(_configuration(stage, self.directory, self.port))
        super().__init__("nginx", ["/usr/sbin/nginx", "-c", conf], self.directory / "log")

    def start(self):
        super().start()
        eventually((self.directory / "nginx.pid").exists, 10, self.tail)
        return self

    def worker_cpu(self):
        out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.pid)], check=True,
                             capture_output=True, text=True).stdout.split()
        return cpu_seconds(int(out[0]))

    def close(self):
        super().close()
        self._port.release()
