"""What other processes take of the processors while something is timed."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from measurements import load
from measurements.load import LoadMeter


def test_own_time_and_idle_time_are_not_the_others(tmp_path, monkeypatch):
    """Two seconds of two processors: 1 s own, 1.5 s idle or waiting, 1.5 s somebody else's."""
    stat = tmp_path / "stat"
    monkeypatch.setattr(load, "_STAT", stat)
    hertz = os.sysconf("SC_CLK_TCK")

    def at(own_s, other_s, idle_s, waiting_s):
        ticks = [own_s + other_s, 0, 0, idle_s, waiting_s, 0, 0, 0]
        stat.write_text(f"cpu  {' '.join(str(int(100 * hertz * s / 100)) for s in ticks)} 0 0\n")
        monkeypatch.setattr(load.os, "times", lambda: SimpleNamespace(user=own_s, system=0))

    at(own_s=10, other_s=20, idle_s=30, waiting_s=0)
    meter = LoadMeter()
    at(own_s=11, other_s=21.5, idle_s=31, waiting_s=0.5)
    assert meter.others_share() == pytest.approx(1.5 / 4)
    stat.unlink()
    assert meter.others_share() is None
    assert LoadMeter().others_share() is None


@pytest.mark.skipif(not load._STAT.exists(), reason="needs /proc/stat")
def test_a_busy_neighbour_is_noticed():
    meter = LoadMeter()
    neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(2)
    finally:
        neighbour.kill()
        neighbour.wait()
    assert meter.others_share() > 0.5 / os.cpu_count()
