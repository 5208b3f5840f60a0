"""What is predicted of every candidate: it stays while budgets change."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from planner.answer import Estimate, Front
from planner.arrays import Array, Draws, Index, Mask
from planner.costing import Costs
from planner.device import DeviceModel
from planner.evidence import METRIC_OF
from planner.fronts import front
from planner.lattice import Lattice
from planner.moves import kept_along
from planner.quality import Quality
from planner.question import CostName, FrontAxis

_Found = TypeVar("_Found")

_COLUMNS = 40
"""Of fields, qualities, costs with their spreads and limits, and what orders them; on a device."""


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
    _known: dict[Hashable, Any] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of its columns, about, without the draws."""
        return _COLUMNS * 8 * len(self.lattice)

    def limit(self, name: CostName, probability: float) -> Array:
        """Value that a cost stays below with a probability, shape ``(n,)``."""
        return self.once(
            ("limit", name, probability), lambda: self.costs.quantile(name, probability)
        )

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
        return self.once(("front", x, y), lambda: front(self, x, y))

    def once(self, what: Hashable, find: Callable[[], _Found]) -> _Found:
        """What is found from nothing but the landscape: once, since budgets come and go.

        Args:
            what: Names it.
            find: Finds it.
        """
        if what not in self._known:
            self._known[what] = find()
        found: _Found = self._known[what]
        return found

    def neighbours(self, axis: str, row: int) -> Index:
        """Rows that differ from one along an axis of :data:`planner.moves.AXES` alone."""
        found = self.once(("kept", axis), lambda: kept_along(axis, self.lattice))
        return np.flatnonzero(found == found[row])

    def estimate(self, row: int) -> Estimate:
        """A row's quality in the metric's own direction."""
        return quality_estimate(self.quality, row, METRIC_OF[self.lattice.task])

    @cached_property
    def by_model(self) -> Groups:
        """Rows of each model."""
        return Groups.of(self.lattice.labels["model"].codes)

    @cached_property
    def by_place(self) -> Groups:
        """Rows that share each draw."""
        return Groups.of(self.quality.place, len(self.quality.draws))

    @cached_property
    def luckiest(self) -> Draws:
        """Smallest error that any draw has, by row of the draws."""
        lowest: Draws = self.quality.draws.min(axis=1)
        return lowest

    @cached_property
    def optimistic(self) -> Array:
        """Lower end of the interval, by row of the draws."""
        low = np.full(len(self.quality.draws), np.inf)
        low[self.quality.place] = self.quality.lower
        return low


@dataclass(frozen=True)
class Groups:
    """Rows of each code, from 0 on."""

    order: Index
    ends: Index

    @classmethod
    def of(cls, codes: Index, count: int = 0) -> Groups:
        """The rows that have each code."""
        order = np.argsort(codes, kind="stable")
        return cls(order, np.cumsum(np.bincount(codes, minlength=count)))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, code: int) -> Index:
        return self.order[self.ends[code - 1] if code else 0 : self.ends[code]]

    def __iter__(self) -> Iterator[Index]:
        return (self[code] for code in range(len(self)))


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
