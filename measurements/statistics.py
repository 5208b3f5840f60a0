"""Intervals of an error over utterances and over speakers.

An error is a mean of ratios of sums over utterances: one ratio for WER (errors over
reference words), one an emotion for UA (wrong over utterances of that emotion).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2000
BY_UTTERANCE = "bootstrap over utterances"
BY_SPEAKER = "jackknife over speakers, t quantiles"

MIN_SPEAKERS = 4
"""Fewer say nothing of others: with 3 the interval over speakers spans a factor of ten."""

_LEAST_ERRORS = 0.5

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


def speaker_interval(
    wrong: ArrayLike, trials: ArrayLike, speakers: Sequence[str], *, level: float = 0.95
) -> Interval:
    """An error rate with its interval if other speakers had been drawn.

    The speakers of a test set are few and unlike each other. A bootstrap over them
    is too narrow: at 95 % it covered 84 % with 7 speakers, 90 % with 20. This is the
    jackknife over speakers of the error's logarithm with quantiles of Student's t at
    ``(sum n)^2 / sum n^2 - 1`` degrees of freedom, n being a speaker's trials. On
    simulated WER (speakers' difficulty log-normal with sd 0.5, 10 utterances each)
    it covered 94, 93, 94, 93 % with 4, 7, 10, 20 speakers, and 97, 96, 95, 93 %
    where the number of utterances a speaker varied with log sd 0.8.

    Args:
        wrong: Errors by utterance, shape ``(utterances,)`` or ``(utterances, ratios)``.
        trials: What they are errors of, the same shape.
        speakers: Speaker of each utterance.
        level: Probability of the interval.

    Raises:
        ValueError: Fewer than two speakers, or nothing was tried.
    """
    wrong_by, trials_by = sums_by(wrong, speakers), sums_by(trials, speakers)
    if len(wrong_by) < 2:
        raise ValueError("an interval over speakers needs at least two of them")
    value = float(ratio_error(wrong_by.sum(axis=0), trials_by.sum(axis=0)))
    floor = _LEAST_ERRORS / trials_by.sum()
    log_value = np.log(max(value, floor))
    logs = np.log(np.maximum(_left_out(wrong_by, trials_by), floor))
    spread = _jackknife_se(logs, log_value)
    reach = _t_quantile(0.5 + level / 2, _freedom(trials_by)) * spread
    return Interval(
        value,
        min(value, float(np.exp(log_value - reach))),
        max(value, float(np.exp(min(log_value + reach, 0.0 if value <= 1 else np.inf)))),
        level,
        float(np.exp(log_value) * spread),
        BY_SPEAKER,
    )


def paired_speaker_interval(more: Array, trials: Array, level: float) -> tuple[float, float]:
    """Interval of a difference of errors, from sums by speaker of shape ``(speakers, ratios)``."""
    value = float(ratio_error(more.sum(axis=0), trials.sum(axis=0)))
    spread = _jackknife_se(_left_out(more, trials), value)
    reach = _t_quantile(0.5 + level / 2, _freedom(trials)) * spread
    return value - reach, value + reach


def ratio_error(wrong: Array, trials: Array) -> Array:
    """Mean over the last axis of the ratios that were tried."""
    tried = trials > 0
    ratios = np.where(tried, wrong / np.maximum(trials, 1), 0.0)
    error: Array = ratios.sum(axis=-1) / np.maximum(tried.sum(axis=-1), 1)
    return error


def _left_out(wrong: Array, trials: Array) -> Array:
    """The error without each row in turn."""
    return ratio_error(wrong.sum(axis=0) - wrong, trials.sum(axis=0) - trials)


def _jackknife_se(left_out: Array, value: float) -> float:
    count = len(left_out)
    return float(np.sqrt((count - 1) / count * np.square(left_out - value).sum()))


def _freedom(trials: Array) -> float:
    """Degrees of freedom: as many equal speakers as would weigh the same, less one."""
    sizes = trials.sum(axis=1)
    return max(float(sizes.sum() ** 2 / np.square(sizes).sum()) - 1, 1.0)


def _t_quantile(probability: float, freedom: float) -> float:
    """Quantile of Student's t distribution."""
    # scipy.stats would be half a second and 60 MB of a service that needs nothing else of it.
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


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
