"""Comparisons on the same utterances.

Configurations that were measured on the same speech share most of their sampling
error: a hard utterance is hard for all of them. Their differences, which shape the
curves, are known far better than their levels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from measurements.records import Measurement
from measurements.statistics import LEAST_ERRORS, membership, ratio_error, sums_by
from planner.arrays import Array

OWN_OF_COUNTS = 0.85
"""What configurations on the same speech do not have in common, as a standard error of the log
error times the root of the number of errors: the median over the catalogue's own measurements, on
all speakers of a study, on half of them and on three, which lie between 0.64 and 0.97."""

_MOST_UNITS = 200
"""Utterances of unknown speakers are put into so many groups at most, at random."""


class PairedSpread(NamedTuple):
    """Sampling error of a configuration's log error, what all on the same speech share left out.

    Attributes:
        log_se: Its standard error.
        deviations: By speaker, shape ``(speakers,)``: sampling covariance of two configurations
            on the same speech is the inner product of theirs.
    """

    log_se: float
    deviations: Array


def paired_spreads(measurements: Iterable[Measurement]) -> dict[str, PairedSpread]:
    """Sampling errors of log errors, what all configurations on the same speech share left out.

    The error is WER, or 1 - UA. By the delta method, clustered by speaker: derivatives of the log
    error by the weight of each utterance are summed over a speaker's utterances (Wolter,
    "Introduction to Variance Estimation", 2007, chapter 6), less their mean over the
    configurations, times ``S / (S - 1)`` for S speakers. Utterances are the units where speakers
    are not known. The mean over C configurations holds a C-th of each one's own error, so that a
    standard error is larger than its deviations by ``C / (C - 1)`` in variance. It is half an
    error at least: configurations that made the same errors here need not make them elsewhere.

    Args:
        measurements: Any; only those with errors by utterance, at least two on
            the same speech, get an answer.

    Returns:
        What is known of each, by the measurement's key.
    """
    groups: dict[tuple[str, str | None, int], list[Measurement]] = {}
    for m in measurements:
        if m.utterance_errors and any(wrong for wrong, _ in m.utterance_errors):
            key = (m.study, m.dataset.fingerprint, len(m.utterance_errors))
            groups.setdefault(key, []).append(m)
    spreads: dict[str, PairedSpread] = {}
    for group in groups.values():
        if len(group) < 2:
            continue
        influence = np.array([_by_unit(m) for m in group])
        units = influence.shape[1]
        if units < 2:
            continue
        own = (influence - influence.mean(axis=0)) * np.sqrt(units / (units - 1))
        spread = np.sqrt(np.square(own).sum(axis=1) * len(group) / (len(group) - 1))
        for m, found, deviations in zip(group, spread, own, strict=True):
            total = sum(wrong for wrong, _ in m.utterance_errors)
            spreads[m.key] = PairedSpread(max(float(found), LEAST_ERRORS / total), deviations)
    return spreads


def log_error(
    wrong: ArrayLike, trials: ArrayLike, labels: Sequence[str] = ()
) -> tuple[float, Array]:
    """Log of an error, at least half an error's, and its derivative by each utterance's weight.

    Args:
        wrong: Errors of each utterance.
        trials: What they are errors of: words, or 1 for a clip.
        labels: Emotion of each; the error is the mean over emotions then.
    """
    member = membership(labels) if len(labels) else np.ones((len(np.asarray(trials)), 1))
    of = np.asarray(trials, float)[:, None] * member
    counts, totals = np.asarray(wrong, float)[:, None] * member, of.sum(axis=0)
    error = max(float(ratio_error(counts.sum(axis=0), totals)), LEAST_ERRORS / float(totals.sum()))
    tried = totals > 0
    rates = counts.sum(axis=0)[tried] / totals[tried]
    derivative = ((counts[:, tried] - rates * of[:, tried]) / totals[tried]).mean(axis=1)
    return float(np.log(error)), derivative / error


def _by_unit(measurement: Measurement) -> Array:
    """Derivative of log error by the weight of each speaker, shape ``(units,)``."""
    wrong, trials = np.array(measurement.utterance_errors, float).T
    _, influence = log_error(wrong, trials, measurement.labels)
    if len(set(measurement.speakers)) > 1:
        return sums_by(influence, measurement.speakers).ravel()
    if len(influence) <= _MOST_UNITS:
        return influence
    group = np.random.default_rng(0).permutation(len(influence)) % _MOST_UNITS
    return np.asarray(np.bincount(group, weights=influence, minlength=_MOST_UNITS), np.float64)
