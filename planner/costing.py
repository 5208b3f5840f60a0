"""Every cost of every candidate, as columns that budgets are held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models_registry.architectures import WhisperArchitecture
from models_registry.configuration import Configuration, Precision
from planner.arrays import Array, Mask
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
from planner.errors import InsufficientDataError
from planner.evidence import Evidence
from planner.latency import LatencyModel, Work, work
from planner.quantiles import normal_probability, normal_quantile
from planner.question import CostName, Question
from planner.retries import retry_rates
from planner.workload import Workload

GIB = 2.0**30


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

    def holding(self, name: CostName, bound: float) -> Array:
        """Probability that a cost stays within a bound, shape ``(n,)``."""
        distance = np.log(bound) - np.log(self.centre[name])
        held: Array = (distance >= -1e-12).astype(float)
        unsure = self.log_sd[name] > 0
        held[unsure] = normal_probability(distance[unsure] / self.log_sd[name][unsure])
        return held

    def quantile(self, name: CostName, probability: float) -> Array:
        """Value that a cost stays below with a probability, shape ``(n,)``."""
        value: Array = self.centre[name] * np.exp(normal_quantile(probability) * self.log_sd[name])
        return value


def all_costs(
    configurations: Sequence[Configuration],
    question: Question,
    evidence: Evidence,
    latency: LatencyModel | None,
) -> Costs:
    """Costs of candidates for a workload, and on a device where one is named.

    Raises:
        InsufficientDataError: A device is named for a task that is not timed.
    """
    workload = question.workload or evidence.workload
    rows = len(configurations)
    gflops, memory = np.empty(rows), np.empty(rows)
    rtf, spread, timed = np.ones(rows), np.zeros(rows), np.zeros(rows, dtype=bool)
    retries = retry_rates(configurations, evidence.observations)
    for group in _groups(configurations, retries):
        gflops[group.rows] = group.flops(workload, question.convention) / 1e9
        memory[group.rows] = group.memory_bytes(workload)
        if latency is not None:
            centre, sd = latency.log_seconds(group.work(workload), group.precision)
            rtf[group.rows], spread[group.rows] = np.exp(centre) / workload.mean_audio_s, sd
    for row, configuration in enumerate(configurations if latency is not None else ()):
        assert latency is not None
        correction = latency.corrections.get(configuration)
        if correction is not None:
            rtf[row] *= np.exp(correction[0])
            spread[row], timed[row] = correction[1], True
    audio_s = np.array([_audio_s(c, workload) for c in configurations])
    centre_of: dict[CostName, Array] = {
        "gflops_per_utterance": gflops,
        "gflops_per_audio_second": gflops / audio_s,
        "memory_gib": memory / GIB,
        "parameters": np.array([float(c.architecture.parameters) for c in configurations]),
    }
    log_sd: dict[CostName, Array] = dict.fromkeys(centre_of, np.zeros(rows))
    if latency is not None:
        centre_of["rtf"], log_sd["rtf"] = rtf, spread
        if question.usd_per_device_hour is not None:
            centre_of["usd_per_audio_hour"] = rtf * question.usd_per_device_hour
            log_sd["usd_per_audio_hour"] = spread
    return Costs(centre_of, log_sd, timed, retries)


def memory_of(configuration: Configuration, workload: Workload) -> dict[str, int]:
    """Bytes by part, for the most that a window of the workload can hold."""
    longest_s = min(configuration.speech_s, float(workload.durations.max()))
    return memory_bytes(configuration, END_OF_TEXT + workload.tokens_per_audio_s * longest_s)


def rtf_by_phase(
    configuration: Configuration, workload: Workload, latency: LatencyModel, retries: float
) -> dict[str, float]:
    """Median seconds of each phase per second of audio."""
    (group,) = _groups([configuration], np.array([retries]))
    seconds = latency.phase_seconds(group.work(workload), configuration.precision)
    return {phase: float(s[0]) / workload.mean_audio_s for phase, s in seconds.items()}


@dataclass(frozen=True)
class _Group:
    """Rows of one model, precision and window policy, costed together."""

    configurations: tuple[Configuration, ...]
    rows: NDArray[np.int64]
    retries: Array

    @property
    def precision(self) -> Precision:
        return self.configurations[0].precision

    def flops(self, workload: Workload, convention: Convention) -> Array:
        whisper = self._whisper()
        if whisper is None or convention != "counted-1":
            return np.array(
                [float(utterance_flops(c, workload, convention).total) for c in self.configurations]
            )
        counted = whisper_utterance_flops(
            whisper,
            workload,
            self._passes(workload),
            token_stride=self._column("token_stride"),
            reduction_layer=self._reduction_layers(whisper),
        )
        total: Array = counted.total
        return total

    def memory_bytes(self, workload: Workload) -> Array:
        whisper = self._whisper()
        if whisper is None:
            return np.array([sum(memory_of(c, workload).values()) for c in self.configurations])
        speech_s = self._column("speech_s")
        longest_s = np.minimum(speech_s, workload.durations.max())
        parts = whisper_memory(
            whisper,
            self._column("frames"),
            precision=self.precision,
            token_stride=self._column("token_stride"),
            reduction_layer=self._reduction_layers(whisper),
            output_tokens=END_OF_TEXT + workload.tokens_per_audio_s * longest_s,
            batch_size=self._column("batch_size"),
        )
        total = np.asarray(sum(parts.values()), dtype=np.float64)
        return total.ravel()

    def work(self, workload: Workload) -> Work:
        """What a recording asks of a device, the mean over the workload."""
        whisper = self._whisper()
        if whisper is None:
            raise InsufficientDataError(
                f"{self.configurations[0].task} is not timed: budgets of time and money are for asr"
            )
        passes = self._passes(workload)
        bins = len(workload.shares)

        def mean_work(frames: Number, windows: Array) -> Work:
            said = workload.tokens_per_audio_s * passes.heard_s / passes.windows
            amounts = work(
                whisper,
                frames=frames,
                token_stride=self._column("token_stride"),
                reduction_layer=self._reduction_layers(whisper),
                precision=self.precision,
                windows=windows,
                output_tokens=windows * (END_OF_TEXT + said),
            )
            return {
                phase: np.einsum(
                    "b,rbk->rk", workload.shares, amount.reshape(-1, bins, amount.shape[1])
                )
                for phase, amount in amounts.items()
            }

        once = mean_work(passes.frames, passes.windows)
        # A rate of exactly none would divide by it.
        retried = np.maximum(passes.windows * passes.retries, 1e-12)
        again = mean_work(passes.full_frames, retried)
        return {phase: amount + again[phase] for phase, amount in once.items()}

    def _passes(self, workload: Workload) -> Passes:
        return passes_of(self.configurations, workload, self.retries)

    def _whisper(self) -> WhisperArchitecture | None:
        first = self.configurations[0]
        architecture = first.architecture
        if isinstance(architecture, WhisperArchitecture) and first.task == "asr":
            return architecture
        return None

    def _column(self, name: str) -> Array:
        return np.array([getattr(c, name) for c in self.configurations])[:, None]

    def _reduction_layers(self, architecture: WhisperArchitecture) -> Array:
        """Layers of reduction, shape ``(n, 1)``; the last where there is none."""
        layers = [c.reduction_layer for c in self.configurations]
        return np.array([architecture.encoder_layers if k is None else k for k in layers])[:, None]


def _groups(configurations: Sequence[Configuration], retries: Array) -> list[_Group]:
    rows: dict[tuple[str, str, str, str], list[int]] = {}
    for row, c in enumerate(configurations):
        rows.setdefault((c.task, c.model, c.precision, c.window_policy), []).append(row)
    return [
        _Group(tuple(configurations[row] for row in chosen), np.array(chosen), retries[chosen])
        for chosen in rows.values()
    ]


def _audio_s(configuration: Configuration, workload: Workload) -> float:
    return workload.mean_audio_s if configuration.task == "asr" else configuration.window_s
