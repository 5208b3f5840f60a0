"""Word errors and the interval of their ratio."""

import numpy as np
import pytest

pytest.importorskip("jiwer")
pytest.importorskip("transformers")

from measurements.scoring import (
    WordErrors,
    mean_recall,
    normalise,
    unweighted_accuracy,
    word_error_rate,
    word_errors,
)


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("Mr. Smith's COLOUR, twenty-one!", "mister smith is color 21"),
        ("MISSUS JONES", "missus jones"),
        ("we'll (laughs) go", "we will go"),
    ],
)
def test_english_normaliser(written, plain):
    """British spelling and numbers: would catch an empty spelling map."""
    assert normalise(written) == plain


def test_counts():
    assert word_errors("THE CAT SAT DOWN", "the cat sit down there") == WordErrors(1, 0, 1, 4)
    assert word_errors("THE CAT SAT DOWN", "the sat down").deletions == 1
    assert word_errors("a b c", "") == WordErrors(0, 3, 0, 3)
    assert word_errors("(noise)", "hello there") == WordErrors(0, 0, 2, 0)


def test_wer_is_a_ratio_of_sums_not_a_mean_of_ratios():
    errors = [WordErrors(1, 0, 0, 1), WordErrors(0, 0, 0, 99)]
    assert word_error_rate(errors).value == pytest.approx(0.01)


def test_the_interval_covers():
    """Coverage of the bootstrap over 200 data sets with a known rate."""
    rng = np.random.default_rng(0)
    inside = 0
    for seed in range(200):
        words = rng.integers(5, 30, 80)
        difficulty = rng.gamma(2.0, 0.05, 80)
        wrong = rng.binomial(words, np.minimum(difficulty, 1))
        errors = [WordErrors(int(w), 0, 0, int(n)) for w, n in zip(wrong, words, strict=True)]
        interval = word_error_rate(errors, seed=seed)
        inside += interval.lower <= 0.1 <= interval.upper
    assert 0.90 <= inside / 200 <= 0.99


@pytest.mark.parametrize("errors", [[WordErrors(1, 0, 0, 8)], [WordErrors(0, 0, 0, 8)] * 3])
def test_too_little_to_resample_is_wide_not_sure(errors):
    interval = word_error_rate(errors)
    assert interval.lower <= interval.value <= interval.upper
    assert interval.upper - interval.lower > 0.05
    assert interval.se > 0


def test_no_words_at_all():
    with pytest.raises(ValueError, match="no words"):
        word_error_rate([WordErrors(0, 0, 0, 0)])


def test_unweighted_accuracy_weighs_classes_and_not_clips():
    """90 of 90 glad and 5 of 10 sad clips recognised: 75 %, though 95 % of the clips are right."""
    wrong = [0] * 90 + [0, 1] * 5
    labels = ["glad"] * 90 + ["sad"] * 10
    assert mean_recall(wrong, labels) == pytest.approx(0.75)
    assert unweighted_accuracy(wrong, labels, ["a", "b"] * 50).value == pytest.approx(0.75)


def test_speakers_who_differ_make_the_interval_wider_than_clips_would():
    rng = np.random.default_rng(0)
    share = rng.beta(2, 2, 24)
    speakers = np.repeat([f"s{index:02d}" for index in range(24)], 50)
    labels = np.tile(["glad", "sad"], 600)
    wrong = rng.binomial(1, np.repeat(share, 50))
    found = unweighted_accuracy(wrong.tolist(), labels.tolist(), speakers.tolist())
    assert found.lower < found.value < found.upper
    # The spread of the speakers' own accuracies, by theory.
    expected = share.std() / 24**0.5
    assert found.se == pytest.approx(expected, rel=0.25)
    clips = unweighted_accuracy(wrong.tolist(), labels.tolist(), [str(i) for i in range(1200)])
    assert clips.se < found.se / 2


def test_no_error_at_all_still_has_an_interval():
    found = unweighted_accuracy([0] * 20, ["a", "b"] * 10, ["x", "y", "z", "x"] * 5)
    assert (found.value, found.upper) == (1, 1)
    assert 0.8 < found.lower < 1
    assert found.se > 0
