"""Comparisons on the same utterances.

Configurations that were measured on the same speech share most of their sampling
error: a hard utterance is hard for all of them. Their differences, which shape the
curves, are known far better than their levels.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from measurements.records import Measurement


def shared_removed(measurements: Iterable[Measurement]) -> dict[str, float]:
    """Standard errors of log WER, what all configurations on the same speech share left out.

    The error of ``log(WER) - mean over the configurations of log(WER)``, to first
    order in each utterance's weight: what a bootstrap over utterances, the same
    draws for every configuration, converges to.

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
        counts = np.array([[wrong for wrong, _ in m.utterance_errors] for m in group], float)
        influence = counts / counts.sum(axis=1, keepdims=True)
        own = influence - influence.mean(axis=0)
        spread = np.sqrt(np.square(own).sum(axis=1))
        errors |= {m.key: float(s) for m, s in zip(group, spread, strict=True)}
    return errors
