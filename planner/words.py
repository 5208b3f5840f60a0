"""Numbers put into sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from models_registry.configuration import Configuration, Task
from planner.answer import BudgetReport, Elasticity, Step
from planner.evidence import METRIC_OF, Evidence
from planner.question import UNITS, CostName
from planner.served import in_words
from planner.workload import Workload

if TYPE_CHECKING:
    from planner.landscape import Landscape
    from planner.quality import Quality
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

_FEW = 1000
"""Parameters below which they are not counted in millions."""


def amount(name: str, value: float) -> str:
    """A cost with its unit, in three digits."""
    if name == "parameters" and value < _FEW:
        return f"{_three_digits(value)} parameters"
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
    if value < 1e-4:
        return np.format_float_positional(value, 3, fractional=False, trim="-")
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"


def chance(probability: float) -> str:
    """A probability in percent, in as many digits from three on as it takes to be no certainty."""
    said = f"{100 * probability:.3g}"
    for digits in range(4, 10):
        if float(said) < 100 or probability >= 1:
            break
        said = f"{100 * probability:.{digits}g}"
    return f"{said}%"


def metric_value(task: str, error: float) -> str:
    """An error in the task's metric, in percent."""
    if task == "asr":
        return f"WER {100 * error:.2f} %"
    return f"UA {100 * (1 - error):.1f} %"


def interval(quality: Quality, row: int, task: Task) -> str:
    """Where a row's metric is with the level's probability, in percent."""
    low, high = quality.lower[row], quality.upper[row]
    if task == "ser":
        low, high = 1 - high, 1 - low
    return f"{100 * low:.2f} to {100 * high:.2f} at {chance(quality.level)}"


def workload(served: Workload, task: Task) -> str:
    """A workload in one line; emotions are read without tokens."""
    mean = served.mean_audio_s
    audio = f"{mean:.1f}" if mean >= 1 else f"{mean:.2g}"
    said = f", {served.tokens_per_audio_s:.1f} tokens a second" if task == "asr" else ""
    return f"{audio} s of audio on average{said} ({served.source})"


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
        f"{_fitting(table)}"
        f"{' and reach the target' if question.target_error is not None else ''}"
        f" with at least {chance(1 - question.risk)}."
    )
    yield (
        f"{_BASIS[basis]}: {metric_value(task, float(mean[chosen]))}"
        f" ({interval(table.quality, chosen, task)});"
        f" {table.quality.provenance(chosen)}."
    )
    if question.target_error is None:
        yield from _best_observed(table, chosen)
    if question.workload is not None:
        row = table.lattice.take(np.array([chosen]))
        yield from in_words(row, question.workload, evidence.workload)
    yield from _what_binds(table, chosen, budgets)
    yield from _price(table)
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


def infeasible(
    landscape: Landscape,
    row: int,
    bound: float,
    binding: str,
    price: Mapping[CostName, float],
    device: str | None,
) -> str:
    """Why nothing is within the budget, or a device's memory, and what would be enough."""
    none = f"no configuration holds {amount(binding, bound)}"
    return (
        f"{none if device is None else none_fits(device, bound)}; the nearest is"
        f" {landscape.lattice[row].label()}, which needs"
        f" {and_of([needed(name, price[name]) for name in _most_first(price, binding)])}"
    )


def none_fits(device: str, memory_gib: float) -> str:
    """That no candidate fits into a device's memory."""
    return f"no configuration fits into the memory of {device}, {amount('memory_gib', memory_gib)}"


def _most_first(price: Mapping[CostName, float], binding: str) -> list[CostName]:
    return sorted(price, key=lambda name: name != binding)


def beyond(landscape: Landscape, target: float, risk: float, reachable: bool) -> str:
    """What a target has to do with a budget that nothing holds."""
    reaching = f"{metric_value(landscape.lattice.task, target)} with {chance(1 - risk)}"
    if reachable:
        return f"to reach {reaching}, "
    return f"nothing reaches {reaching}, with any budget; "


def relaxed(
    landscape: Landscape,
    row: int | None,
    larger: Mapping[CostName, float],
    least: float | None = None,
) -> str:
    """What there would be with more of some budgets, where there is nothing without.

    Args:
        landscape: The candidates.
        row: The answer then; none where there is none.
        larger: The budgets that are larger.
        least: What would be enough of the only one, where anything is.
    """
    said = f"with {and_of([amount(name, bound) for name, bound in larger.items()])}"
    if row is not None:
        error = metric_value(landscape.lattice.task, float(landscape.quality.mean[row]))
        return f"{said} it would be {landscape.lattice[row].label()}, {error}"
    if least is not None:
        (name,) = larger
        return f"{said} there would still be none: it takes {needed(name, least)}"
    return f"{said} there would still be none" + (
        ", nor with any more of that alone" if len(larger) == 1 else ""
    )


def unreachable(
    landscape: Landscape, target: float, risk: float, bounds: Mapping[CostName, float]
) -> str:
    """That nothing reaches the target, whatever it costs."""
    return (
        f"no configuration{' within the budget' if bounds else ''} reaches"
        f" {metric_value(landscape.lattice.task, target)} with {chance(1 - risk)}"
        f"{', nor does any with a larger one' if bounds else ''}"
    )


def likeliest(landscape: Landscape, row: int, probability: float, *, bounded: bool) -> str:
    """What is likeliest to reach the target within the budget, and how likely."""
    task, quality = landscape.lattice.task, landscape.quality
    return (
        f"the best{' within the budget' if bounded else ''} is {landscape.lattice[row].label()} at"
        f" {metric_value(task, float(quality.mean[row]))} ({interval(quality, row, task)}),"
        f" {chance(probability)} likely to reach it"
    )
