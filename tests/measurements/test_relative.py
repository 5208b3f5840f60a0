"""Ratios of errors on the same utterances, and levels that follow from them."""

import math

import numpy as np
import pytest

from measurements.records import DatasetInfo, Measurement, Metric, PairedRatio
from measurements.relative import log_ratio
from measurements.store import Store
from measurements.studies import evidence_for
from models_registry import Configuration

GOOD, BAD = Configuration(model="base"), Configuration(model="tiny.en")


def simulated(rng, speakers, utterances, share):
    """Two systems on speakers of unequal difficulty; one suits some of them better."""
    who = np.repeat(np.arange(speakers), utterances)
    words = rng.integers(5, 30, len(who))
    hard = np.exp(rng.normal(-2.5, 0.6, speakers))[who]
    suits = share * np.exp(rng.normal(-0.03, 0.25, speakers))[who]
    rival = rng.binomial(words, np.minimum(hard, 0.9))
    return rng.binomial(words, np.minimum(hard * suits, 0.9)), rival, words, who.astype(str)


@pytest.mark.parametrize("speakers", [4, 20])
def test_the_spread_of_a_ratio_is_that_over_speakers(speakers):
    """Catches a spread by utterance, half as wide, and one without Student's t."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(300):
        wrong, rival, words, who = simulated(rng, speakers, 40, 1.3)
        ratio, se = log_ratio(wrong, rival, words, speakers=who)
        inside += abs(ratio - math.log(1.3)) < 1.645 * se
    assert 0.83 < inside / 300 < 0.97


def test_a_ratio_needs_no_level():
    """Hard words for both leave it as it is; equal errors still have a width."""
    words, wrong = np.full(40, 10), np.arange(40) % 4
    ratio, se = log_ratio(2 * wrong, wrong, words)
    assert ratio == pytest.approx(math.log(2))
    same, least = log_ratio(wrong, wrong, words)
    assert same == 0
    assert 0 < least < se + 0.1
    nothing, _ = log_ratio(np.zeros(40), wrong, words)
    assert math.isfinite(nothing)


def test_the_ratio_of_emotions_is_that_of_means_over_classes():
    """Catches a rare emotion that weighs no more than its clips."""
    labels = ["angry"] * 90 + ["sad"] * 10
    wrong = [1] * 9 + [0] * 81 + [1] * 5 + [0] * 5
    rival = [1] * 9 + [0] * 81 + [1] * 1 + [0] * 9
    ratio, se = log_ratio(wrong, rival, [1] * 100, labels=labels)
    assert ratio == pytest.approx(math.log((0.1 + 0.5) / (0.1 + 0.1)))
    assert se > 0


@pytest.fixture
def store(tmp_path):
    opened = Store.open(f"sqlite:///{tmp_path / 's.db'}")
    yield opened
    opened.close()


def measured(configuration, wer, *, utterances, speech, **fields):
    return Measurement(
        key=f"{configuration.model}-{utterances}",
        study="asr-x",
        configuration=configuration,
        source="measured",
        provenance="a test",
        dataset=DatasetInfo(
            name="x", fingerprint=speech, utterances=utterances, reference_words=10 * utterances
        ),
        metric=Metric(name="wer", value=wer, se=wer / 10),
        **fields,
    )


def level(store, configuration, **asked):
    found = evidence_for("asr", "asr-x", store, **asked).in_study
    return next((o for o in found if o.configuration == configuration), None)


def test_the_level_of_a_run_that_ended_early_follows_from_the_other_s(store):
    """An easy start does not make the loser the winner."""
    rival = measured(GOOD, 0.10, utterances=400, speech="all")
    paired = PairedRatio(to=rival.key, log_ratio=math.log(1.5), log_se=0.08, utterances=25)
    # Its own 25 utterances were so easy that it made fewer errors than the other on all.
    lost = measured(BAD, 0.06, utterances=25, speech="first", paired=paired)
    store.add_measurements([rival, lost])
    found, theirs = level(store, BAD), level(store, GOOD)
    assert found.error == pytest.approx(0.15)
    assert found.log_se == pytest.approx(math.hypot(0.1, 0.08))
    # The two differ by the ratio's spread, not by that of both levels.
    assert math.hypot(found.own_log_se, theirs.own_log_se) == pytest.approx(0.08, rel=0.01)
    assert theirs.error == pytest.approx(0.10)
    # Without the other nothing is known of its level.
    assert level(store, BAD, without=[rival.key]) is None


def test_a_run_of_all_utterances_takes_the_place_of_one_that_ended_early(store):
    rival = measured(GOOD, 0.10, utterances=400, speech="all")
    paired = PairedRatio(to=rival.key, log_ratio=math.log(1.5), log_se=0.08, utterances=25)
    store.add_measurements(
        [
            rival,
            measured(BAD, 0.06, utterances=25, speech="first", paired=paired),
            measured(BAD, 0.13, utterances=400, speech="all"),
        ]
    )
    assert level(store, BAD).error == pytest.approx(0.13)
    assert level(store, BAD).runs == 1


def test_a_level_that_ended_its_own_run_is_less_sure(store):
    """Held against a target there is no ratio; what looks extreme is partly chance."""
    store.add_measurements(
        [
            measured(GOOD, 0.10, utterances=50, speech="one"),
            measured(BAD, 0.20, utterances=25, speech="two", ended="worse"),
        ]
    )
    assert level(store, BAD).error == pytest.approx(0.20)
    assert level(store, BAD).log_se > 1.4 * level(store, GOOD).log_se
