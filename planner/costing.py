"""Every cost of every candidate, as columns that budgets are held against."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from models_registry import MODELS
from models_registry.architectures import FRAMES_PER_SECOND, WhisperArchitecture
from models_registry.configuration import Configuration, Precision
from planner.arrays import Array, Index, Mask
from planner.cost import (
    END_OF_TEXT,
    Convention,
    Passes,
    memory_bytes,
    passes_of,
    utterance_flops,
    whisper_memory,
    whisper_utterance_flops,
)
from planner.cost.conventions import Number
from planner.device import DeviceModel
from planner.device.work import Work, read_out_work, stacked, work
from planner.evidence import Evidence
from planner.lattice import Lattice
from planner.quantiles import normal_probability, normal_quantile
from planner.question import CostName, Setting
from planner.retries import retry_rates
from planner.workload import Workload

GIB = 2.0**30

_LEAST_RTF = 1e-9
"""Below it a phase does not run."""


@dataclass(frozen=True)
class Costs:
    """Costs of candidates; a spread of 0 means that the cost is known exactly.

    Attributes:
        centre: Median by cost, each of shape ``(n,)``.
        log_sd: Standard deviation of its logarithm, each of shape ``(n,)``.
        timed: Whether the candidate itself was timed on the device.
        retries: Share of windows expected to run away and to be run again.
    """

    centre: Mapping[CostName, Array]
    log_sd: Mapping[CostName, Array]
    timed: Mask
    retries: Array

    def holding(self, name: CostName, bound: float, row: int) -> float:
        """Probability that a row's cost stays within a bound."""
        distance = float(np.log(bound) - np.log(self.centre[name][row]))
        spread = float(self.log_sd[name][row])
        return normal_probability(distance / spread) if spread else float(distance >= -1e-12)

    def quantile(self, name: CostName, probability: float) -> Array:
        """Value that a cost stays below with a probability, shape ``(n,)``."""
        value: Array = self.centre[name] * np.exp(normal_quantile(probability) * self.log_sd[name])
        return value


def all_costs(
    lattice: Lattice, question: Setting, evidence: Evidence, device: DeviceModel | None
) -> Costs:
    """Costs of candidates for a workload, and on a device where one is named."""
    asked = question.workload or evidence.workload
    workload = asked.binned()
    rows = len(lattice)
    gflops, memory = np.empty(rows), np.empty(rows)
    retries = retry_rates(lattice, evidence.observations)
    recordings = {
        "mean": workload,
        "p50": asked.only(asked.duration_at(0.5)),
        "p95": asked.only(asked.duration_at(0.95)),
    }
    takes = None if device is None else _Taken.empty(rows, recordings)
    for group in _groups(lattice, retries):
        gflops[group.rows] = group.flops(workload, question.convention) / 1e9
        memory[group.rows] = group.memory_bytes(workload)
        if takes is not None and device is not None:
            takes.fill(group, recordings, device)
    heard_s = lattice.numbers["window_s"]
    audio_s = np.full(rows, workload.mean_audio_s) if lattice.task == "asr" else heard_s
    none = np.zeros(rows)
    centre: dict[CostName, Array] = {
        "gflops_per_utterance": gflops,
        "gflops_per_audio_second": gflops / audio_s,
        "memory_gib": memory / GIB,
        "parameters": lattice.parameters,
    }
    log_sd: dict[CostName, Array] = dict.fromkeys(centre, none)
    if takes is None or device is None:
        return Costs(centre, log_sd, none.astype(bool), retries)
    takes.correct(lattice, device)
    log_peak, log_sd["memory_gib"] = device.log_bytes(memory)
    centre["memory_gib"] = np.exp(log_peak) / GIB
    batch = lattice.numbers["batch_size"]
    centre["rtf"] = np.exp(takes.log_s["mean"]) / audio_s
    centre["latency_p50_s"] = np.exp(takes.log_s["p50"]) * batch
    centre["latency_p95_s"] = np.exp(takes.log_s["p95"]) * batch
    log_sd["rtf"], log_sd["latency_p50_s"], log_sd["latency_p95_s"] = takes.sd.values()
    if question.usd_per_device_hour is not None:
        centre["usd_per_audio_hour"] = centre["rtf"] * question.usd_per_device_hour
        log_sd["usd_per_audio_hour"] = takes.sd["mean"]
    power = device.power_w if question.device_watts is None else (question.device_watts, 0.0)
    if power is not None:
        centre["joules_per_audio_second"] = centre["rtf"] * power[0]
        log_sd["joules_per_audio_second"] = np.hypot(takes.sd["mean"], power[1])
    return Costs(centre, log_sd, takes.timed, retries)


@dataclass(frozen=True)
class _Taken:
    """Log seconds of a recording: the mean one, the median and a long one."""

    log_s: dict[str, Array]
    sd: dict[str, Array]
    timed: Mask

    @classmethod
    def empty(cls, rows: int, names: Iterable[str]) -> _Taken:
        return cls(
            {name: np.empty(rows) for name in names},
            {name: np.empty(rows) for name in names},
            np.zeros(rows, dtype=bool),
        )

    def fill(self, group: _Group, recordings: dict[str, Workload], device: DeviceModel) -> None:
        """Fits say how long a group takes."""
        for name, workload in recordings.items():
            log_s, sd = device.log_seconds(group.work(workload), group.precision)
            self.log_s[name][group.rows], self.sd[name][group.rows] = log_s, sd

    def correct(self, lattice: Lattice, device: DeviceModel) -> None:
        """Where it was timed, that is the answer."""
        known = list(device.corrections)
        for row, configuration in zip(lattice.rows_of(known).tolist(), known, strict=True):
            if row >= 0:
                shift, sd_of_mean = device.corrections[configuration]
                for name in self.log_s:
                    self.log_s[name][row] += shift
                    self.sd[name][row] = sd_of_mean
                self.timed[row] = True


