"""How long a recommendation takes, by the number of candidates, against other ways.

``python -m benchmarks.recommend``

Candidates are every Whisper model over ever finer windows and strides, two precisions and
five batch sizes, on the built-in catalogue. *Evaluated* is the quality, with its joint draws,
and every cost of all of them, once for a state of the evidence whose curves are fitted; *answer*
is a recommendation after that, over budgets of FLOPs and memory from small to large. The
alternatives see the same predictions: an Optuna study of 200 trials asks for one candidate at a
time, a plain loop for each in turn.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.tables import markdown
from measurements.studies import evidence_for
from models_registry import MODELS, WhisperArchitecture
from planner.evidence import Evidence
from planner.lattice import Lattice
from planner.question import Budget, Question
from planner.recommend import Planner
from planner.workload import Workload

SIZES = (1_000, 10_000, 100_000, 1_000_000)
BUDGETS_GFLOPS = tuple(np.geomspace(30, 3000, 20).round(1).tolist())
TRIALS = 200
_BATCHES = 5
_LOOPED = 1_000
_STARTED = 5
_EVALUATED = 3


def lattice(rows: int) -> Lattice:
    """About so many candidates once batch sizes are in, half of them int8."""
    whisper = [n for n in MODELS.names() if isinstance(MODELS.get(n), WhisperArchitecture)]
    side = max(2.0, (rows / (2 * _BATCHES * len(whisper))) ** 0.5)
    windows = np.unique(np.round(np.linspace(5, 30, round(side)) * 50) / 50)
    strides = np.linspace(1.2, 4, max(1, round(side / 3))).round(3).tolist()
    reductions = [(1.0, 1.0), *itertools.product(strides, (0.0, 0.5, 1.0))]
    return Lattice.product(
        whisper, [("chunk", float(w)) for w in windows], reductions, ("fp32", "int8")
    )


def question(gflops: float, workload: Workload) -> Question:
    """Two budgets at once."""
    return Question(
        budget=Budget(gflops_per_utterance=gflops, memory_gib=4.0), workload=workload, level=0.9
    )


def timed(run: Callable[[], object]) -> float:
    """Wall seconds."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def optuna_study(planner: Planner, asked: Question, among: Lattice) -> float:
    """Best error that 200 trials of TPE find, one candidate at a time."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: optuna.Trial) -> float:
        row = trial.suggest_int("row", 0, len(among) - 1)
        table = planner.table(among.take(np.array([row])), asked)
        trial.set_constraint("budgets", float(table.violation[0]))
        return float(table.objective[0])

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=TRIALS)
    feasible = [t.value for t in study.trials if t.system_attrs["constraints:budgets"] <= 0]
    return min(feasible, default=float("nan"))


def looped(planner: Planner, asked: Question, among: Lattice) -> float:
    """Best error of a plain loop."""
    best = float("inf")
    for row in range(len(among)):
        table = planner.table(among.take(np.array([row])), asked)
        if table.allowed[0]:
            best = min(best, float(table.objective[0]))
    return best


def row_of(evidence: Evidence, size: int) -> dict[str, str]:
    """One line of the table."""
    planner = Planner(evidence, lattice=lattice(size))
    _ = planner.quality
    workload = evidence.workload.model_copy(update={"max_batch_size": 16})
    asked = question(100, workload)
    candidates = planner.lattice(asked)
    made_s = timed(lambda: planner.lattice(asked))
    evaluated_s = statistics.median(
        timed(lambda: planner.table(candidates, asked)) for _ in range(_EVALUATED)
    )
    first_s = timed(lambda: planner.recommend(asked))
    planner.recommend(question(101, workload))
    answers = [timed(lambda g=g: planner.recommend(question(g, workload))) for g in BUDGETS_GFLOPS]
    return {
        "candidates": f"{len(candidates):,}",
        "made": f"{made_s:.2f} s",
        "evaluated": f"{evaluated_s:.2f} s",
        "first answer, both included": f"{first_s:.2f} s",
        "answer, median": f"{1e3 * statistics.median(answers):.1f} ms",
        "answer, slowest": f"{1e3 * max(answers):.1f} ms",
    }


def from_the_shell() -> float:
    """Median seconds of the command, the interpreter's start and the fit included."""
    command = [sys.executable, "-m", "api.cli", "recommend", "--gflops", "200", "--json"]
    run = partial(subprocess.run, command, check=True, capture_output=True)
    return statistics.median(timed(run) for _ in range(_STARTED))


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    arguments = parser.parse_args()
    evidence = evidence_for("asr", None, None)
    fitted_s = timed(lambda: Planner(evidence).quality)
    print(f"curves fitted in {fitted_s:.1f} s, {len(evidence.observations)} observations;")
    print(f"`speechplan recommend --gflops 200`, start-up included: {from_the_shell():.1f} s\n")
    print(markdown([row_of(evidence, size) for size in arguments.sizes]))
    planner = Planner(evidence)
    few = lattice(_LOOPED * _BATCHES)
    asked = question(300, evidence.workload)
    table = planner.table(few, asked)
    best = table.objective[table.allowed].min()
    print(f"\n{len(few):,} candidates, at most 300 GFLOPs; the best has {100 * best:.2f} %:\n")
    others = []
    for name, run in (
        ("all at once", lambda: planner.table(few, asked).choose()),
        (f"Optuna, {TRIALS} trials", lambda: optuna_study(planner, asked, few)),
        ("a plain loop", lambda: looped(planner, asked, few)),
    ):
        found: list[float] = []
        seconds = timed(lambda run=run, found=found: found.append(run()))
        error = best if name == "all at once" else found[0]
        others.append(
            {
                "way": name,
                "time": f"{seconds:.2f} s",
                "regret": f"{100 * (error - best):.2f} points",
            }
        )
    print(markdown(others))


if __name__ == "__main__":
    main()
