"""Two configurations on the same utterances, compared in pairs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Literal

import numpy as np

from measurements.records import Measurement, Record
from measurements.speakers import JACKKNIFE, paired_speaker_interval
from measurements.statistics import (
    BATCH,
    BY_UTTERANCE,
    Array,
    batches,
    membership,
    ratio_error,
    resampled_sums,
    sums_by,
    with_width,
)

PERMUTATIONS = 9999


class ComparisonError(ValueError):
    """Two measurements that can't be compared, and why."""


class Difference(Record):
    """An interval of a difference, and how surely it is one.

    Attributes:
        lower: Lower end.
        upper: Upper end.
        level: Probability of the interval.
        p_value: Two-sided, by flipping the sign of every unit's difference at random; none
            if not asked for.
        units: Utterances or speakers.
        method: How the interval was made.
    """

    lower: float
    upper: float
    level: float
    p_value: float | None
    units: int
    method: str


class Comparison(Record):
    """B against A on the same utterances.

    Attributes:
        metric: ``wer`` or ``ua``.
        a: Key of the first measurement.
        b: Key of the second.
        value_a: Metric of the first, a fraction.
        value_b: Metric of the second.
        difference: ``value_b - value_a``.
        relative: The same as a share of ``value_a``; none where that is 0.
        by_utterance: Interval if other utterances of these speakers had been drawn.
        by_speaker: Interval if other speakers had been drawn; none where speakers are not known.
        utterances: How many were compared.
        differing: On how many the two made a different number of errors.
    """

    metric: Literal["wer", "ua"]
    a: str
    b: str
    value_a: float
    value_b: float
    difference: float
    relative: float | None
    by_utterance: Difference
    by_speaker: Difference | None
    utterances: int
    differing: int

    @property
    def surest(self) -> Difference:
        """The interval to go by: over speakers where they are known."""
        return self.by_speaker or self.by_utterance


def compare(
    a: Measurement, b: Measurement, *, level: float = 0.95, seed: int = 0, test: bool = True
) -> Comparison:
    """How B differs from A on the same utterances.

    By utterance: percentile bootstrap of the paired difference. By speaker, where
    they are known: jackknife over speakers with t quantiles
    (:func:`~measurements.speakers.paired_speaker_interval`); on simulated pairs it covered
    95, 95, 94, 95 % with 4, 7, 10, 20 speakers of 10 utterances each and 94 to 97 %
    with unequal numbers, where a bootstrap over 7 speakers covered 86 %. Where every unit
    differs by the same, and neither has a spread, the interval is that of the errors which are
    one's alone (:func:`~measurements.statistics.with_width`). P-values by sign flips of each
    utterance's, or each speaker's, difference.

    Args:
        a: The reference.
        b: What is held against it.
        level: Probability of the intervals.
        seed: Seed of resampling.
        test: Whether p-values are needed, which take most of the time.

    Raises:
        ComparisonError: They are not of the same utterances, or of another metric.
    """
    _check(a, b)
    wrong_a, trials = _counts(a, a.labels or b.labels)
    wrong_b, _ = _counts(b, a.labels or b.labels)
    speakers = a.speakers or b.speakers
    clustered = None
    if len(set(speakers)) > 1:
        sums = [sums_by(counts, speakers) for counts in (wrong_a, wrong_b, trials)]
        clustered = _difference_by_speaker(*sums, level=level, seed=seed, test=test)
    by_utterance = _difference_by_utterance(
        wrong_a, wrong_b, trials, level=level, seed=seed, test=test
    )
    values = a.metric.value, b.metric.value
    difference = values[1] - values[0]
    if a.metric.name == "ua":
        by_utterance, clustered = _mirrored(by_utterance), clustered and _mirrored(clustered)
    return Comparison(
        metric=a.metric.name,
        a=a.key,
        b=b.key,
        value_a=values[0],
        value_b=values[1],
        difference=difference,
        relative=difference / values[0] if values[0] else None,
        by_utterance=by_utterance,
        by_speaker=clustered,
        utterances=len(trials),
        differing=int((wrong_a != wrong_b).any(axis=1).sum()),
    )


def _check(a: Measurement, b: Measurement) -> None:
    for one in (a, b):
        if not one.utterance_errors:
            raise ComparisonError(
                f"{one.configuration.label()} ({one.key[:12]}) is known without its errors by"
                f" utterance ({one.source}): measure it here"
            )
    if a.metric.name != b.metric.name:
        raise ComparisonError(f"one is measured in {a.metric.name}, the other in {b.metric.name}")
    if a.dataset.fingerprint != b.dataset.fingerprint:
        raise ComparisonError(
            f"not the same speech: {a.key[:12]} is of {_speech(a)}, {b.key[:12]} of {_speech(b)}"
        )
    if len(a.utterance_errors) != len(b.utterance_errors):
        raise ComparisonError("not the same number of utterances")


