"""What answers say of their numbers: nothing rounded into a promise, no question left open."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner import words
from planner.errors import NoFeasibleConfigurationError
from planner.evidence import Evidence
from planner.question import Budget, Question
from planner.recommend import Planner
from tests.planner.test_recommend import DEVICES, STAR, observed


@pytest.fixture(scope="module")
def planner():
    known = tuple(observed(STAR))
    return Planner(Evidence(task="asr", study="world", observations=known, devices=DEVICES))


@given(st.floats(1e-4, 1e4))
def test_what_is_said_to_be_needed_is_enough(value):
    said = float(words.needed("rtf", value).removeprefix("RTF ").replace(",", ""))
    assert value * (1 - 1e-6) <= said <= value * 1.011


def test_small_budgets_and_small_risks_are_not_rounded_away():
    assert words.amount("rtf", 0.0005) == "RTF 0.0005"
    assert words.amount("parameters", 1000) == "0.001 M parameters"
    assert words.chance(0.999) == "99.9%"
    assert words.chance(0.9) == "90%"


def test_a_budget_that_was_to_be_relaxed_is_always_spoken_of(planner):
    def ask(gflops, factor):
        budget = Budget(gflops_per_utterance=gflops)
        relax = {"gflops_per_utterance": factor}
        return planner.recommend(Question(budget=budget, relax=relax))

    answer = ask(1e5, 1.2)
    assert any("20% more GFLOPs per utterance" in r and "nothing" in r for r in answer.reasons)
    answer = ask(100.0, 20.0)
    assert any("1900% more would buy" in reason for reason in answer.reasons)


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
    assert 0.9 * nearest < row["gflops_per_utterance"] <= 1.35 * nearest
    assert "it would be" in str(caught.value)


@pytest.mark.parametrize(
    "question",
    [
        Question(budget=Budget(gflops_per_utterance=60.0), alternatives=20),
        Question(budget=Budget(gflops_per_utterance=1000.0), alternatives=20),
        Question(budget=Budget(rtf=0.3), device="box", alternatives=20),
        Question(target_wer=0.1, alternatives=20),
    ],
)
def test_no_alternative_is_both_worse_and_dearer(planner, question):
    answer = planner.recommend(question)
    by_rtf = question.budget.rtf is not None
    chosen = answer.costs.rtf.mean if by_rtf else answer.costs.gflops_per_utterance
    for other in answer.alternatives:
        own = other.rtf if by_rtf else other.gflops_per_utterance
        better = other.predictions["wer"].mean < answer.predictions["wer"].mean
        assert better or own < chosen


def test_a_prediction_is_compared_with_the_best_that_was_observed(planner):
    """Golden answers that are no row of the table have to say why they are preferred."""
    answer = planner.recommend(Question(budget=Budget(gflops_per_utterance=150)))
    observed_best = answer.predictions["wer"].basis == "measured"
    said = [r for r in answer.reasons if r.startswith("The best that was observed")]
    assert len(said) == (0 if observed_best else 1)


def test_a_step_of_a_few_percent_is_not_stretched_to_ten(planner):
    """It would promise more than the step itself gains."""
    for gflops in (20, 40, 60, 100, 150, 300, 600, 1200):
        answer = planner.recommend(Question(budget=Budget(gflops_per_utterance=gflops)))
        if not answer.elasticities:
            continue
        step = answer.elasticities[0]
        (said,) = [r for r in answer.reasons if "best spent on" in r]
        bought = float(said.split("buys ")[1].removeprefix("about ").split(" points")[0])
        assert bought <= 100 * step.gain.mean + 0.01
