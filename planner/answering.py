"""Puts the chosen row of a table into an answer."""

from __future__ import annotations

import numpy as np

from planner.answer import Alternative, BudgetReport, Confidence, Influence, Recommendation, Step
from planner.estimates import Estimates
from planner.evidence import Evidence
from planner.moves import elasticities
from planner.question import UNITS, CostName
from planner.reasons import reasons, trade
from planner.table import Table
from planner.verification import plan_verification

RELAXATION = 1.2
"""What-if behind every answer: 20 % more of a budget that binds."""


def answer(
    table: Table, chosen: int, evidence: Evidence, influences: tuple[Influence, ...] = ()
) -> Recommendation:
    """The recommendation for a row of a table.

    Args:
        table: Every candidate.
        chosen: The row.
        evidence: What it rests on.
        influences: Other studies that moved the prediction of the row.
    """
    return _Answering(table, chosen, evidence, influences).recommendation()


class _Answering:
    def __init__(
        self, table: Table, chosen: int, evidence: Evidence, influences: tuple[Influence, ...]
    ) -> None:
        self.influences = influences
        self.table = table
        self.chosen = chosen
        self.evidence = evidence
        self.question = table.question
        self.estimates = Estimates(table.landscape, table.question, evidence)

    def recommendation(self) -> Recommendation:
        table, chosen = self.table, self.chosen
        confidence = self._confidence()
        budgets = tuple(
            self._budget(name, bound, confidence.probability_within[name])
            for name, bound in table.bounds.items()
        )
        # A device has the memory that it has: it is named where more would buy something.
        budgets = tuple(b for b in budgets if b.of_device is None or b.binds or b.next_step)
        plan = plan_verification(
            table,
            chosen,
            probability_best=confidence.probability_best,
            probability_within=confidence.probability_within,
            evidence=self.evidence,
        )
        landscape, cost = table.landscape, table.cost_name
        steps = landscape.once(
            ("elasticities", cost, chosen), lambda: elasticities(landscape, chosen, cost)
        )
        return Recommendation(
            configuration=table.lattice[chosen],
            predictions=self.estimates.predictions(chosen),
            costs=self.estimates.costs(chosen),
            deployment=self.estimates.deployment(chosen),
            confidence=confidence,
            budgets=budgets,
            reasons=tuple(reasons(table, chosen, self.evidence, budgets, steps, self.influences)),
            alternatives=self._alternatives(),
            elasticities=steps,
            pareto_front=landscape.front(cost, "quality", self.question.risk),
            verification=plan,
            runnable=self.evidence.can_run(self.table.lattice[chosen]),
            influences=self.influences,
        )

    def _confidence(self) -> Confidence:
        table, chosen, question = self.table, self.chosen, self.question
        quality = table.quality
        own = quality.draws_of(chosen)
        target = question.target_error
        if target is None:
            lowest = table.landscape.joint.smallest(table.allowed_places, float(own.max()))
            best = float(np.mean(lowest >= own * (1 - question.tolerance)))
            regret = float(np.mean(own - np.minimum(lowest, own)))
        else:
            # With a target, better means cheaper and still reaching it.
            places, shares, _ = table.reaching_at_less(chosen)
            least = table.landscape.joint.cheapest(places, shares, target)
            best = float(np.mean(least >= 1 - question.tolerance))
            regret = float(np.mean(1 - np.minimum(least, 1)))
        return Confidence(
            probability_best=best,
            probability_within=table.chances(chosen),
            expected_regret=regret,
            risk=question.risk,
        )

    def _budget(self, name: CostName, bound: float, probability: float) -> BudgetReport:
        table, chosen = self.table, self.chosen
        factor = self.question.relax.get(name, RELAXATION)
        row = table.relaxed({name: factor})
        binds = row is not None and table.buys(row, chosen)
        beyond = table.next_step(name, chosen)
        needed = table.landscape.limit(name, 1 - self.question.risk)
        return BudgetReport(
            name=name,
            unit=UNITS[name],
            bound=bound,
            value=float(table.costs.centre[name][chosen]),
            probability=probability,
            binds=binds,
            factor=factor,
            relaxed=self._step(row, bound, bound * factor) if row is not None and binds else None,
            next_step=None if beyond is None else self._step(beyond, bound, float(needed[beyond])),
            of_device=table.of_device(name),
        )

    def _step(self, row: int, bound: float, larger: float) -> Step:
        gain = self.table.gain(row, self.chosen)
        return Step(
            bound=larger,
            configuration=self.table.lattice[row],
            gain=gain,
            price=gain / (larger - bound),
        )

    def _alternatives(self) -> tuple[Alternative, ...]:
        """The best of each other model, and a much cheaper one of nearly the same quality."""
        table, chosen = self.table, self.chosen
        cost, error = table.costs.centre[table.cost_name], table.quality.mean
        own = table.lattice.labels["model"].codes[chosen]
        each = enumerate(table.chosen_of_each_model())
        found = [row for model, row in each if model != own and row is not None]
        rows = [
            table.best(
                table.allowed & (cost <= 0.8 * cost[chosen]) & (error <= 1.1 * error[chosen])
            ),
            *sorted(found, key=lambda row: float(table.objective[row])),
        ]
        _, kinds = table.lattice.alone
        unique: dict[int, int] = {}
        for row in rows:
            # What is both worse and dearer trades nothing.
            if row is not None and (cost[row] < cost[chosen] or error[row] < error[chosen]):
                unique.setdefault(int(kinds[row]), row)
        found = list(unique.values())[: self.question.alternatives]
        return tuple(self._alternative(row) for row in found)

    def _alternative(self, row: int) -> Alternative:
        table = self.table
        rtf = table.costs.centre.get("rtf")
        draws = table.quality.draws_of
        return Alternative(
            configuration=table.lattice[row],
            predictions=self.estimates.predictions(row),
            gflops_per_utterance=float(table.costs.centre["gflops_per_utterance"][row]),
            rtf=None if rtf is None else float(rtf[row]),
            probability_better=float(np.mean(draws(row) < draws(self.chosen))),
            runnable=self.evidence.can_run(table.lattice[row]),
            trade=trade(table, self.chosen, row),
        )
