"""How a prediction fared against what was measured."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from measurements.records import Amount, PairedRatio, Record
from models_registry import Configuration
from planner.answer import Estimate
from planner.quantiles import normal_probability, normal_quantile

Kind = Literal["level", "ratio"]
"""Whether a figure was judged by itself, or relative to another on the same utterances."""

_LEAST = 1e-6
"""Share of a prediction that an end of its interval, or what was measured, is at least."""


class PredictedRatio(Record):
    """What was predicted of a configuration's errors over those of one that was measured.

    Attributes:
        to: The other configuration.
        measurement: Key of its measurement.
        predicted: The ratio; of UA that of the errors, 1 - UA.
        log_se: Standard error of the other's log error, without what everything measured on the
            same speech shares.
    """

    to: Configuration
    measurement: str
    predicted: Estimate
    log_se: Amount


class Score(Record):
    """A prediction beside what was measured, on the scale of log errors.

    The prediction is a normal of two pieces through its estimate and the ends of its interval,
    widened by the noise of what was measured.

    Attributes:
        kind: Whether the level was judged or the ratio to another configuration.
        to: The other configuration; None of a level.
        predicted: What was predicted of it; of UA the level is UA, the ratio that of errors.
        measured: What was measured of it.
        log_noise: Standard error of the log of ``measured``, paired for a ratio.
        inside: Whether it lies in the interval.
        width: Width of the interval, in log.
        interval_score: Width plus 2 / (1 - level) times the distance by which it was missed
            (Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation",
            2007), in log: lower is better.
        pit: Probability that the prediction gave to less than was measured (probability integral
            transform); uniform from 0 to 1 over good predictions.
    """

    kind: Kind
    to: Configuration | None = None
    predicted: Estimate
    measured: float
    log_noise: Amount
    inside: bool
    width: Amount
    interval_score: Amount
    pit: Annotated[float, Field(ge=0, le=1)]


def score(
    predicted: Estimate,
    measured: float,
    log_noise: float = 0.0,
    *,
    accuracy: bool = False,
    to: Configuration | None = None,
    known: float = 0.0,
) -> Score:
    """Scores a prediction.

    Args:
        predicted: The prediction.
        measured: What was measured.
        log_noise: Standard error of its log, or of the log of 1 - UA.
        accuracy: Whether both are accuracies, so that 1 minus them are the errors.
        to: Of a ratio, the other configuration.
        known: Noise that the prediction's spread holds already: only what exceeds it is added.
    """
    ends = [predicted.lower, predicted.mean, predicted.upper]
    value = measured
    if accuracy:
        ends, value = [1 - end for end in reversed(ends)], 1 - measured
    mean = max(ends[1], _LEAST)
    low, high = (
        _reach(abs(math.log(max(end, _LEAST * mean) / mean)), predicted.level, log_noise, known)
        for end in (ends[0], ends[2])
    )
    off = math.log(max(value, _LEAST * mean) / mean)
    missed = max(-low - off, off - high, 0.0)
    side = (low if off < 0 else high) / normal_quantile(0.5 + predicted.level / 2)
    return Score(
        kind="level" if to is None else "ratio",
        to=to,
        predicted=predicted,
        measured=measured,
        log_noise=log_noise,
        inside=missed == 0.0,
        width=low + high,
        interval_score=low + high + 2 / (1 - predicted.level) * missed,
        pit=normal_probability(off / side) if side else 0.5 + 0.5 * math.copysign(bool(off), off),
    )


def ratio_score(predicted: PredictedRatio, measured: PairedRatio) -> Score:
    """Scores a predicted ratio by the ratio on the same utterances.

    The ratio was predicted over the error that was observed of the other, so that the other's
    noise is known. What is added to the prediction's spread is the rest of the pair's noise, half
    of its variance at least.
    """
    variance = measured.log_se**2
    noise = math.sqrt(max(variance - predicted.log_se**2, variance / 2))
    return score(predicted.predicted, math.exp(measured.log_ratio), noise, to=predicted.to)


def _reach(end: float, level: float, noise: float, known: float) -> float:
    """Distance of an end from the estimate, with the noise that is not known already."""
    quantile = normal_quantile(0.5 + level / 2)
    return math.hypot(end, quantile * math.sqrt(max(noise**2 - known**2, 0.0)))
