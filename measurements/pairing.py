"""Comparisons on the same utterances.

Configurations that were measured on the same speech share most of their sampling
error: a hard utterance is hard for all of them. Their differences, which shape the
curves, are known far better than their levels.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from measurements.records import Measurement
from measurements.statistics import LEAST_ERRORS


def shared_removed(measurements: Iterable[Measurement]) -> dict[str, float]:
    """Standard errors of log error, what all configurations on the same speech share left out.

    The error is WER, or 1 - UA. What is estimated is the standard error of
    ``log(error) - mean over the configurations of log(error)``, to first order in
    each utterance's weight: what a bootstrap with the same draws for every
    configuration converges to. Utterances are drawn in ASR, speakers in SER, as for
    the intervals of either. It is half an error at least: configurations that made the same
    errors here need not make them elsewhere.

    Args:
        measurements: Any; only those with errors by utterance, at least two on
            the same speech, get an answer.

    Returns:
        Standard error by the measurement's key.
    """
    groups: dict[tuple[str, str | None, int], list[Measurement]] = {}
    for m in measurements:
        if m.utterance_errors and any(wrong for wrong, _ in m.utterance_errors):
            key = (m.study, m.dataset.fingerprint, len(m.utterance_errors))
            groups.setdefault(key, []).append(m)
    errors: dict[str, float] = {}
    for group in groups.values():
        if len(group) < 2:
            continue
        influence = np.array([_influence(m) for m in group])
        own = influence - influence.mean(axis=0)
        spread = np.sqrt(np.square(own).sum(axis=1))
        for m, found in zip(group, spread, strict=True):
            total = sum(wrong for wrong, _ in m.utterance_errors)
            errors[m.key] = max(float(found), LEAST_ERRORS / total)
    return errors


def _influence(measurement: Measurement) -> NDArray[np.float64]:
    """Derivative of log error by the weight of each utterance, or of each speaker in SER.

    What is the same for every configuration is left out of it in ASR.
    """
    wrong = np.array([errors for errors, _ in measurement.utterance_errors], float)
    if measurement.metric.name == "wer":
        shares: NDArray[np.float64] = wrong / wrong.sum()
        return shares
    # UA: every class weighs the same, and its clips share that weight.
    _, kind = np.unique(measurement.labels, return_inverse=True)
    clips = np.bincount(kind)
    of_class = np.bincount(kind, weights=wrong) / clips
    influence: NDArray[np.float64] = (wrong - of_class[kind]) / clips[kind] / of_class.sum()
    if not measurement.speakers:
        return influence
    people, who = np.unique(measurement.speakers, return_inverse=True)
    summed = np.bincount(who, weights=influence, minlength=len(people))
    return np.asarray(summed, np.float64)
