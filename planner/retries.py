"""How often a window runs away and is run again in the model's full window, and how surely.

A beta-binomial model: rates of configurations spread about a mean of their neighbours, and what a
configuration's own windows show moves its rate from there (Gelman et al., "Bayesian Data
Analysis", 2013, chapter 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from planner.arrays import Array, Index, Mask, distinct
from planner.evidence import Observation
from planner.interpolation import along_windows
from planner.lattice import Lattice

_PRIOR_WINDOWS = 1.0
"""Windows that the overall rate counts for."""

_SCALES = {
    "ladder": 6.0,
    "silence": 3.0,
    "window": 6.0,
    "stride": 2.0,
    "depth": 4.0,
    "parameters": 4.0,
    "integers": 1.5,
    "adapter": 6.0,
}
"""How much a step along each coordinate matters: for windows, strides and parameters a factor of
two. These and :data:`_PRIOR_WINDOWS` predict the catalogue's counts best, by the log score of the
beta-binomial summed over what was left out: a configuration, a window, a place and stride of the
reduction, a precision, a model."""

_UNKNOWN_DISPERSION = 0.1
_PRIOR_CONFIGURATIONS = 2.0
"""Dispersion of rates where there is nothing to tell it from, and what it counts for elsewhere."""

_UNCOUNTED_SD = 0.1
"""Spread of rates where none was counted: about that of a model of which none was."""

_DISPERSIONS = (1e-3, 0.5)
"""Least and largest."""

_CHUNK = 1024
"""Rows whose distances fit a processor's cache."""


class Rates(NamedTuple):
    """Shares of windows that are run again.

    Attributes:
        mean: Expected share, shape ``(n,)``.
        sd: Standard deviation of what is believed of it; 0 where nothing can be run again.
    """

    mean: Array
    sd: Array


class _Counts(NamedTuple):
    """What was counted, shapes ``(k,)``; places of shape ``(k, coordinates)``."""

    places: Array
    retried: Array
    windows: Array
    configuration: Index

    @property
    def overall(self) -> float:
        """Rate of all windows together."""
        return float((self.retried.sum() + 0.5) / (self.windows.sum() + 1))


def retry_rates(lattice: Lattice, observations: Sequence[Observation]) -> Rates:
    """Expected share of windows that are run again, and its spread.

    Without any counts none is expected, and the spread is that of what was never counted.

    Args:
        lattice: For these.
        observations: Those of the task; the ones with counts of windows are used.
    """
    mean, sd = np.zeros(len(lattice)), np.zeros(len(lattice))
    counted = [o for o in observations if o.windows]
    seen = Lattice.of([o.configuration for o in counted], lattice.task)
    kept = np.flatnonzero(_can_retry(seen))
    rows = np.flatnonzero(_can_retry(lattice))
    sd[rows] = _UNCOUNTED_SD
    if not kept.size or not rows.size:
        return Rates(mean, sd)
    seen = seen.take(kept)
    firsts, own = np.unique(seen.hashes, return_index=True, return_inverse=True)[1:]
    counts = _Counts(
        _places(seen).astype(np.float32),
        np.array([o.retried or 0 for o in counted], dtype=float)[kept],
        np.array([o.windows for o in counted], dtype=float)[kept],
        own,
    )
    dispersions = _dispersions(counts)
    mean[rows], variance = _prior(lattice.take(rows), counts, dispersions)
    sd[rows] = np.sqrt(variance)
    known = [counted[kept[first]].configuration for first in firsts]
    near_mean, near_variance = _prior(Lattice.of(known), counts, dispersions)
    # The beta distribution of a mean and a variance, and that after the own windows.
    strength = near_mean * (1 - near_mean) / near_variance - 1
    again, of = (np.bincount(own, column) for column in (counts.retried, counts.windows))
    own_mean = (strength * near_mean + again) / (strength + of)
    own_variance = own_mean * (1 - own_mean) / (strength + of + 1)
    corrections = np.column_stack(
        [np.log(own_mean / near_mean), 0.5 * np.log(own_variance / near_variance)]
    )
    near, log_ratio = along_windows(lattice, known, corrections)
    mean[near] = np.minimum(mean[near] * np.exp(log_ratio[:, 0]), 1.0)
    sd[near] *= np.exp(log_ratio[:, 1])
    return Rates(mean, sd)


