"""Why nothing may be chosen: the nearest candidate, what binds, and what it would take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from planner import refusals
from planner.arrays import Array, Index, Mask
from planner.errors import NoFeasibleConfigurationError
from planner.evidence import METRIC_OF
from planner.landscape import Landscape
from planner.question import CostName, FrontAxis, Setting


@dataclass(frozen=True, eq=False)
class Shortfall:
    """Budgets that no candidate holds, or a target that none reaches within them.

    Attributes:
        landscape: The candidates.
        setting: What was asked.
        made_small: What is to be small: quality, or a cost.
        target: Error to reach, where one was named.
        relax: Factors of budgets to say the answer with.
        asked: Costs that were asked about.
        tolerance: Share of the error that does not matter.
    """

    landscape: Landscape
    setting: Setting
    made_small: FrontAxis
    target: float | None = None
    relax: Mapping[CostName, float] = field(default_factory=dict)
    asked: Sequence[CostName] = ()
    tolerance: float = 0.0

    def error(self) -> NoFeasibleConfigurationError:
        """What to raise."""
        if not self._reaching.any() and self._within(self.bounds).any():
            return self._unreachable()
        return self._too_dear()

    @property
    def risk(self) -> float:
        """Tolerated probability that a budget, or the target, is missed."""
        return self.setting.risk

    @cached_property
    def bounds(self) -> Mapping[CostName, float]:
        """The budgets, and the device's memory where it is a limit."""
        return self.landscape.bounds(self.setting)

    @cached_property
    def _reaching(self) -> Mask:
        return self.landscape.reaching(self.target, self.risk)

    def _within(self, bounds: Mapping[CostName, float]) -> Mask:
        return self.landscape.within(bounds, self.risk)

    def _needed(self, name: CostName, rows: Index) -> Array:
        found: Array = self.landscape.limit(name, 1 - self.risk)[rows]
        return found

    def _unreachable(self) -> NoFeasibleConfigurationError:
        """The target, with no budget at all."""
        said, details = self._likeliest()
        none = refusals.unreachable(self.landscape, self.target or 0, self.risk, self.bounds)
        return NoFeasibleConfigurationError(f"{none}; {said}", binding="target", **details)

    def _likeliest(self) -> tuple[str, dict[str, Any]]:
        """What is within every budget and likeliest to reach the target."""
        quality, rows = self.landscape.quality, np.flatnonzero(self._within(self.bounds))
        chances = quality.chance_below(self.target or 0)
        row = int(rows[np.lexsort((quality.mean[rows], -chances[rows]))[0]])
        chance, estimate = float(chances[row]), self.landscape.estimate(row)
        metric = METRIC_OF[self.landscape.lattice.task]
        said = refusals.likeliest(self.landscape, row, chance, bounded=bool(self.bounds))
        return said, {
            "nearest": self._named(row),
            "chance": chance,
            "reachable": {metric: estimate.model_dump()},
        }

    def _too_dear(self) -> NoFeasibleConfigurationError:
        """The budgets, for the target where any candidate reaches it."""
        reachable, landscape = bool(self._reaching.any()), self.landscape
        rows = np.flatnonzero(self._reaching | (not reachable))
        ratios = {name: self._needed(name, rows) / bound for name, bound in self.bounds.items()}
        worst = np.max(list(ratios.values()), axis=0)
        row = landscape.chosen_of(rows[worst <= worst.min() * (1 + 1e-9)])
        place = int(np.searchsorted(rows, row))
        over = {name: float(r[place]) for name, r in ratios.items()}
        binding = max(over, key=over.__getitem__)
        price = {name: self.bounds[name] * ratio for name, ratio in over.items() if ratio > 1}
        device = landscape.of_device(binding, self.setting)
        said = [refusals.infeasible(landscape, row, self.bounds[binding], binding, price, device)]
        more: dict[str, Any] = {} if device is None else {"device": device}
        if self.target is not None:
            known = refusals.beyond(landscape, self.target, self.risk, reachable)
            said[0] = f"{known}{said[0]}"
            if reachable and self._within(self.bounds).any():
                best, found = self._likeliest()
                said, more = [*said, best], more | found
        if reachable:
            relaxing, found = self._relaxing()
            said, more = said + relaxing, more | found
        more |= {"nearest": self._named(row), "budget": dict(self.bounds), "needed": price}
        return NoFeasibleConfigurationError("; ".join(said), binding=binding, **more)

    def _relaxing(self) -> tuple[list[str], dict[str, Any]]:
        """What there would be with more of each budget that was to be relaxed, and of all."""
        said, relaxed, alone = [], {}, {}
        for name, factor in self.relax.items():
            larger = {name: self.bounds[name] * factor}
            row = self._with(larger)
            if row is not None:
                relaxed[name] = self._named(row)
            elif (least := self._least(name)) is not None:
                alone[name] = least
            said.append(refusals.relaxed(self.landscape, row, larger, alone.get(name)))
        found: dict[str, Any] = {"relaxed": relaxed, "needed_alone": alone}
        if len(self.relax) > 1:
            larger = {name: self.bounds[name] * factor for name, factor in self.relax.items()}
            row = self._with(larger)
            said.append(refusals.relaxed(self.landscape, row, larger))
            found["relaxed_together"] = None if row is None else self._named(row)
        return said, {name: value for name, value in found.items() if value}

    def _with(self, larger: Mapping[CostName, float]) -> int | None:
        """The answer with other bounds of some budgets."""
        allowed = self._reaching & self._within({**self.bounds, **larger})
        return self.landscape.chosen(self.made_small, allowed, self.asked, self.tolerance)

    def _least(self, name: CostName) -> float | None:
        """What is enough of one budget while the others stay, where anything is."""
        others = {other: bound for other, bound in self.bounds.items() if other != name}
        rows = np.flatnonzero(self._reaching & self._within(others))
        return float(self._needed(name, rows).min()) if rows.size else None

    def _named(self, row: int) -> dict[str, Any]:
        return {
            "configuration": self.landscape.lattice[row].model_dump(mode="json"),
            **{name: float(values[row]) for name, values in self.landscape.costs.centre.items()},
        }
