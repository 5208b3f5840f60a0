"""Intervals over speakers and paired differences, against simulated speech."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from measurements.catalogue import catalogue
from measurements.catalogue.speaker_prior import speaker_prior, usable
from measurements.comparison import PERMUTATIONS, ComparisonError, compare
from measurements.speakers import (
    BY_SPEAKER,
    PRIOR_FREEDOM,
    PRIOR_SD,
    _t_quantile,
    paired_speaker_interval,
    speaker_interval,
)
from measurements.statistics import (
    BY_UTTERANCE,
    RESAMPLES,
    membership,
    ratio_error,
    sums_by,
)

RATE = 0.1


def simulated(rng, speakers, utterances=10, worse=1.25, fluctuation=0.15):
    """Errors of A and B, words, speakers; B makes 0.3 * (worse - 1) more of A's errors."""
    who = np.repeat(np.arange(speakers), utterances)
    words = rng.integers(5, 35, len(who))
    # Log-normal difficulty by speaker and exponential by utterance, both of mean 1.
    hard = np.exp(rng.normal(-0.125, 0.5, speakers))[who] * rng.exponential(size=len(who))
    rate = np.minimum(RATE * hard, 1)
    change = worse * np.exp(rng.normal(-(fluctuation**2) / 2, fluctuation, speakers))[who]
    shared = rng.binomial(words, 0.7 * rate)
    a = shared + rng.binomial(words, 0.3 * rate)
    b = shared + rng.binomial(words, np.minimum(0.3 * rate * change, 1))
    return a, b, words, [f"s{n}" for n in who]


def made(key, counts, words, speakers=(), **changes):
    base = catalogue()[0]
    value = float(np.sum(counts) / np.sum(words))
    return base.model_copy(
        update={
            "key": key * 16,
            "source": "measured",
            "dataset": base.dataset.model_copy(
                update={"fingerprint": "f", "utterances": len(words)}
            ),
            "metric": base.metric.model_copy(update={"value": value}),
            "utterance_errors": tuple(zip(map(int, counts), map(int, words), strict=True)),
            "speakers": tuple(speakers),
            **changes,
        }
    )


@pytest.mark.parametrize(("speakers", "uneven"), [(5, False), (8, True), (20, False)])
def test_intervals_over_speakers_cover(speakers, uneven):
    """A bootstrap over 5 speakers would cover 79 %, one over utterances less."""
    rng = np.random.default_rng(1)
    inside_level = inside_difference = 0
    trials = 300
    truth = 0.3 * 0.25 * RATE
    for _ in range(trials):
        a, b, words, who = simulated(rng, speakers)
        if uneven:
            keep = (
                rng.random(len(who)) < rng.uniform(0.2, 1, speakers)[np.repeat(range(speakers), 10)]
            )
            keep[::10] = True
            a, b, words = a[keep], b[keep], words[keep]
            who = [name for name, kept in zip(who, keep, strict=True) if kept]
        interval = speaker_interval(a, words, who)
        assert interval.method == BY_SPEAKER
        inside_level += interval.lower <= RATE <= interval.upper
        lower, upper = paired_speaker_interval(sums_by(b - a, who), sums_by(words, who), 0.95)
        inside_difference += lower <= truth <= upper
    assert 0.90 <= inside_level / trials <= 0.985
    assert 0.91 <= inside_difference / trials <= 0.99


def test_a_pair_is_told_apart_where_the_levels_are_not():
    rng = np.random.default_rng(2)
    a, b, words, who = simulated(rng, 12, 25, worse=2.5, fluctuation=0.05)
    found = compare(made("a", a, words, who), made("b", b, words, who))
    assert found.difference == pytest.approx((b - a).sum() / words.sum())
    assert found.relative == pytest.approx((b - a).sum() / a.sum())
    assert found.utterances == 300
    assert found.differing == int((a != b).sum())
    assert found.by_utterance.units == 300
    assert found.by_speaker.units == 12
    assert found.surest is found.by_speaker
    for side in (found.by_utterance, found.by_speaker):
        assert 0 < side.lower < found.difference < side.upper
        assert side.p_value < 0.01
    levels = [speaker_interval(counts, words, who) for counts in (a, b)]
    assert levels[0].upper > levels[1].lower
    back = compare(made("b", b, words, who), made("a", a, words, who))
    assert back.by_speaker.lower == pytest.approx(-found.by_speaker.upper)


def test_p_values_of_equals_are_spread_evenly():
    """A test that is too eager would reject far more than a tenth of true equals."""
    rng = np.random.default_rng(3)
    small = 0
    for seed in range(40):
        a, b, words, _ = simulated(rng, 6, 8, worse=1.0, fluctuation=0.0)
        small += (
            compare(made("a", a, words), made("b", b, words), seed=seed).by_utterance.p_value < 0.1
        )
    assert small <= 9


def test_equal_results_differ_by_nothing():
    a, _, words, who = simulated(np.random.default_rng(4), 5)
    found = compare(made("a", a, words, who), made("b", a, words, who))
    assert found.difference == found.by_speaker.lower == found.by_utterance.upper == 0
    assert found.by_speaker.p_value == 1
    assert found.differing == 0