def _dispersions(counts: _Counts) -> tuple[float, float]:
    """Correlation of the windows of a configuration, about its neighbours' rate and about all.

    By the method of moments, each configuration predicted without its own counts.
    """
    again, of = _nearby(counts.places, counts, apart=True)
    near = (again + _PRIOR_WINDOWS * counts.overall) / (of + _PRIOR_WINDOWS)
    return _dispersion(counts, near), _dispersion(counts, np.full_like(near, counts.overall))


def _dispersion(counts: _Counts, expected: Array) -> float:
    binomial = counts.windows * expected * (1 - expected)
    beyond = np.square(counts.retried - counts.windows * expected) - binomial
    scale = binomial * (counts.windows - 1)
    prior = _PRIOR_CONFIGURATIONS * float(scale.mean())
    found = (float(beyond.sum()) + prior * _UNKNOWN_DISPERSION) / (float(scale.sum()) + prior)
    return float(np.clip(found, *_DISPERSIONS)) if prior else _UNKNOWN_DISPERSION


def _prior(
    lattice: Lattice, counts: _Counts, dispersions: tuple[float, float]
) -> tuple[Array, Array]:
    """Mean and variance of rates before their own counts, each of shape ``(n,)``."""
    # Most rows of a lattice share their place with others.
    places = _places(lattice)
    first, place = distinct(list(places.T.copy()))
    # Rates are no surer than single precision is exact.
    again, of = _nearby(places[first].astype(np.float32), counts)
    share = of / (of + _PRIOR_WINDOWS)
    mean = (again + _PRIOR_WINDOWS * counts.overall) / (of + _PRIOR_WINDOWS)
    near, everywhere = dispersions
    variance = (share * near + (1 - share) * everywhere) * mean * (1 - mean)
    return mean[place], variance[place]


def _nearby(places: Array, counts: _Counts, apart: bool = False) -> tuple[Array, Array]:
    """Windows run again and windows near places, each of shape ``(n,)``.

    Args:
        places: Shape ``(n, coordinates)``.
        counts: What was counted.
        apart: Whether places are those of the counts, and each is to leave out its configuration.
    """
    others = counts.places
    columns = np.column_stack([counts.retried, counts.windows]).astype(np.float32)
    # -|a - b|^2 / 2 = a.b - |a|^2 / 2 - |b|^2 / 2: a matrix product and no third dimension.
    half, half_others = (0.5 * np.square(points).sum(axis=1) for points in (places, others))
    found = np.empty((len(places), 2))
    for start in range(0, len(places), _CHUNK):
        some = slice(start, start + _CHUNK)
        near = np.exp(np.minimum(places[some] @ others.T - half[some, None] - half_others, 0.0))
        if apart:
            near[counts.configuration[some, None] == counts.configuration] = 0.0
        found[some] = near @ columns
    return found[:, 0], found[:, 1]


def _can_retry(lattice: Lattice) -> Mask:
    if lattice.task != "asr":
        return np.zeros(len(lattice), dtype=bool)
    policy = lattice.labels["window_policy"]
    short = lattice.numbers["window_s"] < lattice.full_window_s
    can: Mask = ~policy.mask("truncate") & (policy.mask("ladder") | short)
    return can


def _places(lattice: Lattice) -> Array:
    """Coordinates in which a distance of 1 makes a difference, shape ``(n, coordinates)``."""
    ladder = lattice.labels["window_policy"].mask("ladder")
    reduced = lattice.numbers["token_stride"] > 1
    depth = np.where(reduced, lattice.numbers["reduction_layer"] / lattice.last_layer, 0.0)
    coordinates = {
        "ladder": ladder,
        "silence": np.where(ladder, lattice.silence_s, 0.0),
        "window": np.log2(lattice.numbers["window_s"]),
        "stride": np.log2(lattice.numbers["token_stride"]),
        "depth": np.nan_to_num(depth),
        "parameters": np.log2(lattice.parameters),
        "integers": lattice.labels["precision"].mask("int8", "int4"),
        "adapter": ~lattice.labels["adapter"].mask("none"),
    }
    return np.column_stack([_SCALES[name] * values for name, values in coordinates.items()])
