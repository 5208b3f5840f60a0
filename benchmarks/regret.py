"""How far an answer is from the best there is, where that can be known.

``python -m benchmarks.regret``

On the lattice, which is enumerable, answers are held against a plain loop over every
candidate, each costed and predicted by itself. Between the lattice's points windows and
strides go on in small steps; there *exhaustive* evaluates all of them at once, and the
others may look at so many: TPE as the planner runs it, which begins at the lattice's front;
TPE that begins at random; and random search. Regret is the difference in predicted WER to
the best that is allowed, over budgets from small to large.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence

import numpy as np
import optuna

from benchmarks.tables import markdown
from measurements.studies import evidence_for
from models_registry import Configuration
from planner.arrays import Array
from planner.lattice import Lattice
from planner.question import Budget, Question
from planner.recommend import Planner
from planner.search import STRIDE_STEP, WINDOW_STEP_S, Choices, plain, search_between
from planner.space import STRIDES, WINDOWS_S

BUDGETS_GFLOPS = tuple(np.geomspace(20, 2000, 8).round(1).tolist())
TRIALS = (64, 200)
SEEDS = range(5)


def question(gflops: float) -> Question:
    """At most so many GFLOPs."""
    return Question(budget=Budget(gflops_per_utterance=gflops), level=0.9)


def on_the_lattice(planner: Planner, lattice: Lattice) -> list[dict[str, str]]:
    """A line for each budget: the planner's answer and the loop's."""
    alone = [
        planner.table(lattice.take(np.array([row])), question(1.0)) for row in range(len(lattice))
    ]
    errors = [float(table.quality.mean[0]) for table in alone]
    costs = [float(table.costs.centre["gflops_per_utterance"][0]) for table in alone]
    lines = []
    for bound in BUDGETS_GFLOPS:
        best = min(e for e, cost in zip(errors, costs, strict=True) if cost <= bound)
        answer = planner.recommend(question(bound))
        lines.append(
            {
                "budget": f"{bound:g} GFLOPs",
                "answer": answer.configuration.label(),
                "regret": f"{100 * (answer.predictions['wer'].mean - best):.4f} points",
            }
        )
    return lines


def fine_lattice(choices: Choices) -> Lattice:
    """Everything that the search may try."""
    windows = np.arange(min(WINDOWS_S), max(WINDOWS_S) + 1e-9, WINDOW_STEP_S)
    strides = np.arange(1, max(STRIDES) + 1e-9, STRIDE_STEP).round(2)
    return Lattice.product(
        choices.models,
        [(policy, float(w)) for policy in choices.policies for w in windows],
        [(1.0, 1.0), *((float(s), depth) for s in strides[1:] for depth in (0.0, 0.5, 1.0))],
        choices.precisions,
    )


def between(planner: Planner) -> list[dict[str, str]]:
    """A line for each way of searching: its regret by the number of trials."""
    front = planner.recommend(question(BUDGETS_GFLOPS[-1])).pareto_front.points
    start = plain(point.configuration for point in front)
    choices = Choices.of(start)
    fine = fine_lattice(choices)
    regret: dict[tuple[str, int], list[float]] = {}
    for bound in BUDGETS_GFLOPS:
        asked = question(bound)
        whole = planner.table(fine, asked)
        best = float(whole.objective[whole.allowed].min())

        def evaluate(batch: Sequence[Configuration], asked: Question = asked) -> tuple[Array, ...]:
            table = planner.table(Lattice.of(batch), asked)
            return table.objective, table.violation

        ways: dict[str, Callable[[int], optuna.samplers.BaseSampler | None]] = {
            "TPE from the lattice's front": lambda _: None,
            "TPE from random": lambda _: None,
            "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
        }
        for trials in TRIALS:
            for way, sampler in ways.items():
                for seed in SEEDS:
                    found = search_between(
                        evaluate,
                        choices,
                        start if "front" in way else (),
                        trials=trials,
                        seed=seed,
                        sampler=sampler(seed),
                    )
                    own = evaluate(found[:1])[0][0] if found else np.inf
                    regret.setdefault((way, trials), []).append(100 * (float(own) - best))
    print(f"{len(fine):,} candidates, {len(BUDGETS_GFLOPS)} budgets, {len(SEEDS)} seeds\n")
    return [
        {
            "search": way,
            "trials": str(trials),
            "median": f"{statistics.median(values):.3f} points",
            "worst": f"{max(values):.3f} points",
            "nothing allowed found": str(sum(not np.isfinite(v) for v in values)),
        }
        for (way, trials), values in regret.items()
    ]


def main() -> None:
    """Prints the tables."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    planner = Planner(evidence_for("asr", None, None))
    lattice = planner.lattice(question(100))
    print(f"{len(lattice):,} candidates of the lattice:\n")
    print(markdown(on_the_lattice(planner, lattice)), "\n")
    print(markdown(between(planner)))


if __name__ == "__main__":
    main()
