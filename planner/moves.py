"""Steps along each axis from a configuration: what more of one axis alone buys.

The axes are those of arXiv 2606.22790: model size (xN), audio per forward pass (xT) and
encoder tokens (xV); and the exit, the rank and the precision beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from planner.answer import Elasticity, Range
from planner.arrays import Array, Index

if TYPE_CHECKING:
    from planner.landscape import Landscape
    from planner.lattice import Lattice
    from planner.question import CostName

AXES: Mapping[str, tuple[str, ...]] = {
    "xN": ("model", "reduction_layer", "exit_layer"),
    "xT": ("window_s", "window_policy", "tail_s"),
    "xV": ("token_stride", "reduction_layer"),
    "exit": ("exit_layer",),
    "rank": ("rank", "unfrozen_layers"),
    "precision": ("precision",),
}
"""Fields that a step along an axis may change. A layer's number means another depth in another
model: a step there keeps the share of the layers below the reduction instead."""

_LEAST_STEP = 0.02
"""Share of the cost below which a step is no step."""


def elasticities(landscape: Landscape, chosen: int, cost: CostName) -> tuple[Elasticity, ...]:
    """The next dearer step along each axis that is predicted to help, the best one first.

    Args:
        landscape: The candidates.
        chosen: Row to start from.
        cost: What dearer means.
    """
    found = []
    spent = landscape.costs.centre[cost]
    for axis in AXES:
        rows = landscape.neighbours(axis, chosen)
        rows = rows[spent[rows] > spent[chosen] * (1 + _LEAST_STEP)]
        rows = rows[landscape.quality.mean[rows] < landscape.quality.mean[chosen]]
        if rows.size:
            best = _steepest(landscape, chosen, rows, spent)
            found.append(_elasticity(landscape, axis, chosen, best, cost))
    return tuple(sorted(found, key=lambda one: one.elasticity.mean))


def _steepest(landscape: Landscape, chosen: int, rows: Index, spent: Array) -> int:
    error = landscape.quality.mean
    slope = np.log(error[rows] / error[chosen]) / np.log(spent[rows] / spent[chosen])
    return int(rows[np.argmin(slope)])


def _elasticity(
    landscape: Landscape, axis: str, chosen: int, row: int, cost: CostName
) -> Elasticity:
    quality, spent = landscape.quality, landscape.costs.centre[cost]
    ratio = float(spent[row] / spent[chosen])
    own, other = quality.draws_of(chosen).astype(float), quality.draws_of(row).astype(float)
    tail = (1 - quality.level) / 2
    drawn = np.stack([own - other, np.log(other / own) / np.log(ratio)])
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=1).tolist()
    mean = float(quality.mean[chosen] - quality.mean[row])
    slope = float(np.log(quality.mean[row] / quality.mean[chosen]) / np.log(ratio))
    return Elasticity(
        axis=axis,
        configuration=landscape.lattice[row],
        cost=cost,
        cost_ratio=ratio,
        gain=Range(mean=mean, lower=low[0], upper=high[0]),
        elasticity=Range(mean=slope, lower=low[1], upper=high[1]),
    )


def kept_along(axis: str, lattice: Lattice) -> Index:
    """A number for each row, the same where what a step along an axis keeps is."""
    kept = lattice.without(AXES[axis])
    return kept + lattice.by_depth if "model" in AXES[axis] else kept
