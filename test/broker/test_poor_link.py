"""Downloads over links that lose, and that end half way: few bytes are paid twice."""
import os

import pytest
from harness.firmware import Image, filler
from harness.manager import update_of, wait_state
from harness.mqtt_tap import MqttTap
from harness.nginx import Reference
from harness.process import eventually

MIB = 1 << 20
SIZE_MIB = int(os.environ.get("OTA_IMAGE_MIB", "4"))  # of the lossy one


@pytest.fixture
def tapped(agents, broker, closing):
    """An agent behind a proxy that loses this share of the chunk frames."""
    def make(loss=0.0, **settings):
        agent = agents("d1", settings=settings)
        tap = closing.keep(MqttTap(broker, "d1", loss))
        agent.configure(broker=f"localhost:{tap.port}")
        return agent.start(), tap
    return make


def test_with_thirty_per_cent_of_the_chunks_lost_the_image_is_the_same_for_half_more_bytes(
        tapped, alice, trust, product):
    agent, tap = tapped(loss=0.3)
    new = Image(product, "2.0", filler(SIZE_MIB * MIB, 2), segment_size=262144)
    alice.release(trust, alice.push(trust, new), product, mode="fast")
    wait_state(alice, agent, "succeeded", 60 + 5 * SIZE_MIB)
    assert agent.running_bytes() == new.bytes
    print(f"\nloss: {tap.lost} of {tap.frames} frames lost; the broker sent {tap.bytes} bytes for "
          f"{len(new.pack)} of pack and {len(new.index)} of index: "
          f"{tap.bytes / len(new.pack):.3f}")
    assert tap.lost >= 0.25 * tap.frames
    assert tap.bytes <= 1.5 * len(new.pack)


def cut_at_sixty_per_cent(agent, new, fetched):
    """Kills the agent and starts it again, without its rate limit."""
    eventually(lambda: fetched() >= 0.6 * len(new.pack), 60, agent.tail)
    agent.kill()
    before = fetched()
    assert before < 0.9 * len(new.pack), "too fast to be cut"
    agent.configure(rate_limit=None)
    agent.start()
    return before


def judge_resumed(agent, new, before, after):
    again = after - len(new.pack) - len(new.index)
    print(f"\nresume: {before} of {len(new.pack)} bytes were fetched when it was killed, "
          f"{after} in all: {again} bytes paid twice")
    assert agent.running_bytes() == new.bytes
    assert again < MIB


def test_a_download_that_was_cut_at_sixty_per_cent_pays_less_than_a_mebibyte_twice(
        tapped, alice, trust, product):
    agent, tap = tapped(rate_limit="4M")
    new = Image(product, "2.0", filler(16 * MIB, 2), segment_size=262144)
    alice.release(trust, alice.push(trust, new), product, mode="fast")
    before = cut_at_sixty_per_cent(agent, new, lambda: tap.bytes)
    wait_state(alice, agent, "succeeded")
    judge_resumed(agent, new, before, tap.bytes)


def test_the_same_over_https(brokers, tapped, managers, trust, directory, pki, closing, product,
                             alice, broker):
    nginx = closing.keep(Reference(pki, broker.store / "blobs", directory / "nginx")).start()
    alice.close()
    broker.options["source"] = nginx.url
    broker.restart()
    alice.connect()
    agent, tap = tapped(rate_limit="4M", https="true")
    new = Image(product, "2.0", filler(16 * MIB, 2), segment_size=262144)
    alice.release(trust, alice.push(trust, new), product, mode="fast")
    before = cut_at_sixty_per_cent(agent, new, nginx.body_bytes)
    wait_state(alice, agent, "succeeded")
    judge_resumed(agent, new, before, nginx.body_bytes() + tap.bytes)
