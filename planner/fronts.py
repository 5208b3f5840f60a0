"""Pareto fronts over any two of quality and the costs, their knee, and how much they dominate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.answer import Front, FrontPoint, Range
from planner.arrays import Array, Index, Mask
from planner.evidence import METRIC_OF
from planner.question import UNITS, FrontAxis

if TYPE_CHECKING:
    from planner.landscape import Landscape

_LEAST_FOR_A_KNEE = 3


def front(landscape: Landscape, x: FrontAxis, y: FrontAxis, among: Mask | None = None) -> Front:
    """Candidates that no other is predicted to beat on both axes, ordered along the first.

    Args:
        landscape: The candidates.
        x: A cost, or ``quality``.
        y: Another.
        among: Rows to look at; all when left out.
    """
    rows = front_rows(landscape.column(x), landscape.column(y), among)
    return Front(
        x=_name(landscape, x),
        y=_name(landscape, y),
        x_unit=_unit(x),
        y_unit=_unit(y),
        points=tuple(
            FrontPoint(
                configuration=landscape.lattice[row],
                x=_range(landscape, x, row),
                y=_range(landscape, y, row),
                basis=landscape.quality.basis_of(row),
            )
            for row in rows.tolist()
        ),
        knee=_knee(landscape, x, y, rows),
        hypervolume=_hypervolume(landscape, x, y, rows, among),
    )


def front_rows(x: Array, y: Array, among: Mask | None = None) -> Index:
    """Rows that no other is as small as on both axes, ordered along the first."""
    rows = np.arange(len(x)) if among is None else np.flatnonzero(among)
    order = rows[np.lexsort((y[rows], x[rows]))]
    ranked = y[order]
    before = np.concatenate([[np.inf], np.minimum.accumulate(ranked)[:-1]])
    found: Index = order[ranked < before]
    return found


def _knee(landscape: Landscape, x: FrontAxis, y: FrontAxis, rows: Index) -> int | None:
    """The point farthest below the line between the front's ends, costs on a log scale.

    The knee of Satopaa et al., "Finding a Kneedle in a Haystack" (2011), for a curve that is
    known at its points. None where no point lies below that line.
    """
    if len(rows) < _LEAST_FOR_A_KNEE:
        return None
    across, down = (_unit_interval(_scaled(landscape, axis)[rows]) for axis in (x, y))
    nearest = int(np.argmin(across + down))
    return nearest if (across + down)[nearest] < 1 else None


def _hypervolume(
    landscape: Landscape, x: FrontAxis, y: FrontAxis, rows: Index, among: Mask | None
) -> Range | None:
    """Share of the box between the best and the worst of all candidates that is dominated.

    Costs count on a log scale. Its interval is over the joint draws of the errors of the
    front's points; without quality among the axes it has no width.
    """
    boxes = []
    for axis in (x, y):
        values = _scaled(landscape, axis)
        values = values if among is None else values[among]
        boxes.append((float(values.min()), float(values.max())))
    if any(low == high for low, high in boxes):
        return None

    def share(across: Array, down: Array) -> Array:
        """Of points, the last dimension, over as many draws as there are."""
        order = np.argsort(across, axis=-1)
        across = np.take_along_axis(across, order, axis=-1)
        lowest = np.minimum.accumulate(np.take_along_axis(down, order, axis=-1), axis=-1)
        edges = np.concatenate([across[..., 1:], np.ones_like(across[..., :1])], axis=-1)
        width = np.clip(edges, 0, 1) - np.clip(across, 0, 1)
        total: Array = (width * (1 - np.clip(lowest, 0, 1))).sum(axis=-1)
        return total

    def place(values: Array, box: tuple[float, float]) -> Array:
        return (values - box[0]) / (box[1] - box[0])

    centre = [
        place(_scaled(landscape, axis)[rows], box) for axis, box in zip((x, y), boxes, strict=True)
    ]
    mean = float(share(centre[0], centre[1]))
    if "quality" not in (x, y):
        return Range(mean=mean, lower=mean, upper=mean)
    drawn = landscape.quality.draws_of(rows).T.astype(float)
    moved = [
        place(drawn, box) if axis == "quality" else np.broadcast_to(own, drawn.shape)
        for axis, box, own in zip((x, y), boxes, centre, strict=True)
    ]
    tail = (1 - landscape.quality.level) / 2
    low, high = np.quantile(share(moved[0], moved[1]), [tail, 1 - tail])
    return Range(mean=mean, lower=float(low), upper=float(high))


def _scaled(landscape: Landscape, axis: FrontAxis) -> Array:
    values = landscape.column(axis)
    return values if axis == "quality" else np.log(values)


def _unit_interval(values: Array) -> Array:
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _range(landscape: Landscape, axis: FrontAxis, row: int) -> Range:
    if axis == "quality":
        estimate = landscape.estimate(row)
        return Range(mean=estimate.mean, lower=estimate.lower, upper=estimate.upper)
    costs, level = landscape.costs, landscape.quality.level
    low, high = (landscape.limit(axis, 0.5 + side * level / 2) for side in (-1, 1))
    mean = float(costs.centre[axis][row])
    # What is paid for devices that surely keep up may be beyond a narrow interval.
    return Range(mean=mean, lower=min(float(low[row]), mean), upper=max(float(high[row]), mean))


def _name(landscape: Landscape, axis: FrontAxis) -> str:
    return METRIC_OF[landscape.lattice.task] if axis == "quality" else axis


def _unit(axis: FrontAxis) -> str:
    return "fraction" if axis == "quality" else UNITS[axis]
