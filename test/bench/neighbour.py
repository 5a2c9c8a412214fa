#!/usr/bin/python3
"""An unrelated client sends to itself through the broker while a thousand devices fetch a release,
over MQTT and over HTTPS: p99 of its round trips, against those of the idle broker."""
import time

from stage import Stage, neighbour, unwaved

from harness.firmware import Image, filler

COUNT = 1000
SIZE = 4 << 20


def measure(stage, https):
    """(figures of the idle broker, figures during the release)"""
    server = stage.nginx()
    broker = stage.broker(other_topics="allow", source=f"https://localhost:{server.port}")
    server.serve(broker.store / "blobs")
    alice = stage.alice(broker)
    product = stage.product(alice, COUNT)
    envelope = alice.push(stage.trust, Image(product, "2.0", filler(SIZE)))
    fleet = stage.fleet(broker, COUNT, connect_rate=2000, fail=10000, install_time="0ms",
                        timeout="60s", https=str(https).lower(), https_least=0)
    fleet.join(300)
    time.sleep(2)
    pinger = neighbour(stage, broker)
    time.sleep(10)
    idle = pinger.status()
    pinger.tell("mark")
    alice.release(stage.trust, envelope, product, mode="fast", **unwaved())
    fleet.wait(lambda now: now["ended"].get("failed") == COUNT, 600, "all have ended", 0.5)
    busy = pinger.status()
    assert fleet.status()["https_failures"] == 0, fleet.status()
    stage.end(pinger, fleet, alice, broker, server)
    return idle, busy


def main():
    with Stage("neighbour") as stage:
        for https in (False, True):
            way = "HTTPS" if https else "MQTT"
            idle, busy = measure(stage, https)
            stage.note(f"{way}: idle {idle['echoes']} round trips, p50 {idle['echo_p50_us']} µs; "
                       f"during the release {busy['echoes']}, p50 {busy['echo_p50_us']} µs, "
                       f"max {busy['echo_max_us'] / 1e3:.1f} ms")
            what = f"p99 of a round trip while {COUNT} devices fetch {SIZE >> 20} MiB over {way}"
            if not https:
                stage.bound(what, busy["echo_p99_us"] / 1e3, "ms", 20)
            stage.row(what, busy["echo_p99_us"] / 1e3, idle["echo_p99_us"] / 1e3, "ms",
                      3 if https else None, "idle")


if __name__ == "__main__":
    main()
