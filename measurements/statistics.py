"""Intervals of an error over utterances and from counts; see ``measurements.speakers`` too.

An error is a mean of ratios of sums over utterances: one ratio for WER (errors over
reference words), one an emotion for UA (wrong over utterances of that emotion).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from planner.quantiles import normal_quantile

RESAMPLES = 2000
BATCH = 250
BY_UTTERANCE = "bootstrap over utterances"
BY_COUNTS = "Jeffreys interval of the counts, gamma-Poisson"
BY_SHARES = "Jeffreys interval of the counts, beta-binomial"

LEAST_ERRORS = 0.5
"""Errors that are put in the place of none, where a rate has to be positive."""

CLUMPED = 2.25
"""Errors come in clumps, by utterance: their number varies by so much more than if each came by
itself (its standard error by half as much again)."""

_BELIEVED_CLIPS = 10
"""As many utterances as :data:`CLUMPED` counts for beside those that were measured."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval, standard error and how they were made."""

    value: float
    lower: float
    upper: float
    level: float
    se: float
    method: str = BY_UTTERANCE


def counts_se(error: float, trials: float, *, shares: bool = False) -> float:
    """Standard error of an error rate that is known with its number of trials alone.

    Args:
        error: Errors over trials, positive.
        trials: Words, or clips.
        shares: Whether no trial holds more than one error, as clips do; words may be inserted
            without end.
    """
    least = 0.01 if shares else 0.5
    return float(np.sqrt(CLUMPED * error * max(1 - error, least) / trials))


def counts_interval(wrong: ArrayLike, trials: ArrayLike, *, level: float = 0.95) -> Interval:
    """An error rate with its interval from counts alone: finite, and never of no width.

    Jeffreys' interval of a Poisson rate (prior Gamma(1/2, 0), so the posterior is a gamma and
    a count to come negative binomial), errors and trials both over the dispersion: Pearson's
    of the utterances, between them as ten more of :data:`CLUMPED` would have it, at least 1.
    On simulated WER of 5 and 15 % whose utterances' difficulty was equal, gamma of shape 2 or
    exponential, the wider of it and a bootstrap over utterances covered at 95 %: 88 to 100 % with
    2 to 5 utterances, 91 to 99 % with 10, 92 to 97 % with 50; a bootstrap by itself 43 to 85,
    83 to 89 and 91 to 94 %.

    Args:
        wrong: Errors by utterance; of one without words, all that was heard.
        trials: Words of each.
        level: Probability of the interval.

    Raises:
        ValueError: Nothing was tried.
    """
    from scipy.special import gammaincinv

    wrong, trials = np.asarray(wrong, float), np.asarray(trials, float)
    total = float(trials.sum())
    if not total:
        raise ValueError("nothing was tried")
    value = float(wrong.sum()) / total
    dispersion = _dispersion(wrong, trials)
    shape, rate = wrong.sum() / dispersion + 0.5, total / dispersion
    lower, upper = (gammaincinv(shape, 0.5 + side * level / 2) / rate for side in (-1, 1))
    return Interval(
        value,
        min(value, float(lower)),
        max(value, float(upper)),
        level,
        float(np.sqrt(shape) / rate),
        BY_COUNTS,
    )


def _dispersion(wrong: Array, trials: Array) -> float:
    tried = trials > 0
    expected = trials[tried] * wrong.sum() / trials.sum()
    chi_square = float((np.square(wrong[tried] - expected) / expected).sum()) if wrong.any() else 0
    freedom = max(int(tried.sum()) - 1, 0) if wrong.any() else 0
    return max((_BELIEVED_CLIPS * CLUMPED + chi_square) / (_BELIEVED_CLIPS + freedom), 1.0)


def shares_interval(
    wrong: ArrayLike, trials: ArrayLike, *, level: float = 0.95, dispersion: float = 1.0
) -> Interval:
    """The mean of shares, one an emotion, from counts alone: finite, and never of no width.

    Each share has the beta distribution of Jeffreys' prior (a count to come is beta-binomial);
    the mean of them that of the same first two moments.

    Args:
        wrong: Clips in error, by emotion.
        trials: Clips of each.
        level: Probability of the interval.
        dispersion: By how much counts vary more than if each clip came by itself.

    Raises:
        ValueError: Nothing was tried.
    """
    from scipy.special import betaincinv

    wrong, trials = np.asarray(wrong, float), np.asarray(trials, float)
    wrong, trials = wrong[trials > 0], trials[trials > 0]
    if not trials.size:
        raise ValueError("nothing was tried")
    value = float((wrong / trials).mean())
    a, b = wrong / dispersion + 0.5, (trials - wrong) / dispersion + 0.5
    mean = float((a / (a + b)).mean())
    variance = float((a * b / (np.square(a + b) * (a + b + 1))).sum()) / len(a) ** 2
    weight = mean * (1 - mean) / variance - 1
    lower, upper = (
        betaincinv(mean * weight, (1 - mean) * weight, 0.5 + side * level / 2) for side in (-1, 1)
    )
    return Interval(
        value,
        min(value, float(lower)),
        max(value, float(upper)),
        level,
        float(np.sqrt(variance)),
        BY_SHARES,
    )