def test_a_difference_that_is_the_same_in_every_unit_is_not_exact():
    """Five utterances with one error more each: resampled, they are always one of ten worse."""
    who = [f"s{n}" for n in range(5)]
    found = compare(
        made("a", [1] * 5, [10] * 5, who), made("b", [2] * 5, [10] * 5, who), level=0.95
    )
    for side in (found.by_utterance, found.by_speaker):
        # Five errors are B's alone: Poisson.
        reach = 1.959964 * 5**0.5 / 50
        assert (side.lower, side.upper) == pytest.approx((0.1 - reach, 0.1 + reach), rel=1e-5)


def test_resampled_clips_without_words_say_nothing_of_a_difference():
    """With one clip of three that has words, a quarter of the draws holds none of it."""
    words = [40, 0, 0]
    found = compare(made("a", [4, 0, 0], words), made("b", [8, 0, 0], words))
    assert found.by_utterance.lower < 0.1 < found.by_utterance.upper
    assert found.by_utterance.lower > -0.1


def test_few_speakers_of_invented_words_are_no_worse_than_the_worst():
    interval = speaker_interval([300, 1, 2, 0], [10, 10, 10, 10], list("abcd"))
    assert interval.value < interval.upper <= 30 + 1e-9
    assert 0 <= interval.lower < interval.value


def test_unweighted_accuracy_weighs_emotions_not_utterances():
    """Nine of ten neutral and one of two angry: UA 0.7, not 10/12."""
    labels = ("neutral",) * 10 + ("angry",) * 2
    wrong_a, wrong_b = [0] * 9 + [1, 0, 1], [0] * 12
    base = catalogue()[0].metric
    sides = [
        made(
            key,
            wrong,
            [1] * 12,
            [f"s{n % 4}" for n in range(12)],
            labels=labels,
            metric=base.model_copy(update={"name": "ua", "value": ua}),
        )
        for key, wrong, ua in (("a", wrong_a, 0.7), ("b", wrong_b, 1.0))
    ]
    found = compare(*sides)
    assert found.metric == "ua"
    assert found.difference == pytest.approx(0.3)
    assert found.by_utterance.lower <= 0.3 <= found.by_utterance.upper
    assert found.by_speaker.lower < 0.3 < found.by_speaker.upper
    with pytest.raises(ComparisonError, match="without the emotion"):
        compare(*[side.model_copy(update={"labels": ()}) for side in sides])


def test_what_can_t_be_compared_is_refused_with_the_reason():
    a, b, words, _ = simulated(np.random.default_rng(5), 4)
    one = made("a", a, words)
    other = one.dataset.model_copy(update={"fingerprint": "another", "name": "calls"})
    with pytest.raises(ComparisonError, match=r"not the same speech: .* 40 utterances of calls"):
        compare(one, made("b", b, words, dataset=other))
    with pytest.raises(ComparisonError, match="known without its errors by utterance"):
        compare(one, catalogue()[0])
    assert compare(one, made("b", b, words)).by_speaker is None


def test_one_speaker_has_the_interval_of_the_prior():
    interval = speaker_interval([1, 5], [50, 50], ["x", "x"])
    reach = _t_quantile(0.975, PRIOR_FREEDOM) * PRIOR_SD
    assert (interval.lower, interval.upper) == pytest.approx(
        (0.06 * np.exp(-reach), 0.06 * np.exp(reach))
    )
    with pytest.raises(ValueError, match="nothing was tried"):
        speaker_interval([1], [0], ["x"])


def test_the_prior_is_that_of_the_catalogue():
    found = speaker_prior(usable(catalogue()))
    assert pytest.approx(found, rel=0.05) == (PRIOR_SD, PRIOR_FREEDOM)


def test_a_prior_is_found_again():
    """In 200 simulated studies, whose variances have the prior's distribution."""
    rng = np.random.default_rng(7)
    made_of = []
    for number in range(200):
        sd = 0.4 * np.sqrt(6 / rng.chisquare(6))
        rates = 0.02 * np.exp(rng.normal(0, sd, 12))
        words = np.full(12, 10**7)
        one = made("a", rates * words, words, [f"s{n}" for n in range(12)])
        made_of.append(one.model_copy(update={"study": f"study {number}"}))
    sd, freedom = speaker_prior(made_of)
    assert sd == pytest.approx(0.4, rel=0.2)
    assert 3 < freedom < 12
    with pytest.raises(ValueError, match="two studies"):
        speaker_prior(made_of[:1])


def errors_by(rates, utterances=20, words=50):
    """Utterances of one word rate a speaker, with the speakers' names."""
    pytest.importorskip("jiwer")
    from measurements.scoring import WordErrors

    errors = [
        WordErrors(round(rate * words), 0, 0, words) for rate in rates for _ in range(utterances)
    ]
    return errors, [f"s{n}" for n in range(len(rates)) for _ in range(utterances)]