def _speech(m: Measurement) -> str:
    fingerprint = (m.dataset.fingerprint or "")[:8]
    return f"{m.dataset.utterances} utterances of {m.dataset.name} ({fingerprint})"


def _counts(m: Measurement, labels: Sequence[str]) -> tuple[Array, Array]:
    """Errors and trials, shape ``(utterances, ratios)``: a ratio for each emotion in SER."""
    table = np.array(m.utterance_errors, dtype=float)
    if m.metric.name == "wer":
        return table[:, :1], table[:, 1:]
    if len(labels) != len(table):
        raise ComparisonError(f"{m.key[:12]} is known without the emotion of each utterance")
    member = membership(labels)
    return table[:, :1] * member, table[:, 1:] * member


def _difference_by_utterance(
    wrong_a: Array, wrong_b: Array, trials: Array, *, level: float, seed: int, test: bool
) -> Difference:
    more = wrong_b - wrong_a
    if len(more) < 2:
        raise ComparisonError("a comparison needs at least two utterances")
    lower, upper = np.quantile(_resampled(more, trials, seed), [0.5 - level / 2, 0.5 + level / 2])
    lower, upper = with_width(lower, upper, more, trials, level)
    return Difference(
        lower=float(lower),
        upper=float(upper),
        level=level,
        p_value=_p_value(wrong_a, wrong_b, trials, seed) if test else None,
        units=len(more),
        method=f"paired {BY_UTTERANCE}",
    )


def _resampled(more: Array, trials: Array, seed: int) -> Array:
    """The difference on resampled utterances; draws without a trial say nothing of it."""
    ratios = more.shape[1]
    sums = resampled_sums(np.hstack([more, trials]), seed)
    sums = sums[sums[:, ratios:].any(axis=1)]
    return ratio_error(sums[:, :ratios], sums[:, ratios:])


def _difference_by_speaker(
    wrong_a: Array, wrong_b: Array, trials: Array, *, level: float, seed: int, test: bool
) -> Difference:
    more = wrong_b - wrong_a
    lower, upper = paired_speaker_interval(more, trials, level)
    lower, upper = with_width(lower, upper, more, trials, level)
    return Difference(
        lower=lower,
        upper=upper,
        level=level,
        p_value=_p_value(wrong_a, wrong_b, trials, seed) if test else None,
        units=len(trials),
        method=f"paired {JACKKNIFE}",
    )


def _p_value(wrong_a: Array, wrong_b: Array, trials: Array, seed: int) -> float:
    """Two-sided sign-flip test: A and B change places in each unit at random."""
    # A unit's share of the error; the shares add up to it.
    totals = np.maximum(trials.sum(axis=0), 1)
    shares = [(wrong / totals).mean(axis=1) for wrong in (wrong_a, wrong_b)]
    if np.array_equal(*shares):
        return 1.0
    more = shares[1] - shares[0]
    observed, flipped = more.sum(), _flipped(more, seed)
    # Sums of the same numbers in another order are no larger.
    close = 100 * np.finfo(float).eps * abs(observed)
    sides = [(flipped <= observed + close).sum(), (flipped >= observed - close).sum()]
    # What was observed is one of them itself, and drawn where not all are gone through.
    own = 0 if len(flipped) < PERMUTATIONS else 1
    return float(min(1.0, 2 * (min(sides) + own) / (len(flipped) + own)))


def _flipped(more: Array, seed: int) -> Array:
    """Sums with signs flipped: in all ways where those are few, else as scipy.stats draws them."""
    if 2 ** len(more) <= PERMUTATIONS:
        return np.array(list(product((1.0, -1.0), repeat=len(more)))) @ more
    rng = np.random.default_rng(seed)
    signs = np.tile([1.0, -1.0], (BATCH, len(more), 1))
    return np.concatenate(
        [(rng.permuted(signs, axis=-1)[:rows, :, 0]) @ more for rows in batches(PERMUTATIONS)]
    )


def _mirrored(of_error: Difference) -> Difference:
    """The interval of an accuracy's difference from that of the error's."""
    return of_error.model_copy(update={"lower": -of_error.upper, "upper": -of_error.lower})
