"""What is predicted of the rows of a landscape, as every answer says it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from planner.answer import ComponentFlops, CostReport, Deployment, Estimate, Prediction, Range
from planner.cost import utterance_flops
from planner.cost_groups import memory_of
from planner.costing import GIB, rtf_by_phase, runtimes_of, timed_audio_s
from planner.evidence import METRIC_OF, Evidence
from planner.landscape import Landscape
from planner.quality import on_the_axes
from planner.question import TIMED, UNITS, CostName, Setting
from planner.words import amount, chance

COUNTED: tuple[CostName, ...] = (
    "gflops_per_utterance",
    "gflops_per_audio_second",
    "parameters",
)
"""Costs that are counted: they rest on a formula alone."""


class Estimates:
    """Predictions and costs of single rows; those of a row are made once.

    Args:
        landscape: The candidates.
        question: What was asked: it names the device, the workload and the prices.
        evidence: What the landscape rests on.
    """

    def __init__(self, landscape: Landscape, question: Setting, evidence: Evidence) -> None:
        self._landscape = landscape
        self._question = question
        self._evidence = evidence
        self._workload = question.workload or evidence.workload

    def prediction(self, row: int) -> Prediction:
        """Everything that is known of a row: what a recommendation of it would say, and more.

        Counted costs are among the predictions here, with an interval of no width where they are
        exact.
        """
        configuration = self._landscape.lattice[row]
        found = self.predictions(row) | {name: self._counted(name, row) for name in COUNTED}
        notes = list(self._notes(row))
        metric = METRIC_OF[configuration.task]
        basis = found[metric].basis
        if not on_the_axes(configuration) and basis not in ("measured", "published"):
            del found[metric]
            notes.append(
                f"{metric} is left out: the curves know nothing of reduction"
                f" {configuration.reduction} with adapter {configuration.adapter}, and"
                f" {self._evidence.study} has no measurement of this configuration"
            )
        return Prediction(
            configuration=configuration,
            predictions=found,
            costs=self.costs(row),
            deployment=self.deployment(row),
            runnable=self._evidence.can_run(configuration),
            notes=tuple(notes),
        )

    def predictions(self, row: int) -> dict[str, Estimate]:
        """Quality, memory and on a device what belongs to it, by name."""
        return self._landscape.once(("predictions", row), lambda: self._predicted(row))

    def costs(self, row: int) -> CostReport:
        """What a row costs, by component, part and phase."""
        return self._landscape.once(("costs", row), lambda: self._costs(row))

    def deployment(self, row: int) -> Deployment | None:
        """Devices that keep up with what comes in: more only where the upper end needs them."""
        question, costs = self._question, self._landscape.costs
        workload = self._workload
        if workload.arrivals_per_s is None or self._landscape.device is None:
            return None
        audio_s = timed_audio_s(self._landscape.lattice[row], workload)
        devices = self._devices(row)
        busy = float(costs.centre["rtf"][row]) * workload.arrivals_per_s * audio_s
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

    def _notes(self, row: int) -> Iterator[str]:
        """What a recommendation would not offer it for."""
        device, risk = self._landscape.device, self._question.risk
        if device is None or device.memory_bytes is None:
            return
        memory_gib = device.memory_bytes / GIB
        if not self._landscape.holding("memory_gib", memory_gib, risk)[row]:
            fits = self._landscape.costs.holding("memory_gib", memory_gib, row)
            yield (
                f"it fits into the memory of {device.device}, {amount('memory_gib', memory_gib)},"
                f" with a probability of {chance(fits)} only"
            )

    def _predicted(self, row: int) -> dict[str, Estimate]:
        costs = self._landscape.costs
        return {
            METRIC_OF[self._landscape.lattice.task]: self._landscape.estimate(row),
            **{name: self._on_device(name, row) for name in TIMED if name in costs.centre},
            "memory_gib": self._memory(row),
        }

    def _on_device(self, name: CostName, row: int) -> Estimate:
        device = self._landscape.device
        assert device is not None
        sources = [device.source_of(self._landscape.lattice[row].precision)]
        if name == "joules_per_audio_second":
            stated = self._question.device_watts
            sources.append(device.power_source if stated is None else f"{stated:g} W as stated")
        if name == "usd_per_audio_hour":
            sources.append(self._price(row))
        return self._cost(name, row, "; ".join(sources))

    def _price(self, row: int) -> str:
        price, fleet = self._question.usd_per_device_hour, self._landscape.costs.fleet
        if fleet is None:
            return f"{price:g} USD for an hour of the device at full use"
        return (
            f"{self._devices(row)} devices that keep up, at {price:g} USD an hour each, busy"
            f" {fleet.max_utilisation:.0%} of it at most"
        )

    def _memory(self, row: int) -> Estimate:
        device = self._landscape.device
        runtime = runtimes_of(self._landscape.lattice, self._evidence, device)[
            self._landscape.lattice[row].precision
        ]
        said = [f"closed form and the runtime: {runtime.source}"]
        if device is None:
            said.append(f"{runtime.engine} on a CPU, since no device is named")
        elif device.peaks:
            said.append(f"{device.peaks} measured peaks on {device.device}")
        return self._cost("memory_gib", row, "; ".join(said))

    def _memory_parts(self, row: int) -> dict[str, int]:
        """Bytes by part, which add up to the prediction: the runtime's are what remains."""
        device = self._landscape.device
        kind = "cpu" if device is None else device.kind
        own = memory_of(
            self._landscape.lattice[row],
            self._workload,
            kind,
            float(self._landscape.costs.retries.mean[row]),
        )
        total = float(self._landscape.costs.centre["memory_gib"][row]) * GIB
        return {"runtime": round(total) - sum(own.values()), **own}

    def _counted(self, name: CostName, row: int) -> Estimate:
        how = "registry" if name == "parameters" else f"closed form, {self._question.convention}"
        if not self._landscape.costs.exact(name, row):
            how = f"{how}; the windows that are cut and run again are estimated"
        return self._cost(name, row, how)

    def _cost(self, name: CostName, row: int, provenance: str) -> Estimate:
        costs, level = self._landscape.costs, self._question.level
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
        configuration, question = self._landscape.lattice[row], self._question
        centre, device = self._landscape.costs.centre, self._landscape.device
        retries = float(self._landscape.costs.retries.mean[row])
        flops = utterance_flops(configuration, self._workload, question.convention, retries=retries)
        by_phase = None
        if device is not None:
            by_phase = rtf_by_phase(configuration, self._workload, device, retries)
        return CostReport(
            gflops_per_utterance=float(centre["gflops_per_utterance"][row]),
            gflops_per_audio_second=float(centre["gflops_per_audio_second"][row]),
            gflops_range=self._gflops_range(row),
            convention=question.convention,
            breakdown=tuple(
                ComponentFlops(component=name, flops=float(value))
                for name, value in flops.components.items()
            ),
            memory_bytes=self._memory_parts(row),
            memory_gib=float(centre["memory_gib"][row]),
            parameters=configuration.architecture.parameters,
            rtf=None if device is None else self._on_device("rtf", row),
            rtf_by_phase=by_phase,
            device=question.device,
            retries=retries,
            retries_sd=float(self._landscape.costs.retries.sd[row]),
        )

    def _gflops_range(self, row: int) -> Range:
        costs = self._landscape.costs
        lower, upper = costs.interval("gflops_per_utterance", self._question.level, row)
        mean = float(costs.centre["gflops_per_utterance"][row])
        return Range(mean=mean, lower=lower, upper=upper)

    def _devices(self, row: int) -> int:
        fleet, risk = self._landscape.costs.fleet, self._question.risk
        assert fleet is not None
        surely = self._landscape.costs.quantile_of("rtf", 1 - risk, row)
        return int(fleet.of_row(row).devices(np.array([surely]))[0])
