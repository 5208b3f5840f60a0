"""Why this configuration, in sentences: the field, what binds, what more would buy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from models_registry.configuration import Configuration
from planner.answer import BudgetReport, Elasticity, Influence, Step
from planner.evidence import METRIC_OF, Evidence
from planner.served import in_words
from planner.words import (
    AXIS_NAMES,
    COST_NAMES,
    amount,
    and_of,
    chance,
    interval,
    metric_value,
    needed,
)

if TYPE_CHECKING:
    from planner.table import Table

_MORE = 0.1

_TOLD = 3
"""Configurations of a kind that are named."""

_BASIS = {
    "measured": "Measured",
    "published": "Published",
    "interpolated": "Predicted, within what was observed",
    "extrapolated": "Predicted, outside of what was observed",
}


def reasons(
    table: Table,
    chosen: int,
    evidence: Evidence,
    budgets: Sequence[BudgetReport],
    steps: Sequence[Elasticity],
    influences: Sequence[Influence],
) -> Iterator[str]:
    """Why this configuration: the field, the evidence, what binds, what more would buy."""
    task, question = table.question.task, table.question
    mean, basis = table.quality.mean, table.quality.basis_of(chosen)
    allowed = int(table.allowed.sum())
    yield (
        f"{allowed} of {len(table.lattice)} configurations hold every budget"
        f"{_fitting(table)}"
        f"{' and reach the target' if question.target_error is not None else ''}"
        f" with at least {chance(1 - question.risk)}."
    )
    raw = table.quality.raw_error(chosen)
    observed = "" if raw is None else f" {metric_value(task, raw)} observed,"
    yield (
        f"{_BASIS[basis]}: {metric_value(task, float(mean[chosen]))}"
        f" ({interval(table.quality, chosen, task)});"
        f"{observed} {table.quality.provenance(chosen)}."
    )
    if question.target_error is None:
        yield from _best_observed(table, chosen)
    yield from _moved_by(table, chosen, influences)
    yield from _disagreeing(table, chosen, evidence)
    if question.workload is not None:
        row = table.lattice.take(np.array([chosen]))
        yield from in_words(row, question.workload, evidence.workload)
    yield from _what_binds(table, chosen, budgets)
    yield from _price(table)
    if table.device is not None and table.device.doubt is not None:
        yield f"Times are in doubt: {table.device.doubt.reason}."
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


def _fitting(table: Table) -> str:
    device = table.of_device("memory_gib")
    return "" if device is None else f", fit into the memory of {device}"


def _price(table: Table) -> Iterator[str]:
    """Whose time is paid for, where nobody said how often recordings come."""
    if "usd_per_audio_hour" in table.question.asked_of and table.costs.fleet is None:
        yield "Prices are those of a device at full use: idle time is paid for on top."


def _best_observed(table: Table, chosen: int) -> Iterator[str]:
    """What a prediction is preferred to: the best that was really observed, and how surely."""
    quality = table.quality
    observed = table.landscape.once(
        ("observed",), lambda: quality.basis.mask("measured", "published")
    )
    row = table.best(table.allowed & observed)
    if observed[chosen] or row is None:
        return
    better = float((quality.draws_of(chosen) < quality.draws_of(row)).mean())
    yield (
        f"The best that was observed within the budget is {table.lattice[row].label()},"
        f" {metric_value(table.question.task, float(quality.mean[row]))}; this is predicted to be"
        f" better with {better:.0%}."
    )


def _moved_by(table: Table, chosen: int, influences: Sequence[Influence]) -> Iterator[str]:
    """Other studies that the figure depends on."""
    task, error = table.question.task, float(table.quality.mean[chosen])
    told = [
        f"{metric_value(task, error * (1 + one.change))} without {one.study}" for one in influences
    ]
    if told:
        yield f"Other studies move this figure: about {', '.join(told)}."


def _disagreeing(table: Table, chosen: int, evidence: Evidence) -> Iterator[str]:
    """Configurations whose runs the study's level is unsure by, unless the choice says so."""
    own = table.quality.provenance(chosen)
    found = [o for o in evidence.in_study if o.disagree and o.provenance != own]
    for observation in found[:_TOLD]:
        yield f"{observation.configuration.label()}: {observation.provenance}."


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


def _what_binds(table: Table, chosen: int, budgets: Sequence[BudgetReport]) -> Iterator[str]:
    relax = table.question.relax

    def of(step: Step) -> str:
        return _buys(table, step.gain, step.configuration)

    for budget in budgets:
        name = COST_NAMES[budget.name]
        if budget.of_device is not None:
            name = f"{name} of {budget.of_device} ({amount(budget.name, budget.bound)})"
        if budget.relaxed is not None:
            yield f"{name} binds: {budget.factor - 1:.0%} more would {of(budget.relaxed)}."
            continue
        if budget.name in relax:
            larger = amount(budget.name, budget.bound * budget.factor)
            yield f"{budget.factor - 1:.0%} more {name} ({larger}) would buy nothing."
        if budget.next_step is not None:
            least = needed(budget.name, budget.next_step.bound)
            yield f"Of {name}, no less than {least} would {of(budget.next_step)}."
    if len(relax) > 1:
        row, bought = table.relaxed(relax), "buy nothing"
        if row is not None and table.buys(row, chosen):
            bought = _buys(table, table.gain(row, chosen), table.lattice[row])
        more = and_of([f"{factor - 1:.0%} more {COST_NAMES[n]}" for n, factor in relax.items()])
        yield f"At once, {more} would {bought}."
    if budgets and not any(b.binds or b.next_step for b in budgets):
        yield "No budget binds: no more of any one would change the answer."


def _buys(table: Table, gain: float, configuration: Configuration) -> str:
    label = configuration.label()
    if table.question.target_error is not None:
        return f"save {gain:.0%} ({label})"
    return f"buy {100 * gain:.2f} points of {METRIC_OF[table.question.task].upper()} ({label})"


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
