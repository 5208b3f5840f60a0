"""Puts the chosen row of a table into an answer."""

from __future__ import annotations

import numpy as np

from planner.answer import (
    Alternative,
    BudgetReport,
    ComponentFlops,
    Confidence,
    CostReport,
    Deployment,
    Estimate,
    Recommendation,
    Step,
)
from planner.cost import utterance_flops
from planner.cost_groups import memory_of
from planner.costing import rtf_by_phase, timed_audio_s
from planner.evidence import METRIC_OF, Evidence
from planner.moves import elasticities
from planner.question import TIMED, UNITS, CostName
from planner.reasons import reasons, trade
from planner.table import Table
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
            predictions=self._predictions(chosen),
            costs=landscape.once(("costs", chosen), lambda: self._costs(chosen)),
            deployment=self._deployment(chosen),
            confidence=confidence,
            budgets=budgets,
            reasons=tuple(reasons(table, chosen, self.evidence, budgets, steps)),
            alternatives=self._alternatives(),
            elasticities=steps,
            pareto_front=landscape.front(cost, "quality", self.question.risk),
            verification=plan,
            runnable=self.evidence.can_run(self.table.lattice[chosen]),
        )

    def _predictions(self, row: int) -> dict[str, Estimate]:
        return self.table.landscape.once(("predictions", row), lambda: self._predicted(row))

    def _predicted(self, row: int) -> dict[str, Estimate]:
        return {
            self.metric: self.table.landscape.estimate(row),
            **{
                name: self._on_device(name, row)
                for name in TIMED
                if name in self.table.costs.centre
            },
            "memory_gib": self._memory(row),
        }

    def _on_device(self, name: CostName, row: int) -> Estimate:
        device = self.table.device
        assert device is not None
        sources = [device.source_of(self.table.lattice[row].precision)]
        if name == "joules_per_audio_second":
            stated = self.question.device_watts
            sources.append(device.power_source if stated is None else f"{stated:g} W as stated")
        if name == "usd_per_audio_hour":
            sources.append(self._price(row))
        return self._cost(name, row, "; ".join(sources))

    def _price(self, row: int) -> str:
        price, fleet = self.question.usd_per_device_hour, self.table.costs.fleet
        if fleet is None:
            return f"{price:g} USD for an hour of the device at full use"
        return (
            f"{self._devices(row)} devices that keep up, at {price:g} USD an hour each, busy"
            f" {fleet.max_utilisation:.0%} of it at most"
        )

    def _memory(self, row: int) -> Estimate:
        device = self.table.device
        peaks = "no" if device is None or not device.peaks else device.peaks
        where = "" if device is None else f" on {device.device}"
        return self._cost("memory_gib", row, f"closed form, {peaks} measured peaks{where}")

    def _cost(self, name: CostName, row: int, provenance: str) -> Estimate:
        costs, level = self.table.costs, self.question.level
        basis = costs.basis_of(name, row)
        lower, upper = costs.interval(name, level, row)
        return Estimate(
            mean=float(costs.centre[name][row]),
            lower=lower,
            upper=upper,
            level=level,
            unit=UNITS[name],
            basis=basis,
            source="measured" if basis == "measured" else "predicted",
            provenance=provenance,
        )

    def _costs(self, row: int) -> CostReport:
        configuration, question = self.table.lattice[row], self.question
        workload = question.workload or self.evidence.workload
        centre, device = self.table.costs.centre, self.table.device
        retries = float(self.table.costs.retries[row])
        flops = utterance_flops(configuration, workload, question.convention, retries=retries)
        by_phase = None
        if device is not None:
            by_phase = rtf_by_phase(configuration, workload, device, retries)
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
            rtf=None if device is None else self._on_device("rtf", row),
            rtf_by_phase=by_phase,
            device=question.device,
            retries=retries,
        )

    def _deployment(self, row: int) -> Deployment | None:
        """Devices that keep up with what comes in: more only where the upper end needs them."""
        question, costs = self.question, self.table.costs
        workload = question.workload or self.evidence.workload
        if workload.arrivals_per_s is None or self.table.device is None:
            return None
        timed_per_s = workload.arrivals_per_s * timed_audio_s(self.table.lattice[row], workload)
        devices = self._devices(row)
        busy = float(costs.centre["rtf"][row]) * timed_per_s
        price = question.usd_per_device_hour
        return Deployment(
            arrivals_per_s=workload.arrivals_per_s,
            audio_s_per_s=workload.arrivals_per_s * workload.mean_audio_s,
            busy_devices=busy,
            devices=devices,
            utilisation=busy / devices,
            max_utilisation=question.max_utilisation,
            usd_per_hour=None if price is None else devices * price,
        )

    def _devices(self, row: int) -> int:
        fleet, risk = self.table.costs.fleet, self.question.risk
        assert fleet is not None
        surely = self.table.costs.quantile_of("rtf", 1 - risk, row)
        return int(fleet.of_row(row).devices(np.array([surely]))[0])

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
        each = enumerate(table.best_of_each_model())
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
            predictions=self._predictions(row),
            gflops_per_utterance=float(table.costs.centre["gflops_per_utterance"][row]),
            rtf=None if rtf is None else float(rtf[row]),
            probability_better=float(np.mean(draws(row) < draws(self.chosen))),
            runnable=self.evidence.can_run(table.lattice[row]),
            trade=trade(table, self.chosen, row),
        )
