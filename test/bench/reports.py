#!/usr/bin/python3
"""Reports stored durably a second, against messages of the same size that the same broker without
the plugin acknowledges at QoS 1, and against SQLite alone with the same durability."""
import json
import sqlite3
import time

from stage import Stage, rounds

from harness.firmware import Image, filler

DEVICES = 200
EACH = 100
SIZE = 330


def flood(fleet):
    """Messages a second, from the first to the last acknowledgement."""
    fleet.tell("mark")
    start = time.monotonic()
    fleet.tell(f"flood {EACH}")
    figures = fleet.wait(lambda now: now["marked"] >= DEVICES * EACH, 300, "all acknowledged",
                         0.05)
    return DEVICES * EACH / (figures["last_us"] / 1e6 - start)


def ours(stage):
    broker = stage.broker()
    alice = stage.alice(broker)
    product = stage.product(alice, DEVICES)
    envelope = alice.push(stage.trust, Image(product, "2.0", filler(70000)))
    alice.release(stage.trust, envelope, product, mode="fast", waves=[{"share": 10000}])
    fleet = stage.fleet(broker, DEVICES, closed="true", connect_rate=2000)
    fleet.wait(lambda now: now["in_hand"].get("deferred") == DEVICES, 60, "all deferred")
    time.sleep(1)
    taken = rounds(lambda: flood(fleet))
    rows = alice.ask("status")["stored"]["reports"]
    assert rows >= DEVICES * EACH, f"{rows} reports are stored"
    stage.end(fleet, alice, broker)
    return taken


def raw(stage):
    broker = stage.broker(plugin=False)
    fleet = stage.fleet(broker, DEVICES, raw="bench", flood_size=SIZE, connect_rate=2000)
    fleet.join(60)
    taken = rounds(lambda: flood(fleet))
    stage.end(fleet, broker)
    return taken


def sqlite_alone(stage):
    """Rows like a report's, a thousand a transaction, WAL and synchronous=FULL."""
    row = json.dumps({"v": 1, "state": "downloading", "version": "1.0", "digest": "1" * 64})

    def measure():
        stage.count += 1
        base = sqlite3.connect(stage.directory / f"alone{stage.count}.db", isolation_level=None)
        base.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                           "CREATE TABLE report (seq INTEGER PRIMARY KEY, device TEXT, number INT,"
                           " body TEXT, UNIQUE (device, number));")
        start = time.monotonic()
        for first in range(0, DEVICES * EACH, 1000):
            base.execute("BEGIN")
            base.executemany("INSERT INTO report (device, number, body) VALUES (?, ?, ?)",
                             [(f"d{n % DEVICES}", n, row) for n in range(first, first + 1000)])
            base.execute("COMMIT")
        rate = DEVICES * EACH / (time.monotonic() - start)
        base.close()
        return rate
    return rounds(measure)


def main():
    with Stage("reports") as stage:
        stored = ours(stage)
        acknowledged = raw(stage)
        alone = sqlite_alone(stage)
        slower = min(acknowledged, alone)
        stage.note(f"raw QoS 1 {acknowledged:.0f}/s, SQLite alone {alone:.0f}/s")
        stage.row(f"{DEVICES} devices, reports stored and acknowledged", stored, slower, "1/s",
                  peer_name="the slower of raw QoS 1 and SQLite alone", least=0.8)


if __name__ == "__main__":
    main()
