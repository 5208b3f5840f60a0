"""Corrections carried along windows."""

import numpy as np
import pytest

from models_registry import Configuration
from planner.interpolation import along_windows
from planner.lattice import Lattice


def base(window_s, **more):
    return Configuration(model="base", window_s=window_s, **more)


def test_a_correction_is_exact_at_its_window_and_fades_with_the_distance():
    """Catches a window that costs 13 % more than both of its neighbours."""
    windows = [9.5, 9.9, 10, 10.02, 10.5, 30]
    rows, carried = along_windows(Lattice.of([base(w) for w in windows]), [base(10)], [0.125])
    assert rows.tolist() == list(range(6))
    assert carried[2] == pytest.approx(0.125)
    assert np.all(np.abs(np.diff(carried[:5])) < 0.02)
    assert carried[5] < carried[0] < carried[1] < carried[2]


def test_every_known_window_keeps_its_own():
    known = [base(5), base(10), base(10.02), base(30)]
    rows, carried = along_windows(Lattice.of(known), known, [0.1, -0.2, 0.3, 0.0])
    assert carried[np.argsort(rows)] == pytest.approx([0.1, -0.2, 0.3, 0.0])


def test_nothing_is_carried_to_what_differs_in_more_than_its_window():
    others = [
        base(10, precision="int8"), base(10, token_stride=2, reduction_layer=3),
        base(10, batch_size=4), base(10, window_policy="ladder"),
        Configuration(model="tiny.en", window_s=10),
    ]  # fmt: skip
    rows, _ = along_windows(Lattice.of(others), [base(10)], [0.125])
    assert rows.size == 0