def no_narrower(interval: Interval, counts: Interval) -> Interval:
    """The wider of two intervals of one estimate, at either end.

    What is resampled has no spread where all units fare alike, which says nothing of others.
    """
    lower, upper = min(interval.lower, counts.lower), max(interval.upper, counts.upper)
    se = max(interval.se, counts.se)
    if (lower, upper, se) == (interval.lower, interval.upper, interval.se):
        return interval
    method = f"{interval.method}, no narrower than the {counts.method}"
    return Interval(interval.value, lower, upper, interval.level, se, method)


def utterance_interval(
    wrong: ArrayLike, trials: ArrayLike, *, level: float = 0.95, seed: int = 0
) -> Interval:
    """An error rate with its percentile bootstrap over utterances.

    Draws that hold no word say nothing and are left out.

    Args:
        wrong: Errors by utterance.
        trials: Words of each.
        level: Probability of the interval.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: Nothing was tried.
    """
    counts = np.column_stack([np.asarray(wrong, float), np.asarray(trials, float)])
    total_wrong, total = counts.sum(axis=0)
    if not total:
        raise ValueError("nothing was tried")
    sums = resampled_sums(counts, seed)
    sums = sums[sums[:, 1] > 0]
    rates = sums[:, 0] / sums[:, 1]
    value = float(total_wrong / total)
    lower, upper = np.quantile(rates, [0.5 - level / 2, 0.5 + level / 2])
    se = float(rates.std(ddof=1)) if len(rates) > 1 else 0.0
    return Interval(value, min(value, float(lower)), max(value, float(upper)), level, se)


def resampled_sums(counts: Array, seed: int) -> Array:
    """Sums over resampled utterances, shape ``(RESAMPLES, columns)``.

    The draws are those of ``scipy.stats.bootstrap``. Importing that would be half a second and
    60 MB of a service that needs nothing else of it.
    """
    rng = np.random.default_rng(seed)
    units = len(counts)
    found = []
    for rows in batches(RESAMPLES):
        drawn = rng.integers(0, units, (rows, units)) + units * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units)
        found.append(times.astype(float) @ counts)
    return np.concatenate(found)


def batches(number: int) -> list[int]:
    """Sizes of the pieces in which so many are drawn, so that they fit the memory."""
    return [min(BATCH, number - first) for first in range(0, number, BATCH)]


def with_width(
    lower: float, upper: float, more: Array, trials: Array, level: float
) -> tuple[float, float]:
    """An interval of a difference, with a width where resampling gave it none.

    Units that all differ by the same show no spread, however few they are. The errors that one
    configuration makes and the other does not came by themselves then: their number varies as
    much as it is large (Poisson; McNemar's variance).

    Args:
        lower: Lower end.
        upper: Upper end.
        more: Difference of errors by unit, shape ``(units, ratios)``.
        trials: What they are errors of.
        level: Probability of the interval.

    Returns:
        Both ends; as they are where they have a width, or where the units are equal.
    """
    if upper - lower > 1e-9 * max(abs(lower), abs(upper)) or not more.any():
        return float(lower), float(upper)
    totals = trials.sum(axis=0)
    shares = np.abs(more)[:, totals > 0] / totals[totals > 0]
    variance = (shares / totals[totals > 0]).sum() / np.count_nonzero(totals) ** 2
    reach = normal_quantile(0.5 + level / 2) * float(np.sqrt(variance))
    value = float(ratio_error(more.sum(axis=0), totals))
    return value - reach, value + reach


def ratio_error(wrong: Array, trials: Array) -> Array:
    """Mean over the last axis of the ratios that were tried."""
    tried = trials > 0
    ratios = np.where(tried, wrong / np.maximum(trials, 1), 0.0)
    error: Array = ratios.sum(axis=-1) / np.maximum(tried.sum(axis=-1), 1)
    return error


def freedom_of(trials: Array) -> float:
    """Degrees of freedom: as many equal speakers as would weigh the same, less one."""
    return max(effective_number(trials) - 1, 1.0)


def effective_number(trials: Array) -> float:
    """Equal units that would weigh as much as these, from trials of shape ``(units, ratios)``.

    Kish's effective sample size (1965), ``(sum n)^2 / sum n^2``.
    """
    sizes = trials.sum(axis=1)
    return float(sizes.sum() ** 2 / np.square(sizes).sum())


def membership(labels: Sequence[str]) -> Array:
    """1 where an utterance is of a class, shape ``(utterances, classes)``."""
    kinds, place = np.unique(np.array(labels), return_inverse=True)
    member: Array = np.eye(len(kinds))[place]
    return member


def sums_by(counts: ArrayLike, speakers: Sequence[str]) -> Array:
    """Sums by speaker, shape ``(speakers, ratios)``."""
    table = np.asarray(counts, dtype=float)
    table = table.reshape(len(table), -1)
    known, place = np.unique(np.array(speakers), return_inverse=True)
    if len(place) != len(table):
        raise ValueError(f"{len(table)} utterances have {len(place)} speakers")
    sums = np.zeros((len(known), table.shape[1]))
    np.add.at(sums, place, table)
    return sums
