"""Which points of the axes a design takes.

An axis is a name and its values; a value says which fields of a configuration it
sets, so that fields that only make sense together, such as a stride and its layer,
are one axis.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from models_registry import Configuration

Fields = Mapping[str, Any]
Axes = Mapping[str, Sequence[Fields]]


def star(axes: Axes) -> list[Fields]:
    """The centre, then one axis at a time with the others at the centre."""
    return [{}, *(value for values in axes.values() for value in values)]


def grid(axes: Axes) -> list[Fields]:
    """Every combination; the last axis changes fastest."""
    return [
        {name: value for fields in point for name, value in fields.items()}
        for point in itertools.product(*axes.values())
    ]


def iso_flops(
    configurations: Sequence[Configuration],
    flops_of: Callable[[Configuration], float],
    budgets: Sequence[float],
    tolerance: float,
) -> list[Configuration]:
    """The configurations whose FLOPs lie near one of the budgets, budget by budget.

    Along such a line compute is constant and what it is spent on changes, as in the
    iso-FLOP profiles of arXiv 2203.15556.

    Args:
        configurations: What there is to choose from.
        flops_of: FLOPs of a configuration.
        budgets: FLOPs.
        tolerance: Largest distance from a budget, as a share of it.
    """
    costs = [flops_of(configuration) for configuration in configurations]
    chosen = [
        configuration
        for budget in budgets
        for configuration, cost in zip(configurations, costs, strict=True)
        if abs(cost / budget - 1) <= tolerance
    ]
    return list(dict.fromkeys(chosen))
