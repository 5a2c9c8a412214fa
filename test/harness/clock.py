"""Processes whose clock is not ours (libfaketime)."""
from pathlib import Path

import pytest

from . import places

LIBRARY = next((path for path in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


def _preload(process, **variables):
    if not LIBRARY or places.SANITIZED:
        pytest.skip("no libfaketime, or a sanitizer in its place")
    process.environment = {"LD_PRELOAD": str(LIBRARY), "FAKETIME_DONT_RESET": "1", **variables}
    return process


def fake(process, when):
    """The process believes that it is `when`; set_to() changes its mind while it runs. How
    time passes is not changed."""
    _preload(process, FAKETIME_NO_CACHE="1", FAKETIME_DONT_FAKE_MONOTONIC="1",
             FAKETIME_TIMESTAMP_FILE=str(process.directory / "clock"))
    set_to(process, when)
    return process


def set_to(process, when):
    part = process.directory / "clock.part"
    part.write_text(when + "\n")
    part.rename(process.directory / "clock")


def hasten(process, times):
    """Its time, its pauses and its time-outs run so many times as fast."""
    return _preload(process, FAKETIME=f"+0 x{times}")
