"""Every candidate with its quality and its costs, and which of them may be chosen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from planner import words
from planner.arrays import Array, Draws, Index, Mask
from planner.costing import Costs
from planner.device import DeviceModel
from planner.errors import NoFeasibleConfigurationError
from planner.evidence import METRIC_OF
from planner.landscape import Landscape
from planner.lattice import Lattice
from planner.quality import Quality
from planner.question import CostName, Question

_WORTH_NAMING = 0.005
"""Share of the objective below which a difference is not worth a larger budget."""


_AT_ONCE = 512
"""Rows whose draws fit a processor's cache."""


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
        """The budgets that were named."""
        return self.question.budget.bounds()

    @cached_property
    def cost_name(self) -> CostName:
        """The cost that the answer is drawn against."""
        if self.question.target_error is None:
            return next(iter(self.bounds))
        return self.question.minimise

    @cached_property
    def reaching(self) -> Mask:
        """Rows that reach the target, at the tolerated risk; all where there is none."""
        target = self.question.target_error
        if target is None:
            return np.ones(len(self.lattice), dtype=bool)
        return self.quality.chance_below(target) >= 1 - self.question.risk

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

    def contenders(self, mask: Mask, below: float) -> Index:
        """Places among the draws, of some rows, that are below a bound in any draw."""
        hopeful = self.landscape.luckiest <= below
        wanted = np.zeros(len(hopeful), dtype=bool)
        wanted[self.quality.place[mask]] = True
        return np.flatnonzero(wanted & hopeful)

    def lowest(self, mask: Mask, below: float) -> Draws:
        """Smallest error among some rows in each draw, shape ``(draws,)``.

        Rows that are not below a bound in any draw are left out; infinite without others.
        """
        places, draws = self.contenders(mask, below), self.quality.draws
        lowest: Draws = np.full(draws.shape[1], np.inf, np.float32)
        for first in range(0, len(places), _AT_ONCE):
            some = draws[places[first : first + _AT_ONCE]]
            np.minimum(lowest, some.min(axis=0), out=lowest)
        return lowest

    def least_costs(self, mask: Mask) -> Array:
        """Cost of the cheapest of some rows, by row of the draws; infinite where there is none."""
        least = np.full(len(self.quality.draws), np.inf)
        np.minimum.at(least, self.quality.place[mask], self.costs.centre[self.cost_name][mask])
        return least

    def cheapest(self, mask: Mask, target: float) -> Array:
        """Smallest cost among some rows that reach a target in each draw, shape ``(draws,)``.

        Infinite where none does.
        """
        places, least = self.contenders(mask, target), self.least_costs(mask)
        reached = np.where(self.quality.draws[places] <= target, least[places, None], np.inf)
        found: Array = reached.min(axis=0, initial=np.inf)
        return found

    @cached_property
    def objective(self) -> Array:
        """What is made small: the error, or with a target the cost."""
        if self.question.target_error is None:
            return self.quality.mean
        return self.costs.centre[self.cost_name]

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
        row = self.best(self.allowed)
        if row is None:
            raise self._infeasible()
        return row

    def best(self, mask: Mask) -> int | None:
        """The allowed row with the smallest objective; the cheaper one of equals."""
        return self.best_of(np.flatnonzero(mask))

    def best_of(self, rows: Index) -> int | None:
        """The same among some rows, all of them allowed."""
        if not rows.size:
            return None
        objective = self.objective[rows]
        equals = rows[objective == objective.min()]
        cheapest = self.costs.centre["gflops_per_utterance"][equals].argmin()
        return int(equals[cheapest])

    def relaxed(self, name: CostName, factor: float) -> int | None:
        """The answer if one budget were larger by a factor."""
        more = {**self.bounds, name: self.bounds[name] * factor}
        return self.best(self.reaching & self.landscape.within(more, self.question.risk))

    def next_step(self, name: CostName, chosen: int) -> int | None:
        """The row that is better than the choice and needs least more of one budget."""
        others = {other: bound for other, bound in self.bounds.items() if other != name}
        within = self.landscape.within(others, self.question.risk)
        better = self.objective < self.objective[chosen] * (1 - _WORTH_NAMING)
        rows = np.flatnonzero(self.reaching & within & better)
        if not rows.size:
            return None
        needed = self.landscape.limit(name, 1 - self.question.risk)[rows]
        least = rows[needed <= needed.min() * (1 + 1e-9)]
        return self.best_of(least)

    def _infeasible(self) -> NoFeasibleConfigurationError:
        needed = {
            name: self.landscape.limit(name, 1 - self.question.risk) / bound
            for name, bound in self.bounds.items()
        }
        metric = METRIC_OF[self.question.task]
        rows = np.flatnonzero(self.within)
        if rows.size:
            # Budgets can be held, so it is the target that can't be reached.
            row = int(rows[np.argmin(self.quality.mean[rows])])
            target = self.question.target_error
            assert target is not None
            return NoFeasibleConfigurationError(
                words.unreachable(self, row, target),
                binding="target",
                nearest=self._nearest(row),
                reachable={metric: self.landscape.estimate(row).model_dump()},
            )
        worst = np.max(list(needed.values()), axis=0)
        row = int(np.argmin(worst))
        over = {name: float(ratio[row]) for name, ratio in needed.items()}
        binding = max(over, key=over.__getitem__)
        price = {name: self.bounds[name] * ratio for name, ratio in over.items() if ratio > 1}
        said = [words.infeasible(self, row, binding, price[binding])]
        enough = {}
        for name, factor in self.question.relax.items():
            found = self.relaxed(name, factor)
            if found is not None:
                said.append(words.relaxed(self, found, name, self.bounds[name] * factor))
                enough[name] = self._nearest(found)
        return NoFeasibleConfigurationError(
            "; ".join(said),
            **({"relaxed": enough} if enough else {}),
            binding=binding,
            nearest=self._nearest(row),
            budget={name: self.bounds[name] for name in over},
            needed=price,
        )

    def _nearest(self, row: int) -> dict[str, Any]:
        return {
            "configuration": self.lattice[row].model_dump(mode="json"),
            **{name: float(values[row]) for name, values in self.costs.centre.items()},
        }
