"""Hundreds of simulated devices (fleetsim) on a real broker."""
from harness.firmware import Image, filler
from harness.fleetsim import Fleetsim
from harness.manager import Manager
from harness.nginx import Nginx

# One wave, no rest: what these tests look at is not the waves.
AT_ONCE = {"thresholds": {"success": 0, "errors": 10000, "error_count": 1000000, "sample": 1,
                          "bake_s": 0, "silence_s": 3600}}


def push(alice, trust, product, version="2.0", size=300_000):
    return alice.push(trust, Image(product, version, filler(size, 7)))


def counts(alice, product, number=1):
    return alice.ask("release.show", {"product": product, "number": number})["counts"]


def test_three_hundred_devices_take_a_fast_release(alice, fleets, trust, product):
    fleet = fleets(300, install_time="50ms", restart_time="200ms")
    fleet.join()
    alice.release(trust, push(alice, trust, product), product, mode="fast", **AT_ONCE)
    figures = fleet.finish()
    assert figures["ended"] == {"succeeded": 300}
    assert figures["grants"] == 300
    assert figures["offered_devices"] == 300
    fleet.wait(lambda _: counts(alice, product) == {"succeeded": 300}, 20,
               "the plugin knows of all")


def test_each_fate_ends_as_the_plugin_says_it_did(alice, fleets, trust, product):
    fleet = fleets(60, seed=3, install_time="50ms", restart_time="200ms", defer_time="500ms",
                   backoff="100ms",
                   fate=["d1=fail", "d2=roll-back", "d3=unhealthy", "d4=crash", "d5=reconnect",
                         "d6=reject", "d7=defer"])
    fleet.join()
    alice.release(trust, push(alice, trust, product), product, mode="fast", **AT_ONCE)
    fleet.finish()
    expected = {"succeeded": 55, "failed": 1, "rolled_back": 3, "rejected": 1}
    fleet.wait(lambda _: counts(alice, product) == expected, 20,
               lambda: str(counts(alice, product)))
    named = {"d1": "install_failed", "d2": "no_connectivity_after_update",
             "d3": "health_check_failed", "d4": "crash_loop", "d6": "incompatible_hardware"}
    for device, error in named.items():
        shown = alice.ask("device.show", {"device": device})
        assert shown["update"]["error"]["name"] == error, device
        assert shown["version"] == "1.0", device


def test_a_fleet_finishes_although_the_broker_is_killed_in_the_middle(alice, fleets, trust,
                                                                      product, broker):
    fleet = fleets(100, install_time="300ms", restart_time="500ms", backoff="200ms",
                   backoff_max="2s", timeout="3s")
    fleet.join()
    alice.release(trust, push(alice, trust, product, size=2_000_000), product, mode="fast",
                  **AT_ONCE)
    fleet.wait(lambda now: now["chunks"] > 300, 60, "the downloads are under way", 0.02)
    alice.close()
    broker.restart(kill=True)
    alice.connect()
    fleet.finish()
    fleet.wait(lambda _: counts(alice, product) == {"succeeded": 100}, 30,
               lambda: str(counts(alice, product)))


def test_a_fleet_fetches_from_the_https_source_that_the_offer_names(brokers, directory, pki, trust,
                                                                   closing):
    server = closing.keep(Nginx(pki, directory / "nginx"))
    broker = brokers(options={"source": f"https://localhost:{server.port}"}).start()
    server.serve(broker.store / "blobs")
    alice = closing.keep(Manager(broker, "alice")).connect()
    alice.ask("product.create", {"name": "thermo", "default_hardware": "board-1"})
    names = [f"d{number}" for number in range(1, 31)]
    alice.ask("device.import", {"product": "thermo", "devices": names})
    fleet = closing.keep(Fleetsim(broker, directory / "fleet.log", 30, install_time="50ms",
                                  restart_time="200ms", https="true", https_least=100_000)).start()
    fleet.join()
    size = 2_000_000
    envelope = push(alice, trust, "thermo", size=size)
    alice.release(trust, envelope, "thermo", mode="fast", **AT_ONCE)
    figures = fleet.finish()
    assert figures["ended"] == {"succeeded": 30}
    assert figures["https_bytes"] >= 30 * size
    assert figures["chunk_bytes"] < 30 * 65536
    assert figures["https_failures"] == 0
    server.stop()
    envelope = push(alice, trust, "thermo", "3.0", size + 65536)
    alice.release(trust, envelope, "thermo", mode="fast", **AT_ONCE)
    figures = fleet.wait(lambda now: now["ended"] == {"succeeded": 60}, 120,
                         "without the server all fetch over MQTT")
    assert figures["https_failures"] == 30
    assert figures["chunk_bytes"] >= 30 * size
