"""Updates through the reference nginx (doc/nginx.conf), beside a broker with the plugin."""
import os
import subprocess
import time
from pathlib import Path

import pytest
from harness.firmware import Image, filler, sha256
from harness.manager import update_of, wait_state
from harness.nginx import Reference
from harness.process import eventually
from harness.relay import Relay

MIB = 1 << 20
SIZE = int(os.environ.get("OTA_IMAGE_MIB", "16")) * MIB  # of the first one


@pytest.fixture
def nginx(directory, pki, closing):
    """Runs before the broker: its port stands in the plugin's configuration."""
    blobs = directory / "broker" / "store" / "blobs"
    blobs.mkdir(parents=True)
    return closing.keep(Reference(pki, blobs, directory / "nginx")).start()


@pytest.fixture
def broker(brokers, nginx):
    return brokers(options={"source": nginx.url}).start()


@pytest.fixture
def relay(broker, closing):
    return closing.keep(Relay(broker.port))


@pytest.fixture
def bulk_agent(agents, relay):
    """An agent that takes HTTPS, behind a relay that counts what MQTT carries."""
    def make(**settings):
        agent = agents("d1", settings={"https": "true", **settings})
        agent.configure(broker=f"localhost:{relay.port}")
        return agent.start()
    return make


def threads(agent):
    return len(list(Path(f"/proc/{agent.pid}/task").iterdir()))


def libraries(agent):
    return "libcurl" in Path(f"/proc/{agent.pid}/maps").read_text()


def test_a_large_update_comes_over_https_and_mqtt_carries_next_to_nothing(
        bulk_agent, alice, trust, product, relay, nginx):
    agent = bulk_agent()
    new = Image(product, "2.0", filler(SIZE, 2), segment_size=262144)
    envelope = alice.push(trust, new)
    before, count = relay.bytes, threads(agent)
    eventually(lambda: agent.status()["version"] == "1.0", 20, agent.tail)
    resident = agent.resident_bytes()
    assert not libraries(agent), "libcurl is loaded before anybody wants it"
    cpu = agent.cpu_seconds()
    alice.release(trust, envelope, product, mode="fast")
    wait_state(alice, agent, "succeeded", 60 + SIZE // MIB)
    assert agent.running_bytes() == new.bytes
    assert len(new.pack) <= nginx.body_bytes() <= len(new.pack) * 1.01
    assert relay.bytes - before < 100_000, "chunks came over MQTT"
    rows = nginx.requests()
    assert {row[3] for row in rows} == {206}
    assert {row[2] for row in rows} == {"HTTP/2.0"}
    assert len({row[0] for row in rows}) == 1, "one connection for all"
    assert threads(agent) <= count
    print(f"\nhttps: {SIZE >> 20} MiB in {len(rows)} ranges on one connection, "
          f"{relay.bytes - before} bytes over MQTT; resident {resident / MIB:.1f} MiB before, "
          f"peak {agent.resident_bytes('VmHWM') / MIB:.1f} MiB (its own "
          f"{agent.resident_bytes('RssAnon') / MIB:.1f} MiB, the rest are libraries' pages); "
          f"{(agent.cpu_seconds() - cpu) / SIZE * 1024 * MIB:.2f} CPU-s/GiB")


def test_a_small_update_stays_on_mqtt_and_loads_nothing(bulk_agent, alice, trust, product, nginx):
    agent = bulk_agent()
    new = Image(product, "2.0", filler(3 * MIB, 2))
    alice.release(trust, alice.push(trust, new), product, mode="fast")
    wait_state(alice, agent, "succeeded")
    assert agent.running_bytes() == new.bytes
    assert not nginx.access.read_text() and not libraries(agent)


def test_without_the_module_the_update_comes_over_mqtt_and_says_so(agents, alice, trust, product,
                                                                   nginx, directory):
    agent = agents("d1", settings={"https": "true"})
    alone = directory / "ota-agent"
    alone.write_bytes(Path(agent.command[0]).read_bytes())
    alone.chmod(0o755)
    agent.command[0] = str(alone)
    agent.environment = {}
    agent.start()
    new = Image(product, "2.0", filler(6 * MIB, 2))
    alice.release(trust, alice.push(trust, new), product, mode="fast")
    wait_state(alice, agent, "succeeded")
    assert "libotaagent-https.so" in agent.log() and not nginx.access.read_text()


def test_a_connection_that_breaks_is_made_again_with_a_short_handshake(bulk_agent, alice, trust,
                                                                       product, nginx, broker,
                                                                       closing):
    tap = closing.keep(Relay(nginx.port))
    broker.options["source"] = f"https://localhost:{tap.port}"
    broker.restart()
    alice.close()
    alice.connect()
    agent = bulk_agent(rate_limit="4M")
    new = Image(product, "2.0", filler(SIZE, 2), segment_size=262144)
    alice.release(trust, alice.push(trust, new), product, mode="fast")
    for _ in range(3):
        seen = tap.bytes
        eventually(lambda: tap.bytes > seen + 2 * MIB, 30, agent.tail)
        tap.cut(reset=True)
    wait_state(alice, agent, "succeeded")
    assert agent.running_bytes() == new.bytes
    rows = nginx.requests()
    resumed = {row[0] for row in rows if row[1]}
    assert len({row[0] for row in rows}) == 4 and len(resumed) == 3
    # What was under way when the connection broke, and no more.
    assert nginx.body_bytes() <= len(new.pack) + 3 * 8 * 65536
    assert "error" not in update_of(alice)


def test_an_nginx_that_goes_away_for_good_costs_the_rest_and_is_reported(bulk_agent, alice, trust,
                                                                         product, nginx, relay):
    agent = bulk_agent(rate_limit="4M")
    new = Image(product, "2.0", filler(SIZE, 2), segment_size=262144)
    alice.release(trust, alice.push(trust, new), product, mode="fast")
    eventually(lambda: nginx.access.read_text().count("\n") > 20, 30, agent.tail)
    nginx.stop()
    eventually(lambda: "error" in update_of(alice), 30, agent.tail)
    error = update_of(alice)["error"]
    assert error["name"] == "connection_lost" and nginx.url in error["message"]
    agent.configure(rate_limit=None)
    agent.kill()
    agent.start()
    wait_state(alice, agent, "succeeded")
    assert agent.running_bytes() == new.bytes
    # From the slot's content on: what came over HTTPS is not fetched again.
    assert relay.bytes < len(new.pack) - nginx.body_bytes() + 2 * MIB


# --- the reference configuration itself ---

@pytest.fixture
def curl(nginx, pki):
    def run(path, certificate, *more):
        command = ["curl", "-sS", "--cacert", pki.ca, "--path-as-is", "-o", "/dev/null", "-w",
                   "%{http_code} %{size_download}", f"{nginx.url}{path}", *more]
        if certificate:
            command += ["--cert", f"{certificate}.crt", "--key", f"{certificate}.key"]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                              timeout=30, env={"PATH": "/usr/bin"})
        status, size = done.stdout.split()
        return int(status), int(size)
    return run