def memory_of(configuration: Configuration, workload: Workload) -> dict[str, int]:
    """Bytes by part, for the most that a window of the workload can hold."""
    longest_s = min(configuration.speech_s, float(workload.durations.max()))
    return memory_bytes(configuration, END_OF_TEXT + workload.tokens_per_audio_s * longest_s)


def rtf_by_phase(
    configuration: Configuration, workload: Workload, device: DeviceModel, retries: float
) -> dict[str, float]:
    """Median seconds of each phase per second of audio."""
    (group,) = _groups(Lattice.of([configuration]), np.array([retries]))
    seconds = device.phase_seconds(group.work(workload), configuration.precision)
    audio_s = workload.mean_audio_s if configuration.task == "asr" else configuration.window_s
    return {
        phase: float(s[0]) / audio_s for phase, s in seconds.items() if s[0] / audio_s > _LEAST_RTF
    }


@dataclass(frozen=True)
class _Group:
    """Rows of one model, precision and window policy, costed together."""

    lattice: Lattice
    rows: Index
    retries: Array

    @property
    def precision(self) -> Precision:
        return self.lattice.labels["precision"][0]  # type: ignore[return-value]

    def flops(self, workload: Workload, convention: Convention) -> Array:
        whisper = self._whisper()
        if whisper is None or convention != "counted-1":
            totals = (utterance_flops(c, workload, convention).total for c in self.lattice)
            return np.array([float(total) for total in totals])
        counted = whisper_utterance_flops(
            whisper,
            workload,
            self._passes(workload),
            token_stride=self._column("token_stride"),
            reduction_layer=self._reduction_layers(),
        )
        total: Array = counted.total
        return total

    def memory_bytes(self, workload: Workload) -> Array:
        whisper = self._whisper()
        if whisper is None:
            return np.array([sum(memory_of(c, workload).values()) for c in self.lattice])
        speech_s = self.lattice.speech_s[:, None]
        longest_s = np.minimum(speech_s, workload.durations.max())
        truncates = self.lattice.labels["window_policy"][0] == "truncate"
        window_s = self.lattice.full_window_s if truncates else self.lattice.numbers["window_s"]
        parts = whisper_memory(
            whisper,
            np.rint(window_s * FRAMES_PER_SECOND)[:, None],
            precision=self.precision,
            token_stride=self._column("token_stride"),
            reduction_layer=self._reduction_layers(),
            output_tokens=END_OF_TEXT + workload.tokens_per_audio_s * longest_s,
            batch_size=self._column("batch_size"),
        )
        total = np.asarray(sum(parts.values()), dtype=np.float64)
        return total.ravel()

    def work(self, workload: Workload) -> Work:
        """What a recording asks of a device, the mean over the workload."""
        whisper = self._whisper()
        if whisper is None:
            return stacked(
                [
                    read_out_work(c, round(c.window_s * FRAMES_PER_SECOND), c.batch_size)
                    for c in self.lattice
                ]
            )
        passes = self._passes(workload)
        bins = len(workload.shares)

        def mean_work(frames: Number, windows: Array, batch_size: Number) -> Work:
            said = workload.tokens_per_audio_s * passes.heard_s / passes.windows
            amounts = work(
                whisper,
                frames=frames,
                token_stride=self._column("token_stride"),
                reduction_layer=self._reduction_layers(),
                precision=self.precision,
                windows=windows,
                output_tokens=windows * (END_OF_TEXT + said),
                batch_size=batch_size,
            )
            return {
                phase: np.einsum(
                    "b,rbk->rk", workload.shares, amount.reshape(-1, bins, amount.shape[1])
                )
                for phase, amount in amounts.items()
            }

        once = mean_work(passes.frames, passes.windows, self._column("batch_size"))
        # A rate of exactly none would divide by it.
        retried = np.maximum(passes.windows * passes.retries, 1e-12)
        again = mean_work(passes.full_frames, retried, 1)
        return {phase: amount + again[phase] for phase, amount in once.items()}

    def _passes(self, workload: Workload) -> Passes:
        return passes_of(
            workload,
            policy=self.lattice.labels["window_policy"][0],  # type: ignore[arg-type]
            window_s=self.lattice.numbers["window_s"],
            speech_s=self.lattice.speech_s,
            silence_s=self.lattice.silence_s,
            full_window_s=float(self.lattice.full_window_s[0]),
            retries=self.retries,
        )

    def _whisper(self) -> WhisperArchitecture | None:
        architecture = MODELS.get(self.lattice.labels["model"][0])
        if isinstance(architecture, WhisperArchitecture) and self.lattice.task == "asr":
            return architecture
        return None

    def _column(self, name: str) -> Array:
        return self.lattice.numbers[name][:, None]

    def _reduction_layers(self) -> Array:
        """Layers of reduction, shape ``(n, 1)``; the last where there is none."""
        layers = self.lattice.numbers["reduction_layer"]
        return np.where(np.isnan(layers), self.lattice.last_layer, layers)[:, None]


def _groups(lattice: Lattice, retries: Array) -> Iterator[_Group]:
    code = np.zeros(len(lattice), dtype=np.int64)
    for name in ("model", "precision", "window_policy"):
        labels = lattice.labels[name]
        code = code * len(labels.names) + labels.codes
    order = np.argsort(code, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(code[order])) + 1):
        if rows.size:
            yield _Group(lattice.take(rows), rows, retries[rows])
