"""What is known of some windows, carried on to their neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from models_registry.configuration import Configuration
from planner.arrays import Array, Index
from planner.lattice import Lattice

WINDOW_SCALE = 0.5
"""Log of a ratio of windows over which a correction fades to 1 / e."""


def along_windows(
    lattice: Lattice, configurations: Sequence[Configuration], corrections: ArrayLike
) -> tuple[Index, Array]:
    """Interpolates corrections between configurations that differ in their window alone.

    This is simple kriging with a mean of 0 and a covariance that is exponential in the log of
    the window: exact at the configurations themselves, and fading with the distance from them.
    A prediction that was corrected at one window only would jump there.

    Args:
        lattice: Candidates.
        configurations: Those whose corrections are known, each once, of the lattice's task.
        corrections: Theirs, shape ``(configurations,)`` or, of several kinds,
            ``(configurations, kinds)``.

    Returns:
        Rows of the lattice that differ from a configuration in the window alone, or not at all,
        and the correction of each.
    """
    known, values = Lattice.of(configurations, lattice.task), np.asarray(corrections, dtype=float)
    groups, candidates = known.without(("window_s",)), lattice.without(("window_s",))
    rows = np.flatnonzero(np.isin(candidates, groups))
    at, window = (np.log(one.numbers["window_s"]) for one in (known, lattice))
    carried = np.zeros((len(rows), *values.shape[1:]))
    for group in np.unique(candidates[rows]):
        points, chosen = groups == group, candidates[rows] == group
        weights = np.linalg.solve(_correlation(at[points], at[points]), values[points])
        carried[chosen] = _correlation(window[rows[chosen]], at[points]) @ weights
    return rows, carried


def _correlation(windows: Array, others: Array) -> Array:
    """Of corrections at logs of windows, shape ``(windows, others)``."""
    alike: Array = np.exp(-np.abs(windows[:, None] - others[None]) / WINDOW_SCALE)
    return alike
