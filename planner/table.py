"""Every candidate with its quality and its costs, and which of them may be chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from planner.arrays import Array, Index, Mask
from planner.costing import Costs
from planner.device import DeviceModel
from planner.landscape import Landscape
from planner.lattice import Lattice
from planner.quality import Quality
from planner.question import CostName, FrontAxis, Question
from planner.ranking import Ranking
from planner.shortfall import Shortfall

_WORTH_NAMING = 0.005
"""Share of the objective below which a difference is not worth a larger budget."""

_SHOWN_POINTS = 0.00005
"""Least error saved that is not printed as 0.00 points."""


@dataclass(frozen=True)
class Table:
    """A question held against a landscape.

    Attributes:
        landscape: What is predicted of every candidate.
        question: What was asked.
    """

    landscape: Landscape
    question: Question

    @property
    def lattice(self) -> Lattice:
        """The candidates."""
        return self.landscape.lattice

    @property
    def quality(self) -> Quality:
        """Their predicted errors."""
        return self.landscape.quality

    @property
    def costs(self) -> Costs:
        """Their costs."""
        return self.landscape.costs

    @property
    def device(self) -> DeviceModel | None:
        """The device's model, where one is named."""
        return self.landscape.device

    @cached_property
    def bounds(self) -> dict[CostName, float]:
        """The budgets that were named, and the device's memory where it is a limit."""
        return self.landscape.bounds(self.question)

    def of_device(self, name: CostName) -> str | None:
        """Device whose memory a bound is; none where the bound was named."""
        return self.landscape.of_device(name, self.question)

    @cached_property
    def cost_name(self) -> CostName:
        """The cost that the answer is drawn against."""
        if self.question.target_error is None:
            return next(iter(self.bounds))
        return self.question.minimise

    @cached_property
    def reaching(self) -> Mask:
        """Rows that reach the target, at the tolerated risk; all where there is none."""
        return self.landscape.reaching(self.question.target_error, self.question.risk)

    @cached_property
    def allowed(self) -> Mask:
        """Rows that meet every budget and the target, at the tolerated risk."""
        return self.reaching & self.within

    @cached_property
    def within(self) -> Mask:
        """Rows that hold every budget, at the tolerated risk."""
        return self.landscape.within(self.bounds, self.question.risk)

    def chances(self, row: int) -> dict[str, float]:
        """Probability that a row meets each budget, and the target."""
        target = self.question.target_error
        found: dict[str, float] = {
            name: self.costs.holding(name, bound, row) for name, bound in self.bounds.items()
        }
        if target is not None:
            own = self.quality.draws_of(row)
            found["target"] = float((own <= target).mean())
        return found

    def places(self, mask: Mask) -> Mask:
        """Which of the draws some rows have."""
        found = np.zeros(len(self.quality.draws), dtype=bool)
        found[self.quality.place[mask]] = True
        return found

    @cached_property
    def allowed_places(self) -> Mask:
        """Which of the draws the allowed rows have."""
        return self.places(self.allowed)

    def reaching_at_less(self, chosen: int) -> tuple[Index, Array, Mask]:
        """What is cheaper than a row and reaches the target in any draw.

        Returns:
            Which of the draws; the least cost of each, as a share of the row's; and all rows
            within the budgets that are cheaper.
        """
        target, cost = self.question.target_error, self.costs.centre[self.cost_name]
        assert target is not None
        cheaper = self.within & (cost < cost[chosen])
        least = np.full(len(self.quality.draws), np.inf)
        np.minimum.at(least, self.quality.place[cheaper], cost[cheaper])
        places = self.landscape.joint.below(np.isfinite(least), target)
        return places, least[places] / cost[chosen], cheaper

    @property
    def made_small(self) -> FrontAxis:
        """Name of what is made small."""
        return "quality" if self.question.target_error is None else self.cost_name

    @property
    def objective(self) -> Array:
        """What is made small: the error, or with a target the cost."""
        return self.landscape.column(self.made_small)

    @cached_property
    def violation(self) -> Array:
        """By how much the worst budget or target is missed; 0 or less if none is."""
        worst = np.full(len(self.lattice), -np.inf)
        target = self.question.target_error
        if target is not None:
            worst = (1 - self.question.risk) - self.quality.chance_below(target)
        for name, bound in self.bounds.items():
            reach = self.landscape.limit(name, 1 - self.question.risk)
            worst = np.maximum(worst, np.log(reach / bound))
        return worst

    def choose(self) -> int:
        """Row of the answer.

        Raises:
            NoFeasibleConfigurationError: No row is allowed.
        """
        row = self.chosen(self.allowed)
        if row is None:
            question = self.question
            raise Shortfall(
                self.landscape,
                question,
                self.made_small,
                question.target_error,
                question.relax,
                self.asked,
                question.tolerance,
            ).error()
        return row

    @cached_property
    def asked(self) -> tuple[CostName, ...]:
        """Costs that were asked about; the one that the answer is drawn against comes first."""
        named = (name for name in self.question.asked_of if name != "quality")
        return tuple(dict.fromkeys([self.cost_name, *named]))

    def best(self, mask: Mask) -> int | None:
        """The row of a mask with the smallest objective; the one of fewer FLOPs of equals."""
        return self._ranking.best(mask)

    def chosen(self, mask: Mask) -> int | None:
        """The row of a mask that is the answer: of those about as good as the best the cheapest."""
        return self.landscape.chosen(self.made_small, mask, self.asked, self.question.tolerance)

    def chosen_of_each_model(self) -> list[int | None]:
        """The allowed row of each model that would be the answer, by its code."""
        return self.landscape.chosen_of_each(
            self.made_small, self.allowed, self.asked, self.question.tolerance
        )

    @property
    def _ranking(self) -> Ranking:
        return self.landscape.ranking(self.made_small)

    def relaxed(self, factors: Mapping[CostName, float]) -> int | None:
        """The answer if budgets were larger, each by a factor."""
        more = {name: bound * factors.get(name, 1) for name, bound in self.bounds.items()}
        return self.chosen(self.reaching & self.landscape.within(more, self.question.risk))

    def gain(self, row: int, chosen: int) -> float:
        """Error that a row saves of the choice's; with a target, the share of its cost."""
        before, after = float(self.objective[chosen]), float(self.objective[row])
        return before - after if self.question.target_error is None else 1 - after / before

    def buys(self, row: int, chosen: int) -> bool:
        """Whether a row gains what shows when it is printed."""
        targeted = self.question.target_error is not None
        return self.gain(row, chosen) >= (_WORTH_NAMING if targeted else _SHOWN_POINTS)

    def next_step(self, name: CostName, chosen: int) -> int | None:
        """The answer at the least more of one budget that makes it better."""
        risk, own = self.question.risk, float(self.objective[chosen])
        others = {other: bound for other, bound in self.bounds.items() if other != name}
        within = self.reaching & self.landscape.within(others, risk)
        below = own * (1 - _WORTH_NAMING)
        if self.question.target_error is None:
            # The choice stays until something is better by more than the tolerance.
            below = min(below, own - _SHOWN_POINTS, own / (1 + self.question.tolerance))
        needed = self.landscape.limit(name, 1 - risk)
        more = needed[within & (self.objective < below)]
        least = more.min(initial=np.inf, where=more > self.bounds[name] * (1 + 1e-12))
        if not np.isfinite(least):
            return None
        within &= needed <= least * (1 + 1e-9)
        row = self.chosen(within)
        return row if row is not None and self.buys(row, chosen) else self.best(within)
