"""Every cost of every candidate, as columns that budgets are held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from models_registry.configuration import Configuration, Precision
from planner.arrays import Array, Index, Mask
from planner.cost_groups import Group, groups_of
from planner.device import DeviceModel, RuntimeMemory, Timed
from planner.device.memory import fit_own, log_process_bytes, runtime_of
from planner.device.work import in_batch
from planner.evidence import Evidence
from planner.interpolation import along_windows
from planner.lattice import Lattice
from planner.quality import Basis
from planner.quantiles import normal_probability, normal_quantile
from planner.question import TIMED, CostName, Setting
from planner.retries import Rates, retry_rates
from planner.workload import Workload

GIB = 2.0**30

_LEAST_RTF = 1e-9
"""Below it a phase does not run."""


@dataclass(frozen=True)
class Fleet:
    """Devices that keep up with the recordings that come in.

    Attributes:
        audio_s: Seconds of audio, as RTFs are for, that come in a second, shape ``(n,)``.
        max_utilisation: Share of its time that a device may be busy.
        usd_per_hour: Price of one, where it is stated.
    """

    audio_s: Array
    max_utilisation: float
    usd_per_hour: float | None

    def devices(self, rtf: Array) -> Array:
        """How many keep up at an RTF, shape ``(n,)``."""
        count: Array = np.ceil(rtf * self.audio_s / self.max_utilisation)
        return count

    def usd_per_audio_hour(self, rtf: Array) -> Array:
        """What an hour of audio costs then, shape ``(n,)``."""
        assert self.usd_per_hour is not None
        price: Array = self.devices(rtf) * self.usd_per_hour / self.audio_s
        return price

    def slowest(self, usd_per_audio_hour: float, row: int) -> float:
        """Largest RTF of a row at which an hour of audio costs no more; 0 where none does."""
        assert self.usd_per_hour is not None
        audio_s = float(self.audio_s[row])
        devices = np.floor(usd_per_audio_hour * audio_s / self.usd_per_hour * (1 + 1e-9))
        return float(devices) * self.max_utilisation / audio_s

    def of_row(self, row: int) -> Fleet:
        """The same of a row alone."""
        return replace(self, audio_s=self.audio_s[row : row + 1])


@dataclass(frozen=True)
class Costs:
    """Costs of candidates; a spread of 0 means that the cost is known exactly.

    Attributes:
        centre: Median by cost, each of shape ``(n,)``.
        log_sd: Standard deviation of its logarithm, each of shape ``(n,)``.
        timed: Whether the candidate itself was timed on recordings like these, by cost.
        covered: Whether the device has timed, or measured the memory of, what is like it.
        retries: Shares of windows that run away and are run again.
        fleet: Devices that keep up, where it is known what comes in; money is theirs.
    """

    centre: Mapping[CostName, Array]
    log_sd: Mapping[CostName, Array]
    timed: Mapping[CostName, Mask]
    covered: Mapping[CostName, Mask]
    retries: Rates
    fleet: Fleet | None = None

    def holding(self, name: CostName, bound: float, row: int) -> float:
        """Probability that a row's cost stays within a bound."""
        if name == "usd_per_audio_hour" and self.fleet is not None:
            slowest = self.fleet.slowest(bound, row)
            return self.holding("rtf", slowest, row) if slowest else 0.0
        distance = float(np.log(bound) - np.log(self.centre[name][row]))
        spread = float(self.log_sd[name][row])
        return normal_probability(distance / spread) if spread else float(distance >= -1e-12)

    def exact(self, name: CostName, row: int) -> bool:
        """Whether a row's cost is known exactly."""
        return not self.log_sd[name][row]

    def basis_of(self, name: CostName, row: int) -> Basis:
        """What a row's cost rests on; counted ones rest on their formula."""
        if name in self.timed and self.timed[name][row]:
            return "measured"
        return "interpolated" if self.covered[name][row] else "extrapolated"

    def quantile(self, name: CostName, probability: float) -> Array:
        """Value that a cost stays below with a probability, shape ``(n,)``."""
        if name == "usd_per_audio_hour" and self.fleet is not None:
            return self.fleet.usd_per_audio_hour(self.quantile("rtf", probability))
        value: Array = self.centre[name] * np.exp(normal_quantile(probability) * self.log_sd[name])
        return value

    def quantile_of(self, name: CostName, probability: float, row: int) -> float:
        """The same of a row alone."""
        if name == "usd_per_audio_hour" and self.fleet is not None:
            rtf = np.array([self.quantile_of("rtf", probability, row)])
            return float(self.fleet.of_row(row).usd_per_audio_hour(rtf)[0])
        reach = normal_quantile(probability) * float(self.log_sd[name][row])
        return float(self.centre[name][row] * np.exp(reach))

    def interval(self, name: CostName, level: float, row: int) -> tuple[float, float]:
        """Ends of a row's interval at a level; money that is paid is never outside of it."""
        low, high = (self.quantile_of(name, 0.5 + side * level / 2, row) for side in (-1, 1))
        paid = float(self.centre[name][row])
        return min(low, paid), max(high, paid)


