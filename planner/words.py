"""Numbers put into sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from planner.answer import BudgetReport, Elasticity, Step
from planner.evidence import METRIC_OF, Evidence
from planner.question import UNITS
from planner.workload import Workload

if TYPE_CHECKING:
    from planner.table import Table

COST_NAMES: dict[str, str] = {
    "gflops_per_utterance": "GFLOPs per utterance",
    "gflops_per_audio_second": "GFLOPs per second of audio",
    "rtf": "RTF",
    "latency_p50_s": "latency p50",
    "latency_p95_s": "latency p95",
    "memory_gib": "memory",
    "parameters": "parameters",
    "usd_per_audio_hour": "price per hour of audio",
    "joules_per_audio_second": "energy per second of audio",
}


AXIS_NAMES = {
    "xN": "a larger model (xN)",
    "xT": "longer windows (xT)",
    "xV": "more encoder tokens (xV)",
    "exit": "a later exit",
    "rank": "a higher rank",
    "precision": "a finer precision",
}

_MORE = 0.1

_WORTH_SAYING = 0.1
"""Share of a workload's audio."""


def amount(name: str, value: float) -> str:
    """A cost with its unit."""
    if name == "parameters":
        return f"{value / 1e6:.1f} M parameters"
    if name == "rtf":
        return f"RTF {value:.3f}"
    digits = ".3g" if value < 100 else ",.0f"
    return f"{value:{digits}} {UNITS[name]}"


def metric_value(task: str, error: float) -> str:
    """An error in the task's metric, in percent."""
    if task == "asr":
        return f"WER {100 * error:.2f} %"
    return f"UA {100 * (1 - error):.1f} %"


def workload(served: Workload) -> str:
    """A workload in one line."""
    return (
        f"{served.mean_audio_s:.1f} s of audio on average,"
        f" {served.tokens_per_audio_s:.1f} tokens a second ({served.source})"
    )


def reasons(
    table: Table,
    chosen: int,
    evidence: Evidence,
    budgets: Sequence[BudgetReport],
    steps: Sequence[Elasticity],
) -> Iterator[str]:
    """Why this configuration: the field, the evidence, what binds, what more would buy."""
    task, question = table.question.task, table.question
    mean, basis = table.quality.mean, table.quality.basis_of(chosen)
    allowed = int(table.allowed.sum())
    yield (
        f"{allowed} of {len(table.lattice)} configurations hold every budget"
        f"{' and reach the target' if question.target_error is not None else ''}"
        f" with at least {1 - question.risk:.0%}."
    )
    low, high = table.quality.lower[chosen], table.quality.upper[chosen]
    if task == "ser":
        low, high = 1 - high, 1 - low
    yield (
        f"{_BASIS[basis]}: {metric_value(task, float(mean[chosen]))}"
        f" ({100 * low:.2f} to {100 * high:.2f} at {question.level:.0%});"
        f" {table.quality.provenance(chosen)}."
    )
    if question.workload is not None:
        yield from _unlike_the_study(question.workload, evidence.workload)
    yield from _what_binds(table, budgets)
    if steps:
        best = steps[0]
        saved = float(mean[chosen]) * -np.expm1(best.elasticity.mean * np.log1p(_MORE))
        yield (
            f"{_MORE:.0%} more {COST_NAMES[best.cost]} buys about {100 * saved:.2f} points, best"
            f" spent on {AXIS_NAMES[best.axis]}."
        )
    configuration = table.lattice[chosen]
    if configuration.adapter != "none":
        yield "It needs an adapter of that kind, trained; the figure is for one that was."
    elif configuration.model not in evidence.runnable:
        yield (
            f"Weights of {configuration.model} are not on this machine;"
            f" loading it fetches {configuration.architecture.hub_id} from the hub."
        )


def _unlike_the_study(served: Workload, studied: Workload) -> Iterator[str]:
    """Where recordings are longer or shorter than those that errors were measured on."""
    audio = served.durations * served.shares
    for outside, which, end in (
        (served.durations > studied.durations.max(), "longer", studied.durations.max()),
        (served.durations < studied.durations.min(), "shorter", studied.durations.min()),
    ):
        share = float(audio[outside].sum() / audio.sum())
        if share >= _WORTH_SAYING:
            yield (
                f"{share:.0%} of the audio is in recordings {which} than any of the study's"
                f" ({end:.3g} s), whose error is taken for theirs: measure on ones like yours."
            )


def _what_binds(table: Table, budgets: Sequence[BudgetReport]) -> Iterator[str]:
    metric = METRIC_OF[table.question.task].upper()
    targeted = table.question.target_error is not None

    def gained(step: Step) -> str:
        if targeted:
            return f"save {step.gain:.0%} ({step.configuration.label()})"
        return f"buy {100 * step.gain:.2f} points of {metric} ({step.configuration.label()})"

    for budget in budgets:
        name = COST_NAMES[budget.name]
        if budget.relaxed is not None:
            yield f"{name} binds: {budget.factor - 1:.0%} more would {gained(budget.relaxed)}."
        elif budget.next_step is not None:
            needed = amount(budget.name, budget.next_step.bound)
            yield f"Of {name}, no less than {needed} would {gained(budget.next_step)}."
    if budgets and not any(b.binds or b.next_step for b in budgets):
        yield "No budget binds: no more of any one would change the answer."


_BASIS = {
    "measured": "Measured",
    "published": "Published",
    "interpolated": "Predicted, within what was observed",
    "extrapolated": "Predicted, outside of what was observed",
}


def trade(table: Table, chosen: int, row: int) -> str:
    """What choosing another row gives and takes."""
    task = table.question.task
    change = 100 * float(table.quality.mean[row] - table.quality.mean[chosen])
    metric = METRIC_OF[task].upper()
    if abs(change) < 0.005:
        parts = [f"the same {metric}"]
    else:
        parts = [f"{abs(change):.2f} points of {metric} {'worse' if change > 0 else 'better'}"]
    costs = ["gflops_per_utterance", *(["rtf"] if table.device is not None else [])]
    for name in costs:
        centre = table.costs.centre[name]  # type: ignore[index]
        ratio = float(centre[row] / centre[chosen]) - 1
        if abs(ratio) >= 0.005:
            parts.append(f"{abs(ratio):.0%} {'more' if ratio > 0 else 'less'} {COST_NAMES[name]}")
    return ", ".join(parts)


def infeasible(table: Table, row: int, binding: str, needed: float) -> str:
    """Why nothing is within the budget, and what would be enough."""
    bound = table.bounds[binding]  # type: ignore[index]
    return (
        f"no configuration holds {amount(binding, bound)}; the nearest is"
        f" {table.lattice[row].label()}, which needs {amount(binding, needed)}"
    )


def unreachable(table: Table, row: int, target: float) -> str:
    """Why nothing reaches the target."""
    task = table.question.task
    return (
        f"no configuration within the budget reaches {metric_value(task, target)} with"
        f" {1 - table.question.risk:.0%}; the best is {table.lattice[row].label()} at"
        f" {metric_value(task, float(table.quality.mean[row]))}"
    )
