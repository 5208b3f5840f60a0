"""Why there is no answer, in sentences: what nothing holds, and what would be enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from planner.question import CostName
from planner.words import amount, and_of, chance, interval, metric_value, needed

if TYPE_CHECKING:
    from planner.landscape import Landscape


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


def _most_first(price: Mapping[CostName, float], binding: str) -> list[CostName]:
    return sorted(price, key=lambda name: name != binding)