def test_three_speakers_who_differ_are_told_from_their_utterances():
    from measurements.scoring import word_error_rate

    errors, who = errors_by([0.04, 0.16, 0.30])
    over_speakers, over_utterances = word_error_rate(errors, speakers=who), word_error_rate(errors)
    assert over_speakers.method.startswith(BY_SPEAKER)
    width = over_speakers.upper - over_speakers.lower
    assert width > 2 * (over_utterances.upper - over_utterances.lower)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(1, 60), st.sampled_from("abcd")),
        min_size=2,
        max_size=20,
    ).filter(lambda drawn: any(wrong for wrong, *_ in drawn)),
    st.sampled_from([0.8, 0.9, 0.95, 0.99]),
)
def test_no_fewer_speakers_with_the_same_results_are_surer(drawn, level):
    """Each speaker's utterances again, as those of another one, make no interval wider."""
    pytest.importorskip("jiwer")
    from measurements.scoring import WordErrors, word_error_rate

    errors = [WordErrors(wrong, 0, 0, words) for wrong, words, _ in drawn]
    who = [name for *_, name in drawn]
    few = word_error_rate(errors, speakers=who, level=level)
    many = word_error_rate(errors * 2, speakers=who + [name * 2 for name in who], level=level)
    assert many.value == pytest.approx(few.value)
    assert few.lower <= many.lower + 1e-9
    assert many.upper <= few.upper + 1e-9


def test_fewer_speakers_drawn_from_the_same_have_wider_intervals():
    from measurements.scoring import word_error_rate

    rng = np.random.default_rng(8)
    widths = []
    for speakers in (1, 2, 3, 4, 7):
        found = [
            word_error_rate(errors, speakers=who)
            for errors, who in (
                errors_by(0.1 * np.exp(rng.normal(0, 0.5, speakers))) for _ in range(100)
            )
        ]
        widths.append(np.mean([np.log(one.upper / one.lower) for one in found]))
    assert widths == sorted(widths, reverse=True)


def test_word_error_rates_name_their_method():
    pytest.importorskip("jiwer")
    from measurements.scoring import WordErrors, word_error_rate

    a, _, words, who = simulated(np.random.default_rng(6), 6)
    errors = [WordErrors(int(w), 0, 0, int(n)) for w, n in zip(a, words, strict=True)]
    assert word_error_rate(errors).method.startswith(BY_UTTERANCE)
    for speakers in (who, ["x", "y"] * 30, ["x"] * 60):
        by_speaker = word_error_rate(errors, speakers=speakers)
        assert by_speaker.method.startswith(BY_SPEAKER)
        assert by_speaker.value == word_error_rate(errors).value


@pytest.mark.parametrize("emotions", [False, True])
def test_a_difference_over_utterances_is_that_of_scipy(emotions):
    """Draw by draw: another stream or another weighting of the ratios would be seen."""
    rng = np.random.default_rng(5)
    if emotions:
        a, b = rng.binomial(1, 0.3, 60), rng.binomial(1, 0.25, 60)
        words, labels = np.ones(60, int), [f"e{n}" for n in rng.integers(0, 4, 60)]
    else:
        (a, b, words, _), labels = simulated(rng, 6), ()
    changes = {"labels": tuple(labels)}
    if emotions:
        changes["metric"] = catalogue()[0].metric.model_copy(update={"name": "ua"})
    found = compare(
        made("a", a, words, **changes), made("b", b, words, **changes), level=0.9, seed=3
    ).by_utterance
    member = membership(labels) if emotions else np.ones((len(a), 1))
    more, trials = (b - a)[:, None] * member, words[:, None] * member

    def statistic(index, axis):
        return ratio_error(more[index].sum(axis=-2), trials[index].sum(axis=-2))

    expected = scipy.stats.bootstrap(
        (np.arange(len(a)),),
        statistic,
        vectorized=True,
        n_resamples=RESAMPLES,
        confidence_level=0.9,
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval
    low, high = (-expected.high, -expected.low) if emotions else expected
    assert (found.lower, found.upper) == pytest.approx((low, high), rel=1e-12)


@pytest.mark.parametrize("units", [5, 13, 14, 40])
def test_a_p_value_is_that_of_scipy(units):
    """With all flips, and with drawn ones: 2^13 are fewer than those that are drawn."""
    rng = np.random.default_rng(units)
    words = rng.integers(5, 35, units)
    a, b = rng.binomial(words, 0.2), rng.binomial(words, 0.3)
    found = compare(made("a", a, words), made("b", b, words), seed=2).by_utterance
    expected = scipy.stats.permutation_test(
        (a / words.sum(), b / words.sum()),
        lambda x, y, axis: (y - x).sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        batch=250,
        rng=np.random.default_rng(2),
    )
    assert found.p_value == pytest.approx(float(expected.pvalue), abs=1e-12)


@pytest.mark.parametrize("freedom", [1.0, 2.5, 6.0, 300.0])
def test_the_quantile_of_an_interval_over_speakers_is_student_s(freedom):
    reach = _t_quantile(0.975, freedom)
    assert reach == pytest.approx(float(scipy.stats.t.ppf(0.975, freedom)), rel=1e-12)
