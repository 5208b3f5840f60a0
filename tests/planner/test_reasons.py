"""What answers say of their numbers: no question left open."""

import pytest

from planner.question import Budget, Question
from planner.workload import Workload


def test_a_budget_that_was_to_be_relaxed_is_always_spoken_of(planner):
    def ask(gflops, factor):
        budget = Budget(gflops_per_utterance=gflops)
        relax = {"gflops_per_utterance": factor}
        return planner.recommend(Question(budget=budget, relax=relax))

    answer = ask(1e5, 1.2)
    assert any("20% more GFLOPs per utterance" in r and "nothing" in r for r in answer.reasons)
    answer = ask(100.0, 20.0)
    assert any("1900% more would buy" in reason for reason in answer.reasons)


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
