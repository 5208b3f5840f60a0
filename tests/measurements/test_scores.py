"""How predictions fare: intervals, interval scores, probability integral transforms."""

import math

import numpy as np
import pytest

from measurements.coverage import covered
from measurements.records import Metric, PairedRatio
from measurements.scores import PredictedRatio, ratio_score, score
from measurements.verification import level_score
from models_registry import Configuration
from planner.answer import Estimate
from planner.quantiles import normal_quantile

Z = normal_quantile(0.95)


def estimate(mean=0.1, lower=0.08, upper=0.12, unit="fraction"):
    return Estimate(
        mean=mean,
        lower=lower,
        upper=upper,
        level=0.9,
        unit=unit,
        basis="interpolated",
        source="predicted",
        provenance="made up",
    )


def test_a_run_s_own_noise_widens_what_was_predicted():
    def inside(value, se):
        return level_score(estimate(), Metric(name="wer", value=value, se=se)).inside

    assert inside(0.119, None)
    assert not inside(0.125, None)
    assert inside(0.125, 0.01)
    assert not inside(0.13, 0.01)


def test_the_interval_score_is_that_of_gneiting_and_raftery():
    ends = estimate(1.0, math.exp(-0.2), math.exp(0.3))
    hit = score(ends, math.exp(0.1))
    assert (hit.inside, hit.width, hit.interval_score) == (
        True,
        pytest.approx(0.5),
        pytest.approx(0.5),
    )
    missed = score(ends, math.exp(-0.25))
    assert missed.inside is False
    assert missed.interval_score == pytest.approx(0.5 + 2 / 0.1 * 0.05)


def test_the_transform_is_the_probability_of_less():
    ends = estimate(1.0, math.exp(-0.2), math.exp(0.2))
    assert score(ends, 1.0).pit == pytest.approx(0.5)
    assert score(ends, math.exp(0.2)).pit == pytest.approx(0.95)
    assert score(ends, math.exp(-0.2)).pit == pytest.approx(0.05)


def test_accuracies_are_scored_by_their_errors():
    found = score(estimate(0.9, 0.85, 0.92), 0.84, accuracy=True)
    assert (found.inside, found.predicted.mean, found.measured) == (False, 0.9, 0.84)
    assert found.width == pytest.approx(math.log(0.15 / 0.08))
    # A lower accuracy is a larger error.
    assert found.pit > 0.95
    nothing = level_score(estimate(0.9, 0.85, 0.95), Metric(name="ua", value=1.0, se=None))
    assert math.isfinite(nothing.interval_score)


def fared(rng, confidence):
    """A ratio predicted from a level that was measured on the same utterances, and measured.

    ``confidence`` is the stated over the true spread of what the curves say of the difference.
    """
    curve, own, paired = 0.06, 0.05, math.hypot(0.05, 0.05)
    theirs, mine = rng.normal(0, own, 2)
    shape = rng.normal(0, curve)
    # The prediction follows the other's level as it was measured; the true log ratio is 0.
    spread = math.hypot(confidence * curve, own)
    mean, reach = math.exp(shape), math.exp(Z * spread)
    predicted = PredictedRatio(
        to=Configuration(model="base"),
        measurement="other",
        predicted=estimate(mean, mean / reach, mean * reach, unit="ratio"),
        log_se=own,
    )
    measured = PairedRatio(to="other", log_ratio=mine - theirs, log_se=paired, utterances=9)
    return ratio_score(predicted, measured)


@pytest.mark.parametrize(("confidence", "least", "most"), [(1, 0.86, 0.94), (0.3, 0, 0.86)])
def test_ratios_are_covered_as_often_as_promised_and_overconfidence_shows(confidence, least, most):
    """Catches the other's noise, which the prediction knows, and which is added once more."""
    rng = np.random.default_rng(0)
    found = [fared(rng, confidence) for _ in range(2000)]
    assert least < np.mean([one.inside for one in found]) < most


def test_a_pair_that_is_alike_is_judged_by_what_was_stated():
    """Catches an interval that is narrower than the one that was shown."""
    predicted = PredictedRatio(
        to=Configuration(model="base"),
        measurement="other",
        predicted=estimate(0.92, 0.8, 1.08, unit="ratio"),
        log_se=0.1,
    )
    alike = PairedRatio(to="other", log_ratio=0.0, log_se=0.001, utterances=25)
    assert ratio_score(predicted, alike).inside
    assert ratio_score(predicted, alike).width == pytest.approx(math.log(1.08 / 0.8), rel=1e-3)
    few = alike.model_copy(update={"log_se": 0.5})
    assert ratio_score(predicted, few).width > 3 * math.log(1.08 / 0.8)


def test_nothing_judged_makes_no_record():
    assert covered([]) == []
