#!/usr/bin/python3
"""Reports stored durably a second, against messages of the same size that the same broker without
the plugin acknowledges at QoS 1, and against SQLite alone with the same durability."""
import json
import sqlite3
import time

from stage import Stage, rounds

from harness.firmware import Image, filler

DEVICES = 1000
EACH = 50
SIZE = 330


def flood(fleet, broker):
    """(messages a second to the last acknowledgement, broker CPU in µs of each)"""
    fleet.tell("mark")
    cpu, start = broker.cpu_seconds(), time.monotonic()
    fleet.tell(f"flood {EACH}")
    figures = fleet.wait(lambda now: now["marked"] >= DEVICES * EACH, 300, "all acknowledged",
                         0.05)
    spent = broker.cpu_seconds() - cpu
    return (DEVICES * EACH / (figures["last_us"] / 1e6 - start),
            spent / (DEVICES * EACH) * 1e6)


def ours(stage):
    broker = stage.broker()
    alice = stage.alice(broker)
    product = stage.product(alice, DEVICES)
    envelope = alice.push(stage.trust, Image(product, "2.0", filler(70000)))
    alice.release(stage.trust, envelope, product, mode="fast", waves=[{"share": 10000}])
    fleet = stage.fleet(broker, DEVICES, closed="true", connect_rate=2000)
    fleet.wait(lambda now: now["in_hand"].get("deferred") == DEVICES, 60, "all deferred")
    time.sleep(1)
    taken = rounds(lambda: flood(fleet, broker))
    rows = alice.ask("status")["stored"]["reports"]
    assert rows >= DEVICES * EACH, f"{rows} reports are stored"
    stage.end(fleet, alice, broker)
    return taken


def raw(stage):
    broker = stage.broker(plugin=False)
    fleet = stage.fleet(broker, DEVICES, raw="bench", flood_size=SIZE, connect_rate=2000)
    fleet.join(60)
    taken = rounds(lambda: flood(fleet, broker))
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
        cpu, start = time.process_time(), time.monotonic()
        for first in range(0, DEVICES * EACH, 1000):
            base.execute("BEGIN")
            base.executemany("INSERT INTO report (device, number, body) VALUES (?, ?, ?)",
                             [(f"d{n % DEVICES}", n, row) for n in range(first, first + 1000)])
            base.execute("COMMIT")
        rate = DEVICES * EACH / (time.monotonic() - start)
        spent = time.process_time() - cpu
        base.close()
        return rate, spent / (DEVICES * EACH) * 1e6
    return rounds(measure)


def main():
    with Stage("reports") as stage:
        stored, cpu = ours(stage)
        acknowledged, raw_cpu = raw(stage)
        alone, alone_cpu = sqlite_alone(stage)
        slower = min(acknowledged, alone)
        stage.note(f"raw QoS 1 {acknowledged:.0f}/s, SQLite alone {alone:.0f}/s")
        stage.row(f"{DEVICES} devices, reports stored and acknowledged", stored, slower, "1/s",
                  peer_name="the slower of raw QoS 1 and SQLite alone", least=0.8)
        stage.row("the same, CPU of each (both threads)", cpu, raw_cpu + alone_cpu, "µs",
                  peer_name="raw QoS 1 and SQLite alone together")


if __name__ == "__main__":
    main()
