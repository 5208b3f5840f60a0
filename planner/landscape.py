"""What is predicted of every candidate: it stays while budgets change."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from planner.answer import Estimate, Front
from planner.arrays import Array, Groups, Index, Mask
from planner.choice import EQUAL, chosen
from planner.costing import GIB, Costs
from planner.device import DeviceModel
from planner.evidence import METRIC_OF
from planner.fronts import front
from planner.joint import Joint
from planner.lattice import Lattice
from planner.moves import kept_along
from planner.quality import Quality
from planner.question import CostName, FrontAxis, Setting
from planner.ranking import Ranking

_Found = TypeVar("_Found")

_COLUMNS = 40
"""Of fields, qualities, costs with their spreads and limits, and what orders them; on a device."""

_KEPT = 200
"""Of what was found: risks and rows asked about may be without end."""


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

    def fitting(self, risk: float) -> Mask | None:
        """Rows that fit into the device's memory, at a tolerated risk; none where all do."""
        if self.device is None or self.device.memory_bytes is None:
            return None
        memory_gib = self.device.memory_bytes / GIB

        def fit() -> Mask | None:
            held = self.holding("memory_gib", memory_gib, risk)
            return None if held.all() else held

        return self.once(("fitting", risk), fit)

    def bounds(self, question: Setting) -> dict[CostName, float]:
        """The budgets that were named, and the device's memory where not every row fits."""
        stated = question.budget.bounds()
        if self.device is None or self.fitting(question.risk) is None:
            return stated
        assert self.device.memory_bytes is not None
        memory_gib = self.device.memory_bytes / GIB
        return {**stated, "memory_gib": min(stated.get("memory_gib", np.inf), memory_gib)}

    def of_device(self, name: CostName, question: Setting) -> str | None:
        """Device whose memory a bound is; none where the bound was named."""
        if name != "memory_gib" or self.bounds(question).get(name) == question.budget.memory_gib:
            return None
        return question.device

    def reaching(self, target: float | None, risk: float) -> Mask:
        """Rows that reach a target, at a tolerated risk; all where there is none."""
        if target is None:
            return np.ones(len(self.lattice), dtype=bool)
        surely = self.once(("error", risk), lambda: self.joint.quantile(1 - risk))
        reached: Mask = (surely <= target)[self.quality.place]
        return reached

    def column(self, axis: FrontAxis) -> Array:
        """Errors or a cost, of which less is better, shape ``(n,)``."""
        return self.quality.mean if axis == "quality" else self.costs.centre[axis]

    def ranking(self, by: FrontAxis) -> Ranking:
        """Rows by quality or a cost, the best first, those of fewer FLOPs before their equals."""
        gflops, models = self.column("gflops_per_utterance"), self.lattice.labels["model"]
        return self.once(("ranking", by), lambda: Ranking.of(self.column(by), gflops, models))

    def chosen(
        self, by: FrontAxis, among: Mask, asked: Sequence[CostName], tolerance: float
    ) -> int | None:
        """The row that is chosen of a mask: :func:`planner.choice.chosen` of the best by an axis.

        Args:
            by: What is to be small.
            among: Rows that may be chosen.
            asked: Costs asked about.
            tolerance: Share of the error that does not matter; of a cost all does.
        """
        near = self.ranking(by).near(among, tolerance if by == "quality" else EQUAL)
        return self.chosen_of(near, asked) if near.size else None

    def chosen_of_each(
        self, by: FrontAxis, among: Mask, asked: Sequence[CostName], tolerance: float
    ) -> list[int | None]:
        """The same of each model, by its code."""
        share = tolerance if by == "quality" else EQUAL
        each = self.ranking(by).near_of_each(among, share)
        return [self.chosen_of(rows, asked) if rows.size else None for rows in each]

    def chosen_of(self, rows: Index, asked: Sequence[CostName] = ()) -> int:
        """The row that is chosen of some that are as good, at least one."""
        return chosen(rows, self.lattice, self.costs, self.quality.mean, asked)

    def front(self, x: FrontAxis, y: FrontAxis, risk: float) -> Front:
        """The Pareto front over two axes of all candidates that fit into the device's memory."""
        fitting = self.fitting(risk)
        key = ("front", x, y, None if fitting is None else risk)
        return self.once(key, lambda: front(self, x, y, fitting))

    def once(self, what: Hashable, find: Callable[[], _Found]) -> _Found:
        """What is found from nothing but the landscape: once, since budgets come and go.

        Args:
            what: Names it.
            find: Finds it.
        """
        try:
            found: _Found = self._known[what]
        except KeyError:
            found = self._known[what] = find()
            for oldest in list(self._known)[:-_KEPT]:
                self._known.pop(oldest, None)
        return found

    def neighbours(self, axis: str, row: int) -> Index:
        """Rows that differ from one along an axis of :data:`planner.moves.AXES` alone."""
        found = self.once(("kept", axis), lambda: kept_along(axis, self.lattice))
        return np.flatnonzero(found == found[row])

    def estimate(self, row: int) -> Estimate:
        """A row's quality in the metric's own direction."""
        return quality_estimate(self.quality, row, METRIC_OF[self.lattice.task])

    @cached_property
    def by_place(self) -> Groups:
        """Rows that share each draw."""
        return Groups.of(self.quality.place, len(self.quality.draws))

    @cached_property
    def row_at(self) -> Index:
        """One of the rows that share each draw; -1 where none has it."""
        found = np.full(len(self.quality.draws), -1, dtype=np.int64)
        found[self.quality.place] = np.arange(len(self.lattice))
        return found

    @cached_property
    def joint(self) -> Joint:
        """The draws; the dearer of a model and a precision come after the cheaper."""
        labels, gflops = self.lattice.labels, self.costs.centre["gflops_per_utterance"]
        places = np.flatnonzero(self.row_at >= 0)
        rows = self.row_at[places]
        keys = (gflops, labels["precision"].codes, labels["model"].codes)
        return Joint.of(self.quality.draws, places[np.lexsort([key[rows] for key in keys])])


def quality_estimate(quality: Quality, row: int, metric: str) -> Estimate:
    """A row's quality in the metric's own direction."""
    low, mid, high = quality.lower[row], quality.mean[row], quality.upper[row]
    if metric == "ua":
        low, mid, high = 1 - high, 1 - mid, 1 - low
    basis, raw = quality.basis_of(row), quality.raw_error(row)
    return Estimate(
        mean=float(mid),
        lower=float(low),
        upper=float(high),
        level=quality.level,
        unit="fraction",
        basis=basis,
        source=basis if basis in ("measured", "published") else "predicted",
        provenance=quality.provenance(row),
        observed=1 - raw if raw is not None and metric == "ua" else raw,
    )
