"""Every candidate with its quality and its costs, and which of them may be chosen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from models_registry.configuration import Configuration
from planner import words
from planner.answer import Estimate
from planner.arrays import Array, Mask
from planner.costing import Costs
from planner.errors import NoFeasibleConfigurationError
from planner.evidence import METRIC_OF
from planner.latency import LatencyModel
from planner.quality import Quality
from planner.question import CostName, Question


@dataclass(frozen=True)
class Table:
    """Candidates as rows, with everything a decision about them needs.

    Attributes:
        configurations: The rows.
        question: What was asked.
        quality: Predicted errors.
        costs: Costs.
        latency: The device's model, where one is named.
    """

    configurations: tuple[Configuration, ...]
    question: Question
    quality: Quality
    costs: Costs
    latency: LatencyModel | None

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
    def held(self) -> dict[str, Array]:
        """Probability that each budget, and the target, is met."""
        held: dict[str, Array] = {
            name: self.costs.holding(name, bound) for name, bound in self.bounds.items()
        }
        target = self.question.target_error
        if target is not None:
            held["target"] = (self.quality.draws <= target).mean(axis=0)
        return held

    @cached_property
    def allowed(self) -> Mask:
        """Rows that meet every budget and the target, at the tolerated risk."""
        return self.allowed_by(self.held)

    def allowed_by(self, held: dict[str, Array]) -> Mask:
        """Rows whose chances all reach what the tolerated risk asks for."""
        mask = np.ones(len(self.configurations), dtype=bool)
        for chance in held.values():
            mask &= chance >= 1 - self.question.risk
        return mask

    @cached_property
    def objective(self) -> Array:
        """What is made small: the error, or with a target the cost."""
        if self.question.target_error is None:
            return self.quality.mean
        return self.costs.centre[self.cost_name]

    @cached_property
    def violation(self) -> Array:
        """By how much the worst budget or target is missed; 0 or less if none is."""
        worst = np.full(len(self.configurations), -np.inf)
        for chance in self.held.values():
            worst = np.maximum(worst, (1 - self.question.risk) - chance)
        for name, bound in self.bounds.items():
            reach = self.costs.quantile(name, 1 - self.question.risk)
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
        rows = np.flatnonzero(mask)
        if not rows.size:
            return None
        second = self.costs.centre["gflops_per_utterance"]
        return int(rows[np.lexsort((second[rows], self.objective[rows]))[0]])

    def relaxed(self, name: CostName, factor: float) -> int | None:
        """The answer if one budget were larger by a factor."""
        held = {**self.held, name: self.costs.holding(name, self.bounds[name] * factor)}
        return self.best(self.allowed_by(held))

    def front_rows(self) -> list[int]:
        """Rows that nothing cheaper is predicted to beat, from cheap to dear."""
        cost, error = self.costs.centre[self.cost_name], self.quality.mean
        rows, lowest = [], np.inf
        for row in np.lexsort((error, cost)):
            if error[row] < lowest:
                lowest = float(error[row])
                rows.append(int(row))
        return rows

    def _infeasible(self) -> NoFeasibleConfigurationError:
        needed = {
            name: self.costs.quantile(name, 1 - self.question.risk) / bound
            for name, bound in self.bounds.items()
        }
        within = np.ones(len(self.configurations), dtype=bool)
        for ratio in needed.values():
            within &= ratio <= 1 + 1e-12
        metric = METRIC_OF[self.question.task]
        if within.any():
            # Budgets can be held, so it is the target that can't be reached.
            rows = np.flatnonzero(within)
            row = int(rows[np.argmin(self.quality.mean[rows])])
            target = self.question.target_error
            assert target is not None
            return NoFeasibleConfigurationError(
                words.unreachable(self, row, target),
                binding="target",
                nearest=self._nearest(row),
                reachable={
                    metric: quality_estimate(
                        self.quality, row, self.question.level, metric
                    ).model_dump()
                },
            )
        worst = np.max(list(needed.values()), axis=0)
        row = int(np.argmin(worst))
        over = {name: float(ratio[row]) for name, ratio in needed.items()}
        binding = max(over, key=over.__getitem__)
        price = {name: self.bounds[name] * ratio for name, ratio in over.items() if ratio > 1}
        return NoFeasibleConfigurationError(
            words.infeasible(self, row, binding, price[binding]),
            binding=binding,
            nearest=self._nearest(row),
            budget={name: self.bounds[name] for name in over},
            needed=price,
        )

    def _nearest(self, row: int) -> dict[str, Any]:
        configuration = self.configurations[row]
        return {
            "configuration": configuration.model_dump(mode="json"),
            **{name: float(values[row]) for name, values in self.costs.centre.items()},
        }


def quality_estimate(quality: Quality, row: int, level: float, metric: str) -> Estimate:
    """One row's quality in the metric's own direction."""
    low, mid, high = quality.lower[row], quality.mean[row], quality.upper[row]
    if metric == "ua":
        low, mid, high = 1 - high, 1 - mid, 1 - low
    basis = quality.basis[row]
    return Estimate(
        mean=float(mid),
        lower=float(low),
        upper=float(high),
        level=level,
        unit="fraction",
        basis=basis,
        source=basis if basis in ("measured", "published") else "predicted",
        provenance=quality.provenance[row],
    )
