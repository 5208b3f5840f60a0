"""Errors of a configuration relative to another's on the same utterances.

Two configurations find the same utterances hard, so the ratio of their errors is known far
better than either error. Of a run that ended early nothing else is used: its utterances are
few, and it ended because of what they said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from measurements.datasets import Dataset
from measurements.pairing import OWN_OF_COUNTS, log_error
from measurements.records import Measurement, PairedRatio, UtteranceResult
from measurements.statistics import LEAST_ERRORS, freedom_of, sums_by
from planner.arrays import Array
from planner.evidence import Observation
from planner.quantiles import normal_quantile, t_quantile

_LEVEL = 0.90
"""Probability of the interval that a normal with the stated spread has right."""

_FREEDOM = 4.0
"""Degrees of freedom that the usual variance counts for."""

_BETWEEN_SPEAKERS = 0.2
"""Standard deviation over speakers of the log ratio of two configurations' errors, as believed."""

SELECTED = 1.5
"""By how much a level is less sure that is of a run which ended because of it: simulated 90 %
intervals, so widened, held in 81 to 96 % instead of 61 to 82 % (``benchmarks.statistics``)."""


def log_ratio(
    wrong: Sequence[float],
    rival: Sequence[float],
    trials: Sequence[float],
    *,
    speakers: Sequence[str] = (),
    labels: Sequence[str] = (),
) -> tuple[float, float]:
    """Log ratio of two errors over the same utterances, and its standard error.

    By the delta method: the derivative of the log ratio by the weight of each utterance,
    summed by speaker (Wolter, "Introduction to Variance Estimation", 2007, chapter 6). With one
    speaker, or where speakers are not known, utterances are the units. Of few speakers the
    variance is moderated by the usual one for as many errors and speakers (Smyth, "Linear models
    and empirical Bayes methods", 2004). It is widened by Student's t, so that a normal with this
    spread has its 90 % interval right; the degrees of freedom are the usual variance's and Kish's
    effective number of units, by their errors, less one ("Survey Sampling", 1965).

    Args:
        wrong: Errors of each utterance.
        rival: Those of the other configuration.
        trials: What they are errors of: words, or 1 for a clip.
        speakers: Speaker of each.
        labels: Emotion of each; the error is the mean over emotions then.
    """
    logs, shares = zip(*(log_error(one, trials, labels) for one in (wrong, rival)), strict=True)
    influence = shares[0] - shares[1]
    # A speaker weighs in a ratio of errors as much as the errors on his utterances.
    size: Array = np.asarray(wrong, float) + np.asarray(rival, float)
    if len(set(speakers)) > 1:
        influence, size = sums_by(np.column_stack([influence, size]), speakers).T
    units = len(influence)
    counts = [max(float(np.sum(errors)), LEAST_ERRORS) for errors in (wrong, rival)]
    least = LEAST_ERRORS / max(*counts, 1.0)
    usual = OWN_OF_COUNTS**2 * sum(1 / count for count in counts)
    usual += _BETWEEN_SPEAKERS**2 / max(len(set(speakers)), 1)
    variance, freedom = usual, _FREEDOM
    if units > 1:
        own = freedom_of(size[:, None]) if size.any() else 1.0
        found = units / (units - 1) * float(np.square(influence).sum())
        freedom += own
        variance = (_FREEDOM * usual + own * found) / freedom
    probability = 0.5 + _LEVEL / 2
    se = math.sqrt(variance) * t_quantile(probability, freedom) / normal_quantile(probability)
    return logs[0] - logs[1], max(se, least)


def ratio_to(
    results: Sequence[UtteranceResult], anchor: Measurement, dataset: Dataset
) -> PairedRatio | None:
    """A run's errors over those of a measurement of all utterances of a data set.

    Args:
        results: Of some utterances, or all.
        anchor: What they are compared with.
        dataset: The utterances of the anchor.

    Returns:
        None if the run has no reference words, or the anchor no errors by utterance.
    """
    if len(dataset.utterances) != len(anchor.utterance_errors):
        return None
    if not sum(r.reference_words for r in results):
        return None
    emotion = {u.id: u.reference for u in dataset.utterances}
    ratio, se = log_ratio(
        [r.errors for r in results],
        errors_on(results, anchor, dataset),
        [r.reference_words for r in results],
        speakers=dataset.speakers_of([r.utterance for r in results]),
        labels=[emotion[r.utterance] for r in results] if dataset.task == "ser" else (),
    )
    return PairedRatio(to=anchor.key, log_ratio=ratio, log_se=se, utterances=len(results))


