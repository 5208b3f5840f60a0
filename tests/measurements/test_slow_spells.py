"""Timing waits for slow spells of the processors to pass."""

import pytest

pytest.importorskip("torch")

from measurements import slow_spells
from measurements.slow_spells import SlowSpells


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(slow_spells, "_fastest_s", float("inf"))
    monkeypatch.setattr(slow_spells, "_EVERY_S", 0.0)
    monkeypatch.setattr(slow_spells, "_NAP_S", 0.0)


def probe_of(*seconds):
    """Each look takes the fastest of three probes."""
    values = iter([s for one in seconds for s in (one, one * 1.5, one * 2)])
    return lambda: next(values)


def test_a_slow_spell_is_waited_for():
    spells = SlowSpells(patience_s=60, probe=probe_of(1.0, 4.0, 3.0, 1.2))
    assert spells.speed is None
    spells.wait()
    spells.wait()
    assert spells.speed == pytest.approx((1 + 1 / 1.2) / 2)


def test_patience_ends_and_what_was_slow_is_known():
    """Catches a wait without an end on a machine that stays slow."""
    spells = SlowSpells(patience_s=0.0, probe=probe_of(1.0, 4.0, 4.0))
    for _ in range(3):
        spells.wait()
    assert spells.speed == pytest.approx(1 / 4)


def test_a_real_probe_takes_milliseconds():
    spells = SlowSpells(patience_s=0.5)
    spells.wait()
    assert 0 < slow_spells._fastest_s < 1
    assert 0 < spells.speed <= 1
