"""Numbers put into sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from planner.answer import BudgetReport, Elasticity, Step
from planner.evidence import METRIC_OF, Evidence
from planner.question import UNITS
from planner.workload import UNLIKE, Workload

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


def amount(name: str, value: float) -> str:
    """A cost with its unit, in three digits."""
    if name == "parameters":
        return f"{_three_digits(value / 1e6)} M parameters"
    if name == "rtf":
        return f"RTF {_three_digits(value)}"
    return f"{_three_digits(value)} {UNITS[name]}"


def needed(name: str, value: float) -> str:
    """The same, rounded up: what is printed is enough."""
    step = 10.0 ** (np.floor(np.log10(value)) - 2)
    return amount(name, float(np.ceil(value / step - 1e-6) * step))


def _three_digits(value: float) -> str:
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"


def chance(probability: float) -> str:
    """A probability in percent, that of 0.999 not as certainty."""
    return f"{100 * probability:.3g}%"


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
        f" with at least {chance(1 - question.risk)}."
    )
    low, high = table.quality.lower[chosen], table.quality.upper[chosen]
    if task == "ser":
        low, high = 1 - high, 1 - low
    yield (
        f"{_BASIS[basis]}: {metric_value(task, float(mean[chosen]))}"
        f" ({100 * low:.2f} to {100 * high:.2f} at {question.level:.0%});"
        f" {table.quality.provenance(chosen)}."
    )
    if question.target_error is None:
        yield from _best_observed(table, chosen)
    if question.workload is not None:
        yield from _unlike_the_study(question.workload, evidence.workload)
    yield from _what_binds(table, budgets)
    if steps:
        yield _next_step(table, chosen, steps[0])
    configuration = table.lattice[chosen]
    if configuration.adapter != "none":
        yield "It needs an adapter of that kind, trained; the figure is for one that was."
    elif configuration.model not in evidence.runnable:
        yield (
            f"Weights of {configuration.model} are not on this machine;"
            f" loading it fetches {configuration.architecture.hub_id} from the hub."
        )


def _best_observed(table: Table, chosen: int) -> Iterator[str]:
    """What a prediction is preferred to: the best that was really observed, and how surely."""
    quality = table.quality
    observed = quality.basis.mask("measured", "published")
    row = table.best(table.allowed & observed)
    if observed[chosen] or row is None:
        return
    better = float((quality.draws_of(chosen) < quality.draws_of(row)).mean())
    yield (
        f"The best that was observed within the budget is {table.lattice[row].label()},"
        f" {metric_value(table.question.task, float(quality.mean[row]))}; this is predicted to be"
        f" better with {better:.0%}."
    )


def _next_step(table: Table, chosen: int, step: Elasticity) -> str:
    """The best way to spend more of a cost, what its first tenth buys on the way there."""
    saved = float(table.quality.mean[chosen]) * -np.expm1(step.elasticity.mean * np.log1p(_MORE))
    bounds = {name: bound for name, bound in table.bounds.items() if name != step.cost}
    over: list[str] = []
    if bounds:
        # One of few, told by its cost: to look it up among all takes longer than all else.
        spent, rows = (
            table.costs.centre[table.cost_name],
            table.landscape.neighbours(step.axis, chosen),
        )
        row = int(rows[np.abs(spent[rows] / spent[chosen] - step.cost_ratio).argmin()])
        held = table.landscape.holding
        risk = table.question.risk
        over = [COST_NAMES[name] for name in bounds if not held(name, bounds[name], risk)[row]]
    condition = f", if there were more {and_of(over)}" if over else ""
    gain, cost = 100 * step.gain.mean, COST_NAMES[step.cost]
    if step.cost_ratio <= 1 + _MORE:
        return (
            f"{step.cost_ratio - 1:.0%} more {cost} buys {gain:.2f} points"
            f" ({step.configuration.label()}), best spent on {AXIS_NAMES[step.axis]}{condition}."
        )
    return (
        f"{_MORE:.0%} more {cost} buys about {100 * saved:.2f} points on the way to"
        f" {step.configuration.label()}, at {step.cost_ratio:.2g} times the cost and {gain:.2f}"
        f" points better; best spent on {AXIS_NAMES[step.axis]}{condition}."
    )


def and_of(names: Sequence[str]) -> str:
    """Names as a list in a sentence."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _unlike_the_study(served: Workload, studied: Workload) -> Iterator[str]:
    """Where recordings are longer or shorter than those that errors were measured on."""
    outside = served.outside(studied)
    if sum(outside.values()) < UNLIKE:
        return
    ends = {"shorter": studied.durations.min(), "longer": studied.durations.max()}
    for which, share in outside.items():
        if share > 0:
            yield (
                f"{share:.0%} of the audio is in recordings {which} than any of the study's"
                f" ({ends[which]:.3g} s), whose error is taken for theirs: measure on ones like"
                " yours."
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
            continue
        if budget.name in table.question.relax:
            larger = amount(budget.name, budget.bound * budget.factor)
            yield f"{budget.factor - 1:.0%} more {name} ({larger}) would change nothing."
        if budget.next_step is not None:
            least = needed(budget.name, budget.next_step.bound)
            yield f"Of {name}, no less than {least} would {gained(budget.next_step)}."
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


def infeasible(table: Table, row: int, binding: str, least: float) -> str:
    """Why nothing is within the budget, and what would be enough."""
    bound = table.bounds[binding]  # type: ignore[index]
    return (
        f"no configuration holds {amount(binding, bound)}; the nearest is"
        f" {table.lattice[row].label()}, which needs {needed(binding, least)}"
    )


def relaxed(table: Table, row: int, name: str, bound: float) -> str:
    """What there would be with more of a budget, where there is nothing with it."""
    task, error = table.question.task, float(table.quality.mean[row])
    return (
        f"with {amount(name, bound)} it would be {table.lattice[row].label()},"
        f" {metric_value(task, error)}"
    )


def unreachable(table: Table, row: int, target: float) -> str:
    """Why nothing reaches the target."""
    task = table.question.task
    return (
        f"no configuration within the budget reaches {metric_value(task, target)} with"
        f" {chance(1 - table.question.risk)}; the best is {table.lattice[row].label()} at"
        f" {metric_value(task, float(table.quality.mean[row]))}"
    )
