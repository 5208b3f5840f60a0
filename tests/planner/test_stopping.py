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
    """Either verdict is wrong; would catch looking often without paying for it."""
    rng = np.random.default_rng(0)
    found = [stopped(rng, 1.0) for _ in range(400)]
    assert found.count("better") / 400 <= 0.12
    assert found.count("worse") / 400 <= 0.12


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