def errors_on(
    results: Sequence[UtteranceResult], other: Measurement, dataset: Dataset
) -> list[int]:
    """Errors of a measurement of a whole data set on the utterances of some results.

    Raises:
        ValueError: It is not of as many utterances as the data set.
    """
    # A measurement has its errors in the order of the utterances' ids.
    ids = sorted(utterance.id for utterance in dataset.utterances)
    errors = dict(zip(ids, other.utterance_errors, strict=True))
    return [errors[r.utterance][0] for r in results]


def ratio_between(measured: Measurement, anchor: Measurement) -> PairedRatio | None:
    """Errors of one measurement over those of another, if both are of the same utterances.

    Of one that ended early it is what was kept of it.
    """
    if measured.paired is not None and measured.paired.to == anchor.key:
        return measured.paired
    errors, theirs = measured.utterance_errors, anchor.utterance_errors
    speech = measured.dataset.fingerprint
    same = speech is not None and speech == anchor.dataset.fingerprint
    if not same or not errors or len(errors) != len(theirs) or measured.study != anchor.study:
        return None
    ratio, se = log_ratio(
        [wrong for wrong, _ in errors],
        [wrong for wrong, _ in theirs],
        [trials for _, trials in errors],
        speakers=measured.speakers,
        labels=measured.labels,
    )
    return PairedRatio(to=anchor.key, log_ratio=ratio, log_se=se, utterances=len(errors))


def through_ratios(
    measurements: Sequence[Measurement], observations: Mapping[str, Observation]
) -> dict[str, Observation]:
    """Observations in which runs that ended early have the other's error times their ratio.

    The spread of the level is that of both, the other's and the ratio's. What is the
    configuration's own of it is such that the two differ by the ratio's spread, of which the one
    with fewer errors has more: its variance goes by the inverse of their number. Such a run is left
    out where the other was left out, or where its configuration was measured on all of the
    utterances later. One that ended for its distance from a target, and was compared with no
    other, keeps its level with a wider spread.

    Args:
        measurements: What was observed.
        observations: As they are, by the measurement's key.
    """
    by_key = {m.key: m for m in measurements}
    # The same run under another description has a new key.
    by_key |= {m.replaces: m for m in measurements if m.replaces is not None}
    whole = {
        (m.study, m.configuration, m.dataset.fingerprint) for m in measurements if m.paired is None
    }
    found = dict(observations)
    for m in measurements:
        if m.paired is None:
            if m.ended is not None:
                own = found[m.key]
                wider = SELECTED * own.log_se * own.error
                found[m.key] = replace(own, error_se=wider, paired_se=None, log_sds=None)
            continue
        other = by_key.get(m.paired.to)
        if other is None or (m.study, m.configuration, other.dataset.fingerprint) in whole:
            del found[m.key]
            continue
        theirs, se = found[other.key], m.paired.log_se
        times = math.exp(m.paired.log_ratio)
        least = min(se * math.sqrt(times / (1 + times)), theirs.log_se)
        if theirs.own_log_se < least or theirs.paired_se is None:
            theirs = replace(theirs, paired_se=least * theirs.error)
            found[other.key] = theirs
        error = theirs.error * times
        if m.metric.name == "ua":
            error = min(error, 1.0)
        apart = math.sqrt(max(se**2 - theirs.own_log_se**2, se**2 / (1 + times)))
        found[m.key] = replace(
            found[m.key],
            error=error,
            error_se=error * math.hypot(theirs.log_se, se),
            paired_se=error * apart,
            log_sds=None,
            provenance=f"{m.provenance}; {times:.3g} times the error of"
            f" {other.configuration.label()}, by {m.paired.utterances} utterances of both",
        )
    return found
