"""What answers say of their numbers: nothing rounded into a promise, no question left open."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner import words
from planner.errors import NoFeasibleConfigurationError
from planner.evidence import Evidence
from planner.question import Budget, FrontQuestion, Question
from planner.recommend import Planner
from planner.workload import Workload
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


def refused(planner, **fields):
    budget = Budget(**{k: fields.pop(k) for k in list(fields) if k in Budget.model_fields})
    with pytest.raises(NoFeasibleConfigurationError) as caught:
        planner.recommend(Question(budget=budget, **fields))
    return str(caught.value), caught.value.details


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
    assert details["needed"]["gflops_per_utterance"] == pytest.approx(enough)
    assert details["nearest"]["gflops_per_utterance"] == pytest.approx(enough)
    assert details["reachable"]["wer"]["mean"] > 0.06 or details["chance"] < 0.9
    assert details["relaxed"]["gflops_per_utterance"] == details["nearest"]
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
        Question(budget=Budget(gflops_per_utterance=60, memory_gib=0.3), relax=relax)
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


def test_a_budget_binds_only_if_more_of_it_buys_what_can_be_seen(planner):
    """A billionth of a point was printed as 0.00 points bought."""
    for gflops in (15, 60, 100, 150, 300, 600):
        for factor in (1.01, 1.05, 1.2, 3.0):
            budget = Budget(gflops_per_utterance=gflops)
            relax = {"gflops_per_utterance": factor}
            answer = planner.recommend(Question(budget=budget, relax=relax))
            assert not any("buy 0.00 points" in reason for reason in answer.reasons)
            (report,) = answer.budgets
            assert not report.binds or report.relaxed.gain >= 5e-5
    table = planner.table(planner.lattice(Question(target_wer=0.1)), Question(target_wer=0.1))
    assert not table.buys(0, 0)


def test_alternatives_are_no_other_batches_of_each_other(planner):
    served = Workload(durations_s=(25,), max_batch_size=64)
    answer = planner.recommend(
        Question(target_wer=0.1, minimise="rtf", device="box", workload=served, alternatives=20)
    )
    found = [a.configuration.model_copy(update={"batch_size": 1}) for a in answer.alternatives]
    assert len(set(found)) == len(found) > 1


def test_figures_at_the_ends_of_the_scale_are_said_as_they_are():
    assert words.chance(1 - 1e-4) == "99.99%"
    assert words.chance(1 - 1e-6) == "99.9999%"
    assert words.chance(1.0) == "100%"
    assert words.amount("parameters", 50) == "50 parameters"
    assert words.amount("usd_per_audio_hour", 5e-5) == "0.00005 USD/h of audio"
    assert words.workload(Workload.fixed(0.05), "asr").startswith("0.05 s of audio")


def test_no_tokens_are_spoken_of_where_emotions_are_read():
    assert "token" not in words.workload(Workload.fixed(4), "ser")
