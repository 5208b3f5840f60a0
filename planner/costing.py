"""Every cost of every candidate, as columns that budgets are held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models_registry.architectures import WhisperArchitecture
from models_registry.configuration import Configuration
from planner.cost import (
    END_OF_TEXT,
    Convention,
    Flops,
    memory_bytes,
    pass_flops,
    passes,
    utterance_flops,
)
from planner.curves.additive import Array
from planner.errors import InsufficientDataError
from planner.evidence import Evidence
from planner.latency import PHASES, LatencyModel, Work, work
from planner.question import CostName, Question
from planner.workload import Workload

GIB = 2.0**30


@dataclass(frozen=True)
class Costs:
    """Costs of candidates; a spread of 0 means that the cost is known exactly.

    Attributes:
        centre: Median by cost, each of shape ``(n,)``.
        log_sd: Standard deviation of its logarithm, each of shape ``(n,)``.
        timed: Whether the candidate itself was timed on the device.
    """

    centre: Mapping[CostName, Array]
    log_sd: Mapping[CostName, Array]
    timed: Array

    def holding(self, name: CostName, bound: float) -> Array:
        """Probability that a cost stays within a bound, shape ``(n,)``."""
        from scipy.special import ndtr

        distance = np.log(bound) - np.log(self.centre[name])
        spread = self.log_sd[name]
        with np.errstate(divide="ignore", invalid="ignore"):
            chance = ndtr(distance / spread)
        exact = (distance >= -1e-12).astype(float)
        held: Array = np.where(spread > 0, chance, exact)
        return held

    def quantile(self, name: CostName, probability: float) -> Array:
        """Value that a cost stays below with a probability, shape ``(n,)``."""
        from scipy.special import ndtri

        value: Array = self.centre[name] * np.exp(float(ndtri(probability)) * self.log_sd[name])
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
    gflops = np.array([total_flops(c, workload, question.convention) / 1e9 for c in configurations])
    audio_s = np.array([_audio_s(c, workload) for c in configurations])
    memory = np.array([sum(memory_of(c, workload).values()) for c in configurations])
    exact = np.zeros(len(configurations))
    centre: dict[CostName, Array] = {
        "gflops_per_utterance": gflops,
        "gflops_per_audio_second": gflops / audio_s,
        "memory_gib": memory / GIB,
        "parameters": np.array([float(c.architecture.parameters) for c in configurations]),
    }
    log_sd: dict[CostName, Array] = dict.fromkeys(centre, exact)
    timed = np.zeros(len(configurations), dtype=bool)
    if latency is not None:
        rtf, spread, timed = real_time_factor(configurations, workload, latency)
        centre["rtf"], log_sd["rtf"] = rtf, spread
        if question.usd_per_device_hour is not None:
            centre["usd_per_audio_hour"] = rtf * question.usd_per_device_hour
            log_sd["usd_per_audio_hour"] = spread
    return Costs(centre, log_sd, timed)


def total_flops(configuration: Configuration, workload: Workload, convention: Convention) -> float:
    """FLOPs of a recording, the mean over the workload."""
    return float(flops_of(configuration, workload, convention).total)


def flops_of(configuration: Configuration, workload: Workload, convention: Convention) -> Flops:
    """FLOPs of a recording by component.

    The seed paper's convention knows one pass over a window and 20 tokens, SER
    one pass over a window; both leave the workload aside.
    """
    if convention == "counted-1" and configuration.task == "asr":
        return utterance_flops(configuration, workload, convention)
    return pass_flops(configuration, convention=convention)


def memory_of(configuration: Configuration, workload: Workload) -> dict[str, int]:
    """Bytes by part, for the most that a window of the workload can hold."""
    longest_s = min(configuration.speech_s, float(workload.durations.max()))
    return memory_bytes(configuration, END_OF_TEXT + workload.tokens_per_audio_s * longest_s)


def workload_work(configuration: Configuration, workload: Workload) -> Work:
    """What a recording asks of a device, the mean over the workload."""
    architecture = configuration.architecture
    if not isinstance(architecture, WhisperArchitecture) or configuration.task != "asr":
        raise InsufficientDataError(
            f"{configuration.task} is not timed: budgets of time and money are for asr"
        )
    truncate = configuration.window_policy == "truncate"
    windows = passes(workload.durations, configuration.speech_s, truncate)
    heard_s = np.minimum(workload.durations, windows * configuration.speech_s)
    amounts = work(
        architecture,
        frames=configuration.frames,
        token_stride=configuration.token_stride,
        reduction_layer=configuration.reduction_layer,
        precision=configuration.precision,
        windows=windows,
        output_tokens=END_OF_TEXT * windows + workload.tokens_per_audio_s * heard_s,
    )
    return {phase: workload.shares[None] @ amounts[phase] for phase in PHASES}


def real_time_factor(
    configurations: Sequence[Configuration], workload: Workload, latency: LatencyModel
) -> tuple[Array, Array, Array]:
    """Median RTF, the spread of its logarithm, and whether it was timed itself."""
    amounts = [workload_work(c, workload) for c in configurations]
    stacked = {phase: np.vstack([one[phase] for one in amounts]) for phase in PHASES}
    centre, spread = latency.log_seconds(stacked)
    timed = np.zeros(len(configurations), dtype=bool)
    for row, configuration in enumerate(configurations):
        correction = latency.corrections.get(configuration)
        if correction is not None:
            centre[row] += correction[0]
            spread[row] = correction[1]
            timed[row] = True
    return np.exp(centre) / workload.mean_audio_s, spread, timed


def _audio_s(configuration: Configuration, workload: Workload) -> float:
    return workload.mean_audio_s if configuration.task == "asr" else configuration.window_s
