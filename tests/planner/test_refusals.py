"""What is said where there is no answer: what nothing holds, and what would be enough."""

import pytest

from planner import words
from planner.errors import NoFeasibleConfigurationError
from planner.question import Budget, FrontQuestion, Question


def refused(planner, **fields):
    budget = Budget(**{k: fields.pop(k) for k in list(fields) if k in Budget.model_fields})
    with pytest.raises(NoFeasibleConfigurationError) as caught:
        planner.recommend(Question(budget=budget, **fields))
    return str(caught.value), caught.value.details


def test_where_nothing_fits_the_relaxed_budget_is_answered(planner):
    with pytest.raises(NoFeasibleConfigurationError) as caught:
        planner.recommend(Question(budget=Budget(gflops_per_utterance=0.1)))
    nearest = caught.value.details["needed"]["gflops_per_utterance"]
    question = Question(
        budget=Budget(gflops_per_utterance=0.9 * nearest), relax={"gflops_per_utterance": 1.5}
    )
    with pytest.raises(NoFeasibleConfigurationError) as caught:
        planner.recommend(question)
    (row,) = caught.value.details["relaxed"].values()
    assert row["gflops_per_utterance"] <= 1.35 * nearest
    assert "it would be" in str(caught.value)


def test_a_target_that_only_a_larger_budget_reaches_is_priced(planner):
    """It was called unreachable, and what was to be relaxed was not looked at."""
    asked = planner.recommend(Question(target_wer=0.06))
    enough = asked.costs.gflops_per_utterance
    said, details = refused(
        planner,
        target_wer=0.06,
        gflops_per_utterance=enough / 3,
        relax={"gflops_per_utterance": 6.0},
    )
    assert details["binding"] == "gflops_per_utterance"
    assert details["needed"]["gflops_per_utterance"] >= enough * 0.995
    assert details["nearest"]["gflops_per_utterance"] >= enough * 0.995
    assert details["reachable"]["wer"]["mean"] > 0.06 or details["chance"] < 0.9
    relaxed = details["relaxed"]["gflops_per_utterance"]
    assert enough * 0.995 <= relaxed["gflops_per_utterance"] <= enough * 2
    assert "likely to reach it" in said
    assert "it would be" in said


def test_a_relaxation_that_is_not_enough_says_what_is(planner):
    said, details = refused(planner, gflops_per_utterance=0.1, relax={"gflops_per_utterance": 1.5})
    least = details["needed_alone"]["gflops_per_utterance"]
    assert least == details["needed"]["gflops_per_utterance"]
    assert f"it takes {words.needed('gflops_per_utterance', least)}" in said


def test_two_relaxations_are_answered_at_once_too(planner):
    """Neither alone may be enough where both are."""
    relax = {"gflops_per_utterance": 1000.0, "memory_gib": 1000.0}
    said, details = refused(planner, gflops_per_utterance=0.1, memory_gib=0.01, relax=relax)
    assert "relaxed" not in details
    assert details["relaxed_together"]["memory_gib"] <= 10
    assert "100 GFLOPs and 10 GiB it would be" in said
    answer = planner.recommend(
        Question(budget=Budget(gflops_per_utterance=60, memory_gib=0.95), relax=relax)
    )
    assert any(r.startswith("At once, ") for r in answer.reasons)


def test_a_target_that_nothing_reaches_says_how_likely_the_nearest_does(planner):
    """A mean below the target looked like a contradiction."""
    best = planner.recommend(Question(budget=Budget(gflops_per_utterance=1e5)))
    target = best.predictions["wer"].mean * 1.002
    said, details = refused(planner, target_wer=target, risk=1e-4)
    assert details["binding"] == "target"
    assert f"{words.chance(details['chance'])} likely to reach it" in said
    low, high = (100 * details["reachable"]["wer"][end] for end in ("lower", "upper"))
    assert f"({low:.2f} to {high:.2f} at 90%)" in said


def test_a_front_without_points_says_why(planner):
    with pytest.raises(NoFeasibleConfigurationError) as caught:
        planner.front(FrontQuestion(budget=Budget(gflops_per_utterance=0.1)))
    details = caught.value.details
    assert details["binding"] == "gflops_per_utterance"
    assert details["needed"]["gflops_per_utterance"] > 0.1
    assert details["nearest"]["configuration"]["model"]
    assert "the nearest is" in str(caught.value)
