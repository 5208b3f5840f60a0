"""Word errors and the interval of their ratio."""

import math
import unicodedata
from importlib.metadata import version

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("jiwer")
pytest.importorskip("whisper_normalizer")

from measurements.plain_text import PLAIN, plain
from measurements.scoring import (
    NORMALISER,
    WordErrors,
    mean_recall,
    normalise,
    unweighted_accuracy,
    word_error_rate,
    word_errors,
)
from measurements.statistics import counts_interval
from tests.measurements.golden_scoring import PAIRS


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


@pytest.mark.parametrize(
    ("reference", "hypothesis", "substitutions", "deletions", "insertions"),
    [pytest.param(*pair, id=why) for why, *pair in PAIRS],
)
def test_hostile_pairs(reference, hypothesis, substitutions, deletions, insertions):
    found = word_errors(reference, hypothesis)
    assert (found.substitutions, found.deletions, found.insertions) == (
        substitutions,
        deletions,
        insertions,
    )
    back = word_errors(hypothesis, reference)
    assert (back.substitutions, back.deletions, back.insertions) == (
        substitutions,
        insertions,
        deletions,
    )


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("text", ["so{}it", "so {} it", "so it {}", "{} so it", "{}"])
def test_every_character_with_a_plain_twin_scores_like_it(text, language):
    """Those of the table, and those of Unicode's compatibility forms that are no marks."""
    twins = dict(PLAIN)
    for code in [*range(0x10000), *range(0x1D400, 0x1D800)]:
        twin = unicodedata.normalize("NFKC", chr(code))
        apart = unicodedata.category(chr(code)) in ("No", "Mn", "Mc", "Lo", "Sk", "Cs")
        if twin != chr(code) and chr(code) not in PLAIN and not apart:
            twins[chr(code)] = twin
    assert len(twins) > 1500
    odd = {
        hex(ord(character)): twin
        for character, twin in twins.items()
        if normalise(text.format(character), language) != normalise(text.format(twin), language)
    }
    assert odd == {}


@pytest.mark.parametrize("language", ["en", "de"])
def test_no_character_that_is_not_seen_takes_a_word_apart(language):
    hidden = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) == "Cf"]
    assert len(hidden) > 100
    whole = normalise("cooperate", language)
    assert {normalise(f"co{c}operate", language) for c in hidden} == {whole}


def test_numbers_currencies_and_contractions_are_the_reference_normaliser_s():
    """On plain text, where no sign stands by itself, word for word those of the pinned package."""
    from whisper_normalizer.english import EnglishTextNormalizer

    assert version("whisper-normalizer") in NORMALISER
    reference = EnglishTextNormalizer()
    numbers = "two hundred and five dollars, $5.50 and ten cents, 5%, 20,000, 1st, one oh one"
    for text in (
        numbers,
        "he'd been where she'd gone; they're not what we've got, y'all can't",
        "Mr. Smith won't; the COLOUR of Dr. Jones's theatre isn't grey",
        "twenty-five thousand three hundred pounds, minus four point two, double seven",
    ):
        assert normalise(text) == reference(text).strip()


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_any_text_is_normalised_once_and_for_all(text):
    for language in ("en", "de"):
        found = normalise(plain(text, language), language)
        assert found == normalise(text, language)
        assert all(any(c.isalnum() for c in word) for word in found.split())


def test_a_number_of_a_decoder_that_ran_away_is_scored():
    assert word_errors("nine", "9" * 5000).total > 0


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


NOISE = WordErrors(0, 0, 1, 0)
"""A clip without words in which one was heard."""


@pytest.mark.parametrize(
    "errors",
    [
        [WordErrors(1, 0, 0, 8)],
        [WordErrors(0, 0, 0, 8)] * 3,
        [WordErrors(8, 0, 0, 8)] * 3,
        [WordErrors(8, 0, 10, 8)] * 3,
        [WordErrors(1, 0, 0, 10)] * 5,
        [WordErrors(1, 0, 0, 8), NOISE, NOISE],
        [WordErrors(0, 0, 0, 8), WordErrors(0, 0, 0, 9), NOISE],
    ],
    ids=["one clip", "no error", "all wrong", "above 1", "equal", "one with words", "noise"],
)
@pytest.mark.parametrize("speakers", [(), "abcdefg"])
def test_too_little_to_resample_is_wide_not_sure(errors, speakers):
    interval = word_error_rate(errors, speakers=list(speakers[: len(errors)]))
    assert interval.lower <= interval.value <= interval.upper < math.inf
    # Of fewer than 100 words, nothing is known to a tenth of the rate or a point.
    assert interval.upper - interval.lower > max(0.05, interval.value / 10)
    assert 0 < interval.se < math.inf


clips = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 40), st.sampled_from("abcde")),
    min_size=1,
    max_size=30,
).filter(lambda drawn: any(words for _, words, _ in drawn))


@settings(max_examples=200, deadline=None)
@given(clips, st.booleans(), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_any_counts_have_an_interval_of_a_width(drawn, with_speakers, level):
    errors = [WordErrors(wrong, 0, 0, words) for wrong, words, _ in drawn]
    speakers = [who for *_, who in drawn] if with_speakers else ()
    found = word_error_rate(errors, speakers=speakers, level=level)
    assert 0 <= found.lower <= found.value <= found.upper < math.inf
    assert found.lower < found.upper
    assert 0 < found.se < math.inf
    counted = counts_interval(*zip(*[(wrong, words) for wrong, words, _ in drawn], strict=True))
    many = counts_interval(*zip(*[(wrong, words) for wrong, words, _ in drawn] * 4, strict=True))
    assert many.upper - many.lower < counted.upper - counted.lower


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from("xyz"), st.sampled_from("abcde")), min_size=1)
)
def test_any_clips_have_an_interval_of_a_width(drawn):
    wrong, labels, speakers = zip(*drawn, strict=True)
    found = unweighted_accuracy(list(map(int, wrong)), labels, speakers)
    assert 0 <= found.lower <= found.value <= found.upper <= 1
    assert found.lower < found.upper
    assert 0 < found.se < math.inf


def test_words_heard_in_silence_are_errors_of_the_rest():
    found = word_error_rate([WordErrors(1, 0, 0, 8), WordErrors(0, 0, 0, 8), NOISE, NOISE])
    assert found.value == pytest.approx(3 / 16)


def test_few_clips_cover():
    """A bootstrap over three utterances would cover 63 to 74 % of these."""
    rng = np.random.default_rng(0)
    inside = 0
    for seed in range(300):
        words = rng.integers(5, 30, 3)
        wrong = rng.poisson(words * rng.gamma(2.0, 0.05, 3))
        errors = [WordErrors(int(w), 0, 0, int(n)) for w, n in zip(wrong, words, strict=True)]
        interval = word_error_rate(errors, seed=seed)
        inside += interval.lower <= 0.1 <= interval.upper
    assert inside / 300 > 0.92


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
