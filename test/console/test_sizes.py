"""Sizes: what the console weighs, and what it and the broker take of an idle machine."""
import gzip
import os

import pytest

from harness import places

WEB = places.TREE / "manager" / "console" / "web"


def test_the_pages_weigh_at_most_60_kilobytes():
    files = [path for path in WEB.rglob("*")
             if path.suffix in (".js", ".css", ".html", ".svg")]
    total = sum(len(gzip.compress(path.read_bytes(), 9)) for path in files)
    print(f"{len(files)} files, {total} bytes gzip")
    assert files and total <= 60_000


def test_idle_broker_plugin_and_console_take_at_most_64_mebibytes(console, broker, api):
    if places.sanitizer_libraries(places.PLUGIN):
        pytest.skip("the sanitizers' own memory is not ours: measured in the other build")
    api.good("GET", "/v1/status")
    broker_rss, console_rss = broker.resident_bytes(), console.resident_bytes()
    print(f"broker with plugin {broker_rss >> 10} KiB, console {console_rss >> 10} KiB")
    assert broker_rss + console_rss <= 64 << 20
    assert os.path.exists(f"/proc/{console.pid}")
