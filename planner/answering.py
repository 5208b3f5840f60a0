"""Puts the chosen row of a table into an answer."""

from __future__ import annotations

import numpy as np

from planner import words
from planner.answer import (
    Alternative,
    ComponentFlops,
    Confidence,
    CostReport,
    Estimate,
    Front,
    FrontPoint,
    Recommendation,
)
from planner.cost import utterance_flops
from planner.costing import memory_of, rtf_by_phase
from planner.evidence import METRIC_OF, Evidence
from planner.question import UNITS
from planner.table import Table, quality_estimate
from planner.verification import plan_verification

RELAXATION = 1.2
"""What-if behind every answer: 20 % more of a budget that binds."""


def answer(table: Table, chosen: int, evidence: Evidence) -> Recommendation:
    """The recommendation for a row of a table.

    Args:
        table: Every candidate.
        chosen: The row.
        evidence: What it rests on.
    """
    return _Answering(table, chosen, evidence).recommendation()


class _Answering:
    def __init__(self, table: Table, chosen: int, evidence: Evidence) -> None:
        self.table = table
        self.chosen = chosen
        self.evidence = evidence
        self.question = table.question
        self.metric = METRIC_OF[self.question.task]

    def recommendation(self) -> Recommendation:
        table, chosen = self.table, self.chosen
        confidence = self._confidence()
        plan = plan_verification(
            table,
            chosen,
            probability_best=confidence.probability_best,
            probability_within=confidence.probability_within,
            runnable=self.evidence.runnable,
        )
        return Recommendation(
            configuration=table.lattice[chosen],
            predictions=self._predictions(chosen),
            costs=self._costs(chosen),
            confidence=confidence,
            reasons=tuple(words.reasons(table, chosen, self.evidence, RELAXATION)),
            alternatives=self._alternatives(),
            pareto_front=self._front(),
            verification=plan,
            runnable=self._runnable(chosen),
        )

    def _predictions(self, row: int) -> dict[str, Estimate]:
        level = self.question.level
        predictions: dict[str, Estimate] = {
            self.metric: quality_estimate(self.table.quality, row, level, self.metric)
        }
        if self.table.latency is not None:
            predictions["rtf"] = self._rtf(row)
        return predictions

    def _rtf(self, row: int) -> Estimate:
        costs, latency, level = self.table.costs, self.table.latency, self.question.level
        assert latency is not None
        timed = bool(costs.timed[row])
        fitted = latency.fits[self.table.lattice[row].precision].runs > 0
        return Estimate(
            mean=float(costs.centre["rtf"][row]),
            lower=float(costs.quantile("rtf", 0.5 - level / 2)[row]),
            upper=float(costs.quantile("rtf", 0.5 + level / 2)[row]),
            level=level,
            unit="s/s",
            basis="measured" if timed else "interpolated" if fitted else "extrapolated",
            source="measured" if timed else "predicted",
            provenance=latency.source,
        )

    def _costs(self, row: int) -> CostReport:
        configuration, question = self.table.lattice[row], self.question
        workload = question.workload or self.evidence.workload
        centre, latency = self.table.costs.centre, self.table.latency
        retries = float(self.table.costs.retries[row])
        flops = utterance_flops(configuration, workload, question.convention, retries=retries)
        by_phase = None
        if latency is not None:
            by_phase = rtf_by_phase(configuration, workload, latency, retries)
        dollars = centre.get("usd_per_audio_hour")
        return CostReport(
            gflops_per_utterance=float(centre["gflops_per_utterance"][row]),
            gflops_per_audio_second=float(centre["gflops_per_audio_second"][row]),
            convention=question.convention,
            breakdown=tuple(
                ComponentFlops(component=name, flops=float(value))
                for name, value in flops.components.items()
            ),
            memory_bytes=memory_of(configuration, workload),
            memory_gib=float(centre["memory_gib"][row]),
            parameters=configuration.architecture.parameters,
            rtf=None if latency is None else self._rtf(row),
            rtf_by_phase=by_phase,
            usd_per_audio_hour=None if dollars is None else float(dollars[row]),
            device=question.device,
            retries=retries,
        )

    def _confidence(self) -> Confidence:
        table, chosen, question = self.table, self.chosen, self.question
        quality = table.quality
        own = quality.draws_of(np.array([chosen]))[:, 0]
        lowest = quality.draws[:, np.unique(quality.place[table.allowed])].min(axis=1)
        target = question.target_error
        if target is None:
            best = float(np.mean(lowest >= own * (1 - question.tolerance)))
        else:
            # With a target, better means cheaper and still reaching it.
            cost = table.costs.centre[table.cost_name]
            cheaper = cost < cost[chosen] * (1 - question.tolerance)
            for affordable in table.affordable.values():
                cheaper &= affordable
            reached = (quality.draws[:, np.unique(quality.place[cheaper])] <= target).any(axis=1)
            best = 1.0 - float(reached.mean())
        return Confidence(
            probability_best=best,
            probability_within=table.chances(chosen),
            expected_regret=float(np.mean(own - np.minimum(lowest, own))),
            risk=question.risk,
        )

    def _alternatives(self) -> tuple[Alternative, ...]:
        """The best of each other model, and a much cheaper one of nearly the same quality."""
        table, chosen = self.table, self.chosen
        models = table.lattice.labels["model"]
        cost, error = table.costs.centre[table.cost_name], table.quality.mean
        allowed = np.flatnonzero(table.allowed)
        ordered = allowed[np.argsort(table.objective[allowed], kind="stable")]
        rows = [
            table.best(
                table.allowed & (cost <= 0.8 * cost[chosen]) & (error <= 1.1 * error[chosen])
            ),
            *(
                table.best(table.allowed & (models.codes == model))
                for model in dict.fromkeys(models.codes[ordered].tolist())
                if model != models.codes[chosen]
            ),
        ]
        unique = [row for row in dict.fromkeys(rows) if row is not None and row != chosen]
        return tuple(self._alternative(row) for row in unique[: self.question.alternatives])

    def _alternative(self, row: int) -> Alternative:
        table = self.table
        rtf = table.costs.centre.get("rtf")
        draws = table.quality.draws_of(np.array([row, self.chosen]))
        return Alternative(
            configuration=table.lattice[row],
            predictions=self._predictions(row),
            gflops_per_utterance=float(table.costs.centre["gflops_per_utterance"][row]),
            rtf=None if rtf is None else float(rtf[row]),
            probability_better=float(np.mean(draws[:, 0] < draws[:, 1])),
            runnable=self._runnable(row),
            trade=words.trade(table, self.chosen, row),
        )

    def _front(self) -> Front:
        table, quality = self.table, self.table.quality
        cost = table.costs.centre[table.cost_name]
        points = []
        for row in table.front_rows():
            estimate = quality_estimate(quality, row, self.question.level, self.metric)
            points.append(
                FrontPoint(
                    configuration=table.lattice[row],
                    cost=float(cost[row]),
                    mean=estimate.mean,
                    lower=estimate.lower,
                    upper=estimate.upper,
                    basis=estimate.basis,
                )
            )
        return Front(
            cost=table.cost_name,
            unit=UNITS[table.cost_name],
            metric=self.metric,
            points=tuple(points),
        )

    def _runnable(self, row: int) -> bool:
        configuration = self.table.lattice[row]
        return configuration.model in self.evidence.runnable and configuration.adapter == "none"
