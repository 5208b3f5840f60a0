"""Word errors and the interval of their ratio."""

import numpy as np
import pytest

pytest.importorskip("jiwer")
pytest.importorskip("transformers")

from measurements.scoring import WordErrors, normalise, word_error_rate, word_errors


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
