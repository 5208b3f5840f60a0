"""How often a window runs away and is run again in the model's full window.

Measured where a configuration was measured; elsewhere a mean of the measured ones,
nearer ones counting more, drawn towards the overall rate where none is near.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from planner.arrays import Array, Mask, distinct
from planner.evidence import Observation
from planner.interpolation import along_windows
from planner.lattice import Lattice

_PRIOR_WINDOWS = 20.0
"""Windows that the overall rate counts for."""

_NEARBY_WINDOWS = 5.0
"""Windows that the neighbours' rate counts for where a configuration's own is known."""

_CHUNK = 1024
"""Rows whose distances fit a processor's cache."""


def retry_rates(lattice: Lattice, observations: Sequence[Observation]) -> Array:
    """Expected share of windows that are run again, shape ``(n,)``.

    Args:
        lattice: For these.
        observations: Those of the task; the ones with counts of windows are used.
    """
    rates, counted = np.zeros(len(lattice)), [o for o in observations if o.windows]
    if not counted:
        return rates
    seen = Lattice.of([o.configuration for o in counted])
    kept = np.flatnonzero(_can_retry(seen))
    rows = np.flatnonzero(_can_retry(lattice))
    if not kept.size or not rows.size:
        return rates
    seen = seen.take(kept)
    windows = np.array([o.windows for o in counted], dtype=float)[kept]
    retried = np.array([o.retried or 0 for o in counted], dtype=float)[kept]
    rates[rows] = _smoothed(lattice.take(rows), seen, retried, windows)
    chosen, own = np.unique(seen.hashes, return_inverse=True)
    known = [counted[kept[int(np.argmax(own == n))]].configuration for n in range(len(chosen))]
    nearby = _smoothed(Lattice.of(known), seen, retried, windows)
    again, of = (np.bincount(own, counts) for counts in (retried, windows))
    # The neighbours' rate counts for a few windows, so that 0 of 70 is not never.
    corrections = np.log((again + _NEARBY_WINDOWS * nearby) / (of + _NEARBY_WINDOWS) / nearby)
    near, log_ratio = along_windows(lattice, known, corrections)
    rates[near] = np.minimum(rates[near] * np.exp(log_ratio), 1.0)
    return rates


def _smoothed(lattice: Lattice, seen: Lattice, retried: Array, windows: Array) -> Array:
    """Mean rate of what was seen, weighted by nearness, shape ``(n,)``."""
    overall = (retried.sum() + 0.5) / (windows.sum() + 1)
    # Most rows of a lattice share their place with others.
    places = _places(lattice)
    first, place = distinct(list(places.T.copy()))
    # Rates are no surer than single precision is exact.
    places = places[first].astype(np.float32)
    others = _places(seen).astype(np.float32)
    counts = np.column_stack([retried, windows]).astype(np.float32)
    # -|a - b|^2 / 2 = a.b - |a|^2 / 2 - |b|^2 / 2: a matrix product and no third dimension.
    half, half_others = (0.5 * np.square(points).sum(axis=1) for points in (places, others))
    expected = np.empty(len(places))
    for start in range(0, len(places), _CHUNK):
        some = slice(start, start + _CHUNK)
        near = np.exp(np.minimum(places[some] @ others.T - half[some, None] - half_others, 0.0))
        again, of = (near @ counts).T
        expected[some] = (again + _PRIOR_WINDOWS * overall) / (of + _PRIOR_WINDOWS)
    rates: Array = expected[place]
    return rates


def _can_retry(lattice: Lattice) -> Mask:
    if lattice.task != "asr":
        return np.zeros(len(lattice), dtype=bool)
    policy = lattice.labels["window_policy"]
    short = lattice.numbers["window_s"] < lattice.full_window_s
    can: Mask = ~policy.mask("truncate") & (policy.mask("ladder") | short)
    return can


def _places(lattice: Lattice) -> Array:
    """Coordinates in which a distance of 1 makes a difference, shape ``(n, 5)``."""
    return np.column_stack(
        [
            lattice.silence_s,
            2 * np.log2(lattice.numbers["window_s"]),
            2 * np.log2(lattice.numbers["token_stride"]),
            np.log2(lattice.parameters) / 2,
            2.0 * lattice.labels["precision"].mask("int8", "int4"),
        ]
    )
