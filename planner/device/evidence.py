"""What is known of a device: its data sheet, and what was measured on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models_registry.configuration import Configuration, Precision

CPU_LAYER_S = 2e-3
"""As measured on two cores of an AMD EPYC with torch 2.13 (the built-in catalogue)."""

CUDA_LAYER_S = 2e-4
"""A dozen or two kernel launches of some 10 microseconds each."""


@dataclass(frozen=True)
class DeviceRates:
    """What a device can do at best.

    Attributes:
        flops_per_s: Arithmetic, FLOPs per second.
        bytes_per_s: Memory traffic, bytes per second.
        layer_s: What a layer costs whatever its size: kernel launches and the
            framework, in seconds.
        source: Who says so: a data sheet, or a probe.
        power_w: Most power that the device draws, in watts, where it is stated.
    """

    flops_per_s: float
    bytes_per_s: float
    layer_s: float
    source: str
    power_w: float | None = None


TYPICAL_CPU = DeviceRates(1.4e11, 1.5e10, CPU_LAYER_S, "two cores of an AMD EPYC, by a probe")
TYPICAL_CUDA = DeviceRates(1.56e14, 2e12, CUDA_LAYER_S, "an NVIDIA A100, by its data sheet")
"""Where the priors of a device begin whose own rates nobody has stated."""


@dataclass(frozen=True, slots=True)
class TimedRun:
    """Recordings run once: one, or a batch of them together.

    Attributes:
        configuration: What ran, its batch size included.
        passes: Encoder frames and decoded tokens of every forward pass; no tokens where
            there is no decoder.
        phases_s: Seconds by phase, of all of them.
        slowdown_log_sd: By how much the log of these seconds may be too large, since other
            work slowed the device down; 0 on a quiet one.
    """

    configuration: Configuration
    passes: tuple[tuple[int, int], ...]
    phases_s: Mapping[str, float]
    slowdown_log_sd: float = 0.0


@dataclass(frozen=True)
class Doubt:
    """Why timings of a device may not hold on the machine that they are used for.

    Attributes:
        log_sd: Spread that it adds to the log of a time.
        reason: What differs, as a sentence.
    """

    log_sd: float
    reason: str


@dataclass(frozen=True)
class MemoryPeak:
    """Bytes that a configuration took while it ran.

    Attributes:
        predicted: By the closed form.
        measured: Beyond what the process held before.
    """

    predicted: float
    measured: float


@dataclass(frozen=True)
class DeviceEvidence:
    """Everything that is known of a device.

    Attributes:
        rates: What it can do at best; priors are relative to it.
        runs: Timed runs; none leaves the priors.
        memory: Measured peaks.
        power_w: Watts drawn while runs were timed.
        native: Precisions that it computes in, where that is known.
        kind: ``cpu`` or ``cuda``, where that is known.
        memory_bytes: Memory that it has, where that is known.
        instruction_sets: Those that decide how fast each precision is (CPU), if known.
        doubt: Why its timings may not hold; None if nothing speaks against them.
    """

    rates: DeviceRates
    runs: tuple[TimedRun, ...] = ()
    memory: tuple[MemoryPeak, ...] = ()
    power_w: tuple[float, ...] = ()
    native: frozenset[Precision] | None = None
    kind: str | None = None
    memory_bytes: float | None = None
    instruction_sets: frozenset[str] = frozenset()
    doubt: Doubt | None = None