def all_costs(
    lattice: Lattice, question: Setting, evidence: Evidence, device: DeviceModel | None
) -> Costs:
    """Costs of candidates for a workload, and on a device where one is named."""
    asked = question.workload or evidence.workload
    workload = asked.binned()
    alone, place = lattice.alone
    rates = retry_rates(alone, evidence.observations)
    counted = _Counted.of(lattice, rates)
    retries = Rates(rates.mean[place], rates.sd[place])
    none = np.zeros(len(lattice))
    flops, unsure = counted.alone(lambda group: group.flops(workload, question.convention), 2).T
    gflops = flops / 1e9
    kind = "cpu" if device is None else device.kind
    own = counted.in_batches(lambda group: partial(group.memory_bytes, workload, kind))
    runtimes = runtimes_of(lattice, evidence, device)
    heard_s = lattice.numbers["window_s"]
    audio_s = np.full(len(lattice), workload.mean_audio_s) if lattice.task == "asr" else heard_s
    centre: dict[CostName, Array] = {
        "gflops_per_utterance": gflops,
        "gflops_per_audio_second": gflops / audio_s,
        "parameters": lattice.parameters,
    }
    log_sd: dict[CostName, Array] = {
        "gflops_per_utterance": unsure,
        "gflops_per_audio_second": unsure,
        "parameters": none,
    }
    log_peak, log_sd["memory_gib"] = log_process_bytes(
        own,
        fit_own((), kind) if device is None else device.memory,
        *_by_precision(lattice, lambda p: (runtimes[p].bytes, runtimes[p].log_sd)),
    )
    centre["memory_gib"] = np.exp(log_peak) / GIB
    measured: dict[CostName, Mask] = {}
    covered = dict.fromkeys(centre, np.ones(len(lattice), dtype=bool))
    (known_runtime,) = _by_precision(lattice, lambda p: (float(runtimes[p].measured),))
    covered["memory_gib"] = (known_runtime > 0) & (device is not None)
    if device is None:
        return Costs(centre, log_sd, measured, covered, retries)
    if question.convention != "counted-1" and lattice.task == "asr":
        _, unsure = counted.alone(lambda group: group.flops(workload, "counted-1"), 2).T
    known = counted.alone(lambda group: np.full(len(group.rows), device.covers(group.lattice[0])))
    timed = _Timings.of(lattice, device)
    batch = lattice.numbers["batch_size"]
    # A recording is done when all of its batch are.
    parts: dict[CostName, tuple[Workload, Array]] = {
        "rtf": (workload, 1 / audio_s),
        "latency_p50_s": (asked.only(asked.duration_at(0.5)), batch),
        "latency_p95_s": (asked.only(asked.duration_at(0.95)), batch),
    }
    for name, (recordings, unit) in parts.items():
        log_s, sd, measured[name] = _log_seconds(counted, recordings, device, timed)
        # What windows add to the spread of FLOPs they are taken to add to that of time.
        log_sd[name] = np.hypot(sd, unsure)
        centre[name] = np.exp(log_s) * unit
    fleet = None
    if asked.arrivals_per_s is not None:
        usd = question.usd_per_device_hour
        fleet = Fleet(asked.arrivals_per_s * audio_s, question.max_utilisation, usd)
    if question.usd_per_device_hour is not None:
        if fleet is None:
            paid = centre["rtf"] * question.usd_per_device_hour
        else:
            surely = normal_quantile(1 - question.risk) * log_sd["rtf"]
            paid = fleet.usd_per_audio_hour(centre["rtf"] * np.exp(surely))
        centre["usd_per_audio_hour"] = paid
        log_sd["usd_per_audio_hour"] = log_sd["rtf"]
    power = device.power_w if question.device_watts is None else (question.device_watts, 0.0)
    if power is not None:
        centre["joules_per_audio_second"] = centre["rtf"] * power[0]
        log_sd["joules_per_audio_second"] = np.hypot(log_sd["rtf"], power[1])
    for name in centre.keys() & set(TIMED):
        covered[name] = known > 0
        measured.setdefault(name, measured["rtf"])
    return Costs(centre, log_sd, measured, covered, retries, fleet)


@dataclass(frozen=True)
class _Timings:
    """What was timed on a device of the candidates, and what it says of their neighbours.

    Attributes:
        own: Rows that were timed.
        rows: Rows that differ from timed ones in the window alone, timed ones among them.
        log_ratio: By what log their fitted seconds are corrected, shape ``(rows,)``.
        sure: Whether timings of the device hold on the machine that they are used for.
    """

    own: Mapping[int, Timed]
    rows: Index
    log_ratio: Array
    sure: bool

    @classmethod
    def of(cls, lattice: Lattice, device: DeviceModel) -> _Timings:
        """Of a lattice's rows on a device."""
        known = [c for c in device.timed if c.task == lattice.task]
        place = zip(known, lattice.rows_of(known).tolist(), strict=True)
        # Left out in turn, the catalogue's timed configurations are predicted as well with their
        # neighbours' corrections as without them.
        rows, log_ratio = along_windows(lattice, known, [device.timed[c].log_ratio for c in known])
        own = {row: device.timed[c] for c, row in place if row >= 0}
        return cls(own, rows, log_ratio, device.doubt is None)


