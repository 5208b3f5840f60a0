"""Fronts against a plain loop, and what is said of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import InsufficientDataError
from planner.evidence import Evidence
from planner.fronts import front_rows
from planner.question import Budget, FrontQuestion
from planner.recommend import Planner
from tests.planner.test_recommend import DEVICES, STAR, observed

COSTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40)


@given(COSTS)
@settings(max_examples=200)
def test_a_front_is_what_nothing_else_beats(pairs):
    """Against all pairs: would catch ties kept twice, or a point that is dominated."""
    x, y = np.array(pairs, dtype=float).T
    rows = front_rows(x, y).tolist()
    for row, (a, b) in enumerate(pairs):
        beaten = any(p <= a and q <= b and (p, q) != (a, b) for p, q in pairs)
        assert beaten or (a, b) in [pairs[r] for r in rows]
        assert not (beaten and row in rows)
    assert len({pairs[r] for r in rows}) == len(rows)
    assert [pairs[r][0] for r in rows] == sorted(pairs[r][0] for r in rows)


@pytest.fixture(scope="module")
def planner():
    return Planner(
        Evidence(task="asr", study="world", observations=tuple(observed(STAR)), devices=DEVICES)
    )


def test_any_two_axes_make_a_front(planner):
    question = FrontQuestion(x="rtf", y="memory_gib", device="box")
    front = planner.front(question)
    assert (front.x_unit, front.y_unit) == ("s/s", "GiB")
    assert all(p.x.lower < p.x.mean < p.x.upper for p in front.points)
    turned = planner.front(FrontQuestion(x="memory_gib", y="rtf", device="box"))
    assert [p.configuration for p in turned.points] == [
        p.configuration for p in reversed(front.points)
    ]
    assert turned.hypervolume.mean == pytest.approx(front.hypervolume.mean)


def test_the_knee_lies_inside_and_bends_most(planner):
    front = planner.front(FrontQuestion())
    assert 0 < front.knee < len(front.points) - 1
    costs = np.log([p.x.mean for p in front.points])
    errors = np.array([p.y.mean for p in front.points])
    across = (costs - costs[0]) / (costs[-1] - costs[0])
    down = (errors - errors[-1]) / (errors[0] - errors[-1])
    assert across[front.knee] + down[front.knee] == pytest.approx(min(across + down))


def test_a_budget_takes_points_away_and_hypervolume_is_a_share(planner):
    whole = planner.front(FrontQuestion())
    part = planner.front(FrontQuestion(budget=Budget(memory_gib=1.5)))
    assert len(part.points) < len(whole.points)
    for front in (whole, part):
        volume = front.hypervolume
        assert 0 < volume.lower <= volume.mean <= volume.upper < 1


def test_axes_that_nothing_is_known_of_are_refused(planner):
    with pytest.raises(ValueError, match="rtf belongs to a device"):
        FrontQuestion(x="rtf")
    with pytest.raises(ValueError, match="two axes"):
        FrontQuestion(x="rtf", y="rtf", device="box")
    with pytest.raises(InsufficientDataError, match="device_watts"):
        planner.front(FrontQuestion(x="joules_per_audio_second", device="box"))
