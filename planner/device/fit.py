"""Sums of work fitted to what was measured: ``sum over kinds of amount * unit``.

The logarithms of the units are fitted in log space, around priors that hold where
little was measured; their spread comes from bagged refits and is carried on to first
order, which is all that a sum of a few positive parts needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planner.arrays import Array
from planner.curves.solver import Prior, solve

BAGS = 64
_AT_ONCE = 16
MIN_MISFIT_SD = 0.03
_FIRST_MISFIT_SD = 0.15
_ROUNDS = 3
_CHUNK = 8192
"""Rows whose amounts fit a processor's cache."""


@dataclass(frozen=True)
class SumOfWork:
    """``log(sum of exp(parameter) * amount)``, as a form to fit."""

    def log_value(self, parameters: Array, design: Array) -> Array:
        """Log of the sum, shape ``(vectors, rows)``."""
        total: Array = np.log(np.exp(parameters) @ design.T)
        return total

    def jacobian(self, parameters: Array, design: Array) -> tuple[Array, Array]:
        """Log of the sum and its derivatives."""
        parts = np.exp(parameters)[:, None, :] * design[None]
        total = parts.sum(axis=-1)
        return np.log(total), parts / total[..., None]


@dataclass(frozen=True)
class Units:
    """What a unit of each kind of work takes.

    Attributes:
        log: Logarithms, shape ``(kinds,)``.
        covariance: Theirs, shape ``(kinds, kinds)``.
        misfit_sd: What the sum misses, in log.
    """

    log: Array
    covariance: Array
    misfit_sd: float

    def total(self, amounts: Array) -> Array:
        """What amounts take, shape ``(rows,)``."""
        total: Array = amounts @ np.exp(self.log)
        return total

    def variance(self, amounts: Array) -> Array:
        """Variance of the log of :meth:`total`, shape ``(rows,)``."""
        found = np.empty(len(amounts))
        for first in range(0, len(amounts), _CHUNK):
            parts = np.exp(self.log)[:, None] * amounts[first : first + _CHUNK].T
            own = np.einsum("kr,kr->r", self.covariance @ parts, parts)
            found[first : first + _CHUNK] = own / np.square(parts.sum(axis=0))
        return found + self.misfit_sd**2


def fit_units(
    amounts: Array,
    taken: Array,
    prior: Prior,
    rng: np.random.Generator,
    extra_log_sd: Array | float = 0.0,
) -> Units:
    """Fits the units of a sum.

    Args:
        amounts: Shape ``(rows, kinds)``; no rows leave the prior.
        taken: What they took, shape ``(rows,)``, positive.
        prior: Of the units' logarithms.
        rng: Draws the refits.
        extra_log_sd: Spread of the log of each row beyond the fit's own, shape ``(rows,)``;
            such rows weigh less, and say nothing of what the sum misses.
    """
    if not len(taken):
        return Units(prior.mean, np.diag(np.square(prior.sd)), 0.0)
    form, log_taken = SumOfWork(), np.log(taken)
    extra = np.broadcast_to(np.square(extra_log_sd), taken.shape)
    plain = extra == 0 if (extra == 0).any() else np.ones(len(taken), dtype=bool)
    misfit_sd, best = _FIRST_MISFIT_SD, prior.mean[None]
    for _ in range(_ROUNDS):
        weights = 1 / (misfit_sd**2 + extra)[None]
        best = solve(form, amounts, log_taken, weights, prior, best)
        residual = (log_taken - form.log_value(best, amounts)[0])[plain]
        misfit_sd = max(1.4826 * float(np.median(np.abs(residual))), MIN_MISFIT_SD)
    weights = rng.exponential(size=(BAGS, len(taken))) / (misfit_sd**2 + extra)
    means = prior.mean + prior.sd * rng.standard_normal((BAGS, len(prior.mean)))
    # Some at a time: the derivatives of thousands of runs take a megabyte for each refit.
    parts = zip(
        *(np.array_split(drawn, BAGS // _AT_ONCE) for drawn in (weights, means)), strict=True
    )
    bags = np.concatenate(
        [
            solve(form, amounts, log_taken, w, Prior(mean, prior.sd), np.tile(best, (len(w), 1)))
            for w, mean in parts
        ]
    )
    return Units(best[0], np.cov(bags, rowvar=False).reshape(best.shape[1], -1), misfit_sd)
