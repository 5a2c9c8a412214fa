"""One real update, end to end: manager, plugin in a real Mosquitto, real agent."""
from harness import places
from harness.firmware import Image, filler
from harness.process import eventually


def image_of(product, version, size=700_000):
    return Image(product, version, filler(size, int(version[0])))


def state_of(alice, device):
    return alice.ask("device.show", {"device": device}).get("update", {}).get("state")


def wait_state(alice, agent, state, seconds=60):
    eventually(lambda: state_of(alice, agent.device) == state, seconds,
               lambda: f"{state}, but {state_of(alice, agent.device)}\n{agent.tail(60)}")


def test_an_agent_fetches_installs_proves_and_is_granted_a_version(alice, agents, trust,
                                                                   product):
    agent = agents("d1").start()
    new = image_of(product, "2.0")
    envelope = alice.push(trust, new)
    alice.release(trust, envelope, product, mode="fast")
    wait_state(alice, agent, "succeeded")
    assert agent.running_bytes() == new.bytes
    shown = alice.ask("device.show", {"device": "d1"})
    assert (shown["version"], shown["digest"]) == ("2.0", new.digest)
    assert shown["previous"] == agent.image.digest


def test_a_version_that_fails_its_health_check_is_rolled_back_with_its_evidence(
        alice, agents, trust, product):
    agent = agents("d1", settings={"health_command": "/bin/sh -c 'exit 3'",
                                   "health_timeout": places.patient(0.5)}).start()
    envelope = alice.push(trust, image_of(product, "2.0"))
    alice.release(trust, envelope, product, mode="fast")
    wait_state(alice, agent, "rolled_back")
    shown = alice.ask("device.show", {"device": "d1"})
    assert shown["version"] == "1.0"
    assert shown["update"]["error"]["name"] == "health_check_failed"
    assert agent.running_bytes() == agent.image.bytes


def test_an_agent_that_was_killed_while_fetching_goes_on(alice, agents, trust, product):
    agent = agents("d1", settings={"rate_limit": "1M"}).start()
    new = image_of(product, "2.0", 3_000_000)
    alice.release(trust, alice.push(trust, new), product, mode="fast")
    wait_state(alice, agent, "downloading")
    agent.wait_log("(?i)download", 20)
    agent.kill()
    agent.configure(rate_limit=None)
    agent.start()
    wait_state(alice, agent, "succeeded")
    assert agent.running_bytes() == new.bytes


def test_an_update_survives_the_broker_being_killed(alice, agents, trust, product, broker):
    agent = agents("d1", settings={"rate_limit": "1M"}).start()
    new = image_of(product, "2.0", 3_000_000)
    alice.release(trust, alice.push(trust, new), product, mode="fast")
    wait_state(alice, agent, "downloading")
    alice.close()
    broker.restart(kill=True)
    alice.connect()
    wait_state(alice, agent, "succeeded", 90)
    assert agent.running_bytes() == new.bytes
