"""Intervals of an error over speakers.

The speakers of a test set are few and unlike each other, so the variance between them is estimated
from few values. A prior from the catalogue's studies keeps it from being taken for too small.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from measurements.statistics import (
    LEAST_ERRORS,
    Array,
    Interval,
    effective_number,
    freedom_of,
    ratio_error,
    sums_by,
)

BY_SPEAKER = "moderated variance between speakers, t quantiles"
JACKKNIFE = "jackknife over speakers, t quantiles"

PRIOR_SD = 0.425
"""Standard deviation between speakers of the log error, before any is heard."""

PRIOR_FREEDOM = 4.92
"""Degrees of freedom that :data:`PRIOR_SD` counts for beside those of the speakers measured.

Both are moments of the catalogue's studies with several speakers: ``python -m
measurements.catalogue.speaker_prior`` prints them.
"""


def speaker_interval(
    wrong: ArrayLike,
    trials: ArrayLike,
    speakers: Sequence[str],
    *,
    level: float = 0.95,
    noise: float = 0.0,
) -> Interval:
    """An error rate with its interval if other speakers had been drawn.

    The jackknife over speakers gives the variance ``s^2`` between speakers of the error's
    logarithm, at ``d = (sum n)^2 / sum n^2 - 1`` degrees of freedom, ``n`` being a speaker's
    trials. It is moderated (Smyth 2004, "Linear models and empirical Bayes methods for assessing
    differential expression in microarray experiments"): with a scaled inverse chi-square prior of
    :data:`PRIOR_SD` ``s0`` and :data:`PRIOR_FREEDOM` ``d0``, the variance is ``(d0 s0^2 + d s^2) /
    (d0 + d)`` and the interval has quantiles of Student's t at ``d0 + d`` degrees of freedom. With
    one speaker the prior alone is left.

    Two floors make it more careful. The variance is no smaller than ``s^2``, since other speech
    may differ more than the catalogue's; ``s0`` is no smaller than what the noise of a speaker's
    utterances makes of speakers who are all alike. Speakers that are counted twice, under another
    name, never make the interval wider. ``python -m benchmarks.statistics --only speakers``
    measures its coverage.

    Args:
        wrong: Errors by utterance, shape ``(utterances,)`` or ``(utterances, ratios)``.
        trials: What they are errors of, the same shape.
        speakers: Speaker of each utterance.
        level: Probability of the interval.
        noise: Standard error of the error's logarithm for these speakers alone.

    Raises:
        ValueError: Nothing was tried.
    """
    wrong_by, trials_by = sums_by(wrong, speakers), sums_by(trials, speakers)
    total = float(trials_by.sum())
    if not total:
        raise ValueError("nothing was tried")
    value = float(ratio_error(wrong_by.sum(axis=0), trials_by.sum(axis=0)))
    log_value = float(np.log(max(value, LEAST_ERRORS / total)))
    number = effective_number(trials_by)
    freedom = PRIOR_FREEDOM + number - 1
    own = variance_between(wrong_by, trials_by)
    prior = max(PRIOR_SD**2, noise**2 * number)
    variance = max((PRIOR_FREEDOM * prior + (number - 1) * own) / freedom, own)
    spread = float(np.sqrt(variance / number))
    reach = _t_quantile(0.5 + level / 2, freedom) * spread
    # Insertions have no limit; no speaker was worse than the worst.
    alone = ratio_error(wrong_by, trials_by)
    top = 0.0 if value <= 1 else np.log(max(value, float(alone.max())))
    return Interval(
        value,
        min(value, float(np.exp(log_value - reach))),
        max(value, float(np.exp(min(log_value + reach, top)))),
        level,
        float(np.exp(log_value) * spread),
        BY_SPEAKER,
    )


def variance_between(wrong: Array, trials: Array) -> float:
    """Variance between speakers of the log error, by the jackknife; 0 of a single speaker.

    Args:
        wrong: Errors by speaker, shape ``(speakers, ratios)``.
        trials: What they are errors of, the same shape.
    """
    if len(wrong) < 2:
        return 0.0
    floor = LEAST_ERRORS / trials.sum()
    value = max(float(ratio_error(wrong.sum(axis=0), trials.sum(axis=0))), floor)
    logs = np.log(np.maximum(_left_out(wrong, trials), floor))
    return _jackknife_se(logs, float(np.log(value))) ** 2 * effective_number(trials)


def paired_speaker_interval(more: Array, trials: Array, level: float) -> tuple[float, float]:
    """Interval of a difference of errors, from sums by speaker of shape ``(speakers, ratios)``."""
    value = float(ratio_error(more.sum(axis=0), trials.sum(axis=0)))
    spread = _jackknife_se(_left_out(more, trials), value)
    reach = _t_quantile(0.5 + level / 2, freedom_of(trials)) * spread
    return value - reach, value + reach


def _left_out(wrong: Array, trials: Array) -> Array:
    """The error without each row in turn."""
    return ratio_error(wrong.sum(axis=0) - wrong, trials.sum(axis=0) - trials)


def _jackknife_se(left_out: Array, value: float) -> float:
    count = len(left_out)
    return float(np.sqrt((count - 1) / count * np.square(left_out - value).sum()))


def _t_quantile(probability: float, freedom: float) -> float:
    """Quantile of Student's t distribution."""
    # scipy.stats would be half a second and 60 MB of a service that needs nothing else of it.
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))
