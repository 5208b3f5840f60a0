"""Estimates the prior of the variance between speakers from the catalogue's measurements.

``python -m measurements.catalogue.speaker_prior``
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import numpy as np

from measurements.catalogue import catalogue
from measurements.records import Measurement
from measurements.speakers import variance_between
from measurements.statistics import Array, effective_number, membership, sums_by


def speaker_prior(measurements: Iterable[Measurement]) -> tuple[float, float]:
    """Standard deviation and degrees of freedom of the prior.

    Moments of the log sample variances (Smyth 2004, section 6.2), a row for each measurement of
    several speakers with an error. Every study weighs the same, however many measurements it has.

    Args:
        measurements: Those that may be used.

    Returns:
        Standard deviation between speakers of the log error, and its degrees of freedom.

    Raises:
        ValueError: Fewer than two studies have several speakers, or they differ by less than
            their sampling noise, so that the degrees of freedom are without end.
    """
    from scipy.optimize import brentq
    from scipy.special import digamma, polygamma

    rows: dict[str, list[tuple[float, float]]] = {}
    for measurement in measurements:
        wrong, trials = _by_speaker(measurement)
        variance, freedom = variance_between(wrong, trials), effective_number(trials) - 1
        if variance:
            centred = np.log(variance) - digamma(freedom / 2) + np.log(freedom / 2)
            rows.setdefault(measurement.study, []).append((centred, polygamma(1, freedom / 2)))
    if len(rows) < 2:
        raise ValueError("a prior needs two studies of several speakers")
    studies = [np.array(found) for found in rows.values()]
    means = np.array([found[:, 0].mean() for found in studies])
    within = np.mean([found[:, 0].var(ddof=min(1, len(found) - 1)) for found in studies])
    noise = np.mean([found[:, 1].mean() for found in studies])
    excess = float(means.var(ddof=1) + within - noise)
    if excess <= 0:
        raise ValueError("studies differ by no more than their sampling noise")
    freedom = 2 * float(brentq(lambda half: polygamma(1, half) - excess, 1e-3, 1e6))
    log_variance = means.mean() + digamma(freedom / 2) - np.log(freedom / 2)
    return float(np.exp(log_variance / 2)), freedom


def usable(measurements: Iterable[Measurement]) -> list[Measurement]:
    """Those with errors by utterance, some of them, of the most speakers of their study."""
    several = [
        m
        for m in measurements
        if len(set(m.speakers)) > 1 and any(wrong for wrong, _ in m.utterance_errors)
    ]
    most: dict[str, int] = {}
    for m in several:
        most[m.study] = max(most.get(m.study, 0), len(set(m.speakers)))
    return [m for m in several if len(set(m.speakers)) == most[m.study]]


def _by_speaker(measurement: Measurement) -> tuple[Array, Array]:
    table = np.array(measurement.utterance_errors, dtype=float)
    member = membership(measurement.labels) if measurement.labels else np.ones((len(table), 1))
    wrong, trials = (sums_by(table[:, [side]] * member, measurement.speakers) for side in (0, 1))
    return wrong, trials


if __name__ == "__main__":
    found = usable(catalogue())
    deviation, freedom = speaker_prior(found)
    names = ", ".join(sorted({m.study for m in found}))
    sys.stdout.write(
        f"sd {deviation:.3f}, {freedom:.2f} degrees of freedom"
        f" ({len(found)} measurements of {names})\n"
    )
