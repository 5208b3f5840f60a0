"""When to stop: the risk is kept however often one looks, and a difference is found."""

import numpy as np
import pytest

from planner.stopping import looks, verdict


def test_looks_double_up_to_all():
    assert list(looks(10)) == [10]
    assert list(looks(25)) == [25]
    assert list(looks(170)) == [25, 50, 100, 170]


def simulated(rng, share):
    """200 utterances of unequal length and difficulty, two systems that differ by a share."""
    words = rng.integers(3, 40, 200)
    hard = rng.gamma(0.5, 0.2, 200)
    rates = np.clip(hard, 0, 0.9), np.clip(hard * share, 0, 0.9)
    return [rng.binomial(words, rate) for rate in rates], words


def stopped(rng, share, risk=0.1):
    (rival, candidate), words = simulated(rng, share)
    sizes = list(looks(200))
    for size in sizes[:-1]:
        found = verdict(
            candidate[:size],
            rival[:size],
            words[:size],
            tolerance=0.0,
            risk=risk,
            of_looks=len(sizes) - 1,
        )
        if found:
            return found
    return None


def test_equal_systems_are_seldom_told_apart():
    """Every verdict is wrong; would catch looking often without paying for it."""
    rng = np.random.default_rng(0)
    found = [stopped(rng, 1.0) for _ in range(400)]
    assert 1 - found.count(None) / 400 <= 0.12


def of_speakers(rng, speakers, utterances, share=1.0):
    """Two systems, one of which suits some speakers better: log sd 0.3 over speakers."""
    who = rng.permutation(np.repeat(np.arange(speakers), utterances))
    words = rng.integers(3, 40, len(who))
    hard = np.exp(rng.normal(-2.8, 0.5, speakers))[who]
    suits = share * np.exp(rng.normal(-0.045, 0.3, speakers))[who]
    rates = np.minimum(hard, 0.9), np.minimum(hard * suits, 0.9)
    return [rng.binomial(words, rate) for rate in rates], words, who.astype(str)


def first_verdict(made):
    (rival, candidate), words, who = made
    sizes = list(looks(len(words)))[:-1]
    for size in sizes:
        found = verdict(
            candidate[:size],
            rival[:size],
            words[:size],
            speakers=who[:size],
            tolerance=0.0,
            risk=0.1,
            of_looks=len(sizes),
        )
        if found:
            return found
    return None


@pytest.mark.parametrize(("speakers", "utterances"), [(7, 10), (20, 50), (4, 100)])
def test_systems_alike_over_all_speakers_are_seldom_told_apart(speakers, utterances):
    """Catches a test that takes a speaker's utterances for independent."""
    rng = np.random.default_rng(2)
    worlds = [of_speakers(rng, speakers, utterances) for _ in range(400)]
    assert sum(first_verdict(made) is not None for made in worlds) / 400 <= 0.12


def test_systems_that_differ_for_every_speaker_are_told_apart():
    rng = np.random.default_rng(3)
    found = [first_verdict(of_speakers(rng, 20, 50, share=1.6)) for _ in range(100)]
    assert found.count("worse") / 100 > 0.8
    assert "better" not in found


def test_one_speaker_says_nothing_of_others():
    rng = np.random.default_rng(4)
    (rival, _), words, who = of_speakers(rng, 1, 200)
    options = {"tolerance": 0.0, "risk": 0.1, "of_looks": 1}
    assert verdict(rival + 3, rival, words, speakers=who, **options) is None
    assert verdict(rival + 3, rival, words, **options) == "worse"
    # Nor does a second who hardly speaks: less than one degree of freedom.
    who[:5] = "another"
    assert verdict(rival + 3, rival, words, speakers=who, **options) is None


@pytest.mark.parametrize(("share", "expected"), [(0.6, "better"), (1.6, "worse")])
def test_systems_that_differ_are_told_apart_early(share, expected):
    rng = np.random.default_rng(1)
    found = [stopped(rng, share) for _ in range(200)]
    assert found.count(expected) / 200 > 0.8
    assert len(set(found) - {expected, None}) == 0


def test_nothing_follows_from_nothing():
    options = {"tolerance": 0.02, "risk": 0.1, "of_looks": 3}
    assert verdict([1], [0], [5], **options) is None
    assert verdict([0] * 30, [0] * 30, [5] * 30, **options) is None