def runtimes_of(
    lattice: Lattice, evidence: Evidence, device: DeviceModel | None
) -> dict[Precision, RuntimeMemory]:
    """The runtime by precision of the rows: without a device that of a CPU is assumed."""
    kind = "cpu" if device is None else device.kind
    names: tuple[Precision, ...] = lattice.labels["precision"].names  # type: ignore[assignment]
    return {name: runtime_of(evidence.runtimes, kind, name) for name in names}


def _by_precision(
    lattice: Lattice, values: Callable[[Precision], tuple[float, ...]]
) -> tuple[Array, ...]:
    """Values that a precision has, as columns of shape ``(n,)``."""
    labels = lattice.labels["precision"]
    found = np.array([values(name) for name in labels.names])  # type: ignore[arg-type]
    return tuple(found[labels.codes].T)


def _log_seconds(
    counted: _Counted,
    workload: Workload,
    device: DeviceModel,
    timed: _Timings,
) -> tuple[Array, Array, Mask]:
    """Mean and spread of the log seconds of a recording, and where they are measured.

    Each of shape ``(n,)``. What was timed on recordings unlike these is as unsure as if it
    had not been, though the fit is corrected by it.
    """

    def predicted(group: Group) -> Callable[[int], Array]:
        once, again = group.work(workload)
        first = group.lattice[0]
        return lambda size: np.stack(device.log_seconds(in_batch(once, size, again), first), axis=1)

    log_s, sd = counted.in_batches(predicted, 2).T
    measured = np.zeros(len(log_s), dtype=bool)
    for row, own in timed.own.items():
        measured[row] = timed.sure and own.like(log_s[row])
        if measured[row]:
            sd[row] = own.sd
    log_s[timed.rows] += timed.log_ratio
    return log_s, sd, measured


@dataclass(frozen=True)
class _Counted:
    """Candidates, those that differ in their batch size alone counted once.

    Attributes:
        groups: What is counted, together where it can be.
        rows: How many those are.
        place: Which of them each candidate is.
        sizes: Candidates of each batch size.
    """

    groups: list[Group]
    rows: int
    place: Index
    sizes: dict[int, Index]

    @classmethod
    def of(cls, lattice: Lattice, rates: Rates) -> _Counted:
        """Of these candidates, with the retries of each that is counted."""
        alone, place = lattice.alone
        batch = lattice.numbers["batch_size"]
        return cls(
            list(groups_of(alone, rates)),
            len(alone),
            place,
            {int(size): np.flatnonzero(batch == size) for size in np.unique(batch)},
        )

    def alone(self, count: Callable[[Group], Array], columns: int = 1) -> Array:
        """What does not depend on the batch size, shape ``(n,)`` or ``(n, columns)``."""
        found = np.empty((self.rows, columns) if columns > 1 else self.rows)
        for group in self.groups:
            found[group.rows] = count(group)
        return found[self.place]

    def in_batches(
        self, counts: Callable[[Group], Callable[[int], Array]], columns: int = 1
    ) -> Array:
        """What depends on it, shape ``(n,)`` or ``(n, columns)``."""
        shape = (columns,) if columns > 1 else ()
        of_size = {size: np.empty((self.rows, *shape)) for size in self.sizes}
        # One group at a time: what it is counted from takes far more than what is found.
        for group in self.groups:
            count = counts(group)
            for size, one in of_size.items():
                one[group.rows] = count(size)
        found = np.empty((len(self.place), *shape))
        for size, rows in self.sizes.items():
            found[rows] = of_size[size][self.place[rows]]
        return found


def timed_audio_s(configuration: Configuration, workload: Workload) -> float:
    """Seconds of a recording that its RTF is for: all of it, or the window heard for emotions."""
    return workload.mean_audio_s if configuration.task == "asr" else configuration.window_s


def rtf_by_phase(
    configuration: Configuration, workload: Workload, device: DeviceModel, retries: float
) -> dict[str, float]:
    """Median seconds of each phase per second of audio."""
    (group,) = groups_of(Lattice.of([configuration]), Rates(np.array([retries]), np.zeros(1)))
    once, again = group.work(workload)
    amounts = in_batch(once, configuration.batch_size, again)
    seconds = device.phase_seconds(amounts, configuration.precision)
    audio_s = timed_audio_s(configuration, workload)
    return {
        phase: float(s[0]) / audio_s for phase, s in seconds.items() if s[0] / audio_s > _LEAST_RTF
    }
