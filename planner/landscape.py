"""What is predicted of every candidate: it stays while budgets change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from planner.answer import Estimate, Front
from planner.arrays import Array, Draws, Index, Mask
from planner.costing import Costs
from planner.device import DeviceModel
from planner.evidence import METRIC_OF
from planner.fronts import front
from planner.lattice import Lattice
from planner.moves import kept_by
from planner.quality import Quality
from planner.question import CostName, FrontAxis


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
    _kept: dict[str, Index] = field(default_factory=dict)
    _fronts: dict[tuple[FrontAxis, FrontAxis], Front] = field(default_factory=dict)

    def limit(self, name: CostName, probability: float) -> Array:
        """Value that a cost stays below with a probability, shape ``(n,)``."""
        if (name, probability) not in self._limits:
            self._limits[name, probability] = self.costs.quantile(name, probability)
        return self._limits[name, probability]

    def holding(self, name: CostName, bound: float, risk: float) -> Mask:
        """Rows that hold a budget, at a tolerated risk."""
        return self.limit(name, 1 - risk) <= bound * (1 + 1e-12)

    def within(self, bounds: Mapping[CostName, float], risk: float) -> Mask:
        """Rows that hold every budget, each at a tolerated risk."""
        every = np.ones(len(self.lattice), dtype=bool)
        for name, bound in bounds.items():
            every &= self.holding(name, bound, risk)
        return every

    def front(self, x: FrontAxis, y: FrontAxis) -> Front:
        """The Pareto front of all candidates over two axes."""
        if (x, y) not in self._fronts:
            self._fronts[x, y] = front(self, x, y)
        return self._fronts[x, y]

    def neighbours(self, axis: str, row: int) -> Index:
        """Rows that differ from one along an axis of :data:`planner.moves.AXES` alone."""
        if axis not in self._kept:
            self._kept[axis] = self.lattice.hashed(kept_by(axis, self.lattice.fields | {"depth"}))
        found = self._kept[axis]
        return np.flatnonzero(found == found[row])

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