def test_nginx_serves_blobs_to_devices_and_nothing_else_to_nobody_else(nginx, directory, fresh_pki,
                                                                       pki, curl):
    blobs = directory / "broker" / "store" / "blobs"
    content = filler(300_000, 3)
    digest = sha256(content)
    path = f"/{digest[:2]}/{digest}"
    (blobs / digest[:2]).mkdir()
    (blobs / digest[:2] / digest).write_bytes(content)
    (blobs.parent / "ota.db").write_bytes(b"secret")
    link = "ab" * 32
    (blobs / "ab").mkdir()
    (blobs / "ab" / link).symlink_to(blobs.parent / "ota.db")
    device = pki.device("d1")
    assert curl(path, device, "-r", "65536-131071") == (206, 65536)
    assert curl(path, device) == (200, len(content))
    assert curl(path, device, "-r", "0-1,5-9,20-30") == (200, len(content)), "one range at a time"
    for other in ("/", f"/{digest[:2]}/", "/../ota.db", f"/{digest[:2]}/../../ota.db", "/ota.db",
                  f"/{digest[:2]}/{digest}x", f"/{digest[:2]}/{'0' * 64}"):
        assert curl(other, device)[0] in (400, 404), other
    assert curl(f"/ab/{link}", device)[0] == 403, "a link out of the directory"
    assert curl(path, device, "-X", "DELETE")[0] in (403, 405)
    assert curl(path, device, "-T", "/etc/hostname")[0] in (403, 405)
    assert (blobs / digest[:2] / digest).read_bytes() == content
    # Who is no device of this CA gets an answer, but no bytes of a blob.
    assert curl(path, None)[0] == 400
    assert curl(path, pki.manager("alice"))[0] == 403
    assert curl(path, fresh_pki.device("d1"))[0] == 400


def test_as_many_slow_ranges_as_an_agent_asks_for_are_all_answered(nginx, directory, pki):
    content = filler(16 * MIB, 4)
    digest = sha256(content)
    blob = directory / "broker" / "store" / "blobs" / digest[:2] / digest
    blob.parent.mkdir()
    blob.write_bytes(content)
    device = pki.device("d1")
    command = ["curl", "-sS", "--cacert", str(pki.ca), "--cert", f"{device}.crt", "--key",
               f"{device}.key", "--limit-rate", "8M", "-r", "0-", "-o", "/dev/null", "-w",
               "%{http_code} %{size_download}", f"{nginx.url}/{digest[:2]}/{digest}"]
    asking = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    assert [one.communicate()[0] for one in asking] == [f"206 {len(content)}"] * 8


def test_a_revoked_device_gets_nothing_from_nginx(directory, fresh_pki, closing):
    device = fresh_pki.device("gone")
    fresh_pki.revoke("device", "gone")
    nginx = closing.keep(Reference(fresh_pki, directory, directory / "nginx")).start()
    done = subprocess.run(["curl", "-sS", "--cacert", fresh_pki.ca, "--cert", f"{device}.crt",
                           "--key", f"{device}.key", "-o", "/dev/null", "-w", "%{http_code}",
                           f"{nginx.url}/ab/{'ab' * 32}"], capture_output=True, text=True)
    assert done.stdout == "400"
    time.sleep(0.1)
