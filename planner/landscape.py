"""What is predicted of every candidate: it stays while budgets change."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from planner.answer import Estimate, Front, FrontPoint
from planner.arrays import Array, Draws, Index
from planner.costing import Costs
from planner.device import DeviceModel
from planner.evidence import METRIC_OF
from planner.lattice import Lattice
from planner.quality import Quality
from planner.question import UNITS, CostName


@dataclass(frozen=True, eq=False)
class Landscape:
    """Candidates with their quality and their costs, and what orders them.

    Attributes:
        lattice: The candidates.
        quality: Predicted errors.
        costs: Costs for one workload, on one device where one is named.
        device: The device's model.
    """

    lattice: Lattice
    quality: Quality
    costs: Costs
    device: DeviceModel | None
    _limits: dict[tuple[CostName, float], Array] = field(default_factory=dict)
    _fronts: dict[CostName, Front] = field(default_factory=dict)

    def limit(self, name: CostName, probability: float) -> Array:
        """Value that a cost stays below with a probability, shape ``(n,)``."""
        if (name, probability) not in self._limits:
            self._limits[name, probability] = self.costs.quantile(name, probability)
        return self._limits[name, probability]

    def front(self, name: CostName) -> Front:
        """Candidates that nothing cheaper is predicted to beat, from cheap to dear."""
        if name not in self._fronts:
            cost = self.costs.centre[name]
            points = []
            for row in self.front_rows(name).tolist():
                estimate = self.estimate(row)
                points.append(
                    FrontPoint(
                        configuration=self.lattice[row],
                        cost=float(cost[row]),
                        mean=estimate.mean,
                        lower=estimate.lower,
                        upper=estimate.upper,
                        basis=estimate.basis,
                    )
                )
            self._fronts[name] = Front(
                cost=name,
                unit=UNITS[name],
                metric=METRIC_OF[self.lattice.task],
                points=tuple(points),
            )
        return self._fronts[name]

    def front_rows(self, name: CostName) -> Index:
        """Rows of the front."""
        error = self.quality.mean
        order = np.lexsort((error, self.costs.centre[name]))
        ranked = error[order]
        before = np.concatenate([[np.inf], np.minimum.accumulate(ranked)[:-1]])
        rows: Index = order[ranked < before]
        return rows

    def estimate(self, row: int) -> Estimate:
        """A row's quality in the metric's own direction."""
        return quality_estimate(self.quality, row, METRIC_OF[self.lattice.task])

    @cached_property
    def by_model(self) -> list[Index]:
        """Rows of each model."""
        return _split(self.lattice.labels["model"].codes)

    @cached_property
    def by_place(self) -> list[Index]:
        """Rows that share each draw."""
        return _split(self.quality.place, len(self.quality.draws))

    @cached_property
    def luckiest(self) -> Draws:
        """Smallest error that any draw has, by row of the draws."""
        lowest: Draws = self.quality.draws.min(axis=1)
        return lowest

    @cached_property
    def optimistic(self) -> Array:
        """Error that one draw in twenty stays below, by row of the draws."""
        low: Array = np.quantile(self.quality.draws, 0.05, axis=1)
        return low


def _split(codes: Index, count: int | None = None) -> list[Index]:
    """Rows of each code, from 0 on."""
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=count or 0))
    return np.split(order, ends[:-1])


def quality_estimate(quality: Quality, row: int, metric: str) -> Estimate:
    """A row's quality in the metric's own direction."""
    low, mid, high = quality.lower[row], quality.mean[row], quality.upper[row]
    if metric == "ua":
        low, mid, high = 1 - high, 1 - mid, 1 - low
    basis = quality.basis_of(row)
    return Estimate(
        mean=float(mid),
        lower=float(low),
        upper=float(high),
        level=quality.level,
        unit="fraction",
        basis=basis,
        source=basis if basis in ("measured", "published") else "predicted",
        provenance=quality.provenance(row),
    )
