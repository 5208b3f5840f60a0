"""How long a configuration takes on a device, phase by phase.

Each phase takes ``sum over its kinds of work of amount / (utilisation * rate)``
plus an overhead for every layer: the roofline of the device, and how much of it
is reached. The utilisations are fitted in log space to timed runs of that device;
priors around a typical device hold where it was timed little or not at all, and
widen the answer accordingly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from models_registry.architectures import WhisperArchitecture
from models_registry.configuration import Configuration, Precision
from planner.arrays import Array
from planner.cost import whisper
from planner.cost.conventions import Number
from planner.cost.memory import BYTES_PER_WEIGHT
from planner.curves.solver import Prior, solve

PHASES = ("features", "encoder", "prefill", "decode")

BAGS = 64
_MIN_MISFIT_SD = 0.03
_FIRST_MISFIT_SD = 0.15
UNMEASURED_SD = 0.25
"""Spread in log time that a device never timed adds to its priors."""


@dataclass(frozen=True)
class DeviceRates:
    """What a device can do at best.

    Attributes:
        flops_per_s: Arithmetic, FLOPs per second.
        bytes_per_s: Memory traffic, bytes per second.
        layer_s: What a layer costs whatever its size: kernel launches and the
            framework, in seconds.
        source: Who says so: a data sheet, or a probe.
    """

    flops_per_s: float
    bytes_per_s: float
    layer_s: float
    source: str


CPU_LAYER_S = 2e-3
"""As measured on two cores of an AMD EPYC with torch 2.13 (the built-in catalogue)."""

CUDA_LAYER_S = 2e-4
"""A dozen or two kernel launches of some 10 microseconds each."""


@dataclass(frozen=True)
class TimedRun:
    """One recording, transcribed once.

    Attributes:
        configuration: What ran.
        passes: Encoder frames and decoded tokens of every forward pass.
        phases_s: Wall seconds by phase.
    """

    configuration: Configuration
    passes: tuple[tuple[int, int], ...]
    phases_s: Mapping[str, float]


TYPICAL_CPU = DeviceRates(1.4e11, 1.5e10, CPU_LAYER_S, "two cores of an AMD EPYC, by a probe")
TYPICAL_CUDA = DeviceRates(1.56e14, 2e12, CUDA_LAYER_S, "an NVIDIA A100, by its data sheet")
"""Where the priors of a device begin whose own rates nobody has stated."""

Work = Mapping[str, Array]
"""Amounts of work by phase, each of shape ``(rows, kinds)``."""


def work(
    architecture: WhisperArchitecture,
    *,
    frames: Number,
    token_stride: Number,
    reduction_layer: Number | None,
    precision: Precision,
    windows: Number,
    output_tokens: Number,
) -> Work:
    """What a recording asks of the device; numbers or arrays that broadcast.

    Args:
        architecture: The model.
        frames: Encoder frames of a window.
        token_stride: Encoder tokens merged into one.
        reduction_layer: Layer after which they are.
        precision: Number format of the weights.
        windows: Forward passes.
        output_tokens: Tokens decoded, over all windows.
    """
    a = architecture
    flops = whisper.counted(
        a, frames, token_stride=token_stride, reduction_layer=reduction_layer, output_tokens=1
    ).components
    tokens_out = whisper.reduced(frames, token_stride)
    steps = output_tokens - windows
    d, layers = a.d_model, a.decoder_layers
    per_layer = 6 * d * d + 2 * d * d + 2 * d * a.ffn
    # Every step reads the decoder's weights and the LM head once.
    weights = (layers * per_layer + a.vocab_size * d) * BYTES_PER_WEIGHT[precision]
    # Keys and values of the encoder, and of half the tokens on average.
    cached = 2 * layers * d * 4 * (tokens_out + a.prompt_tokens + output_tokens / windows / 2)
    return {
        "features": _columns(windows * frames),
        "encoder": _columns(
            windows * a.encoder_layers, windows * (flops["stem"] + flops["encoder"])
        ),
        "prefill": _columns(
            windows * layers,
            windows * (flops["cross_kv"] + flops["decoder"] + flops["lm_head"]),
        ),
        "decode": _columns(steps * layers, steps * weights, steps * cached),
    }


@dataclass(frozen=True)
class SumOfWork:
    """``log(sum of exp(parameter) * amount)``: seconds of a phase, as a form to fit."""

    def log_value(self, parameters: Array, design: Array) -> Array:
        """Log seconds, shape ``(vectors, rows)``."""
        seconds: Array = np.log(np.exp(parameters) @ design.T)
        return seconds

    def jacobian(self, parameters: Array, design: Array) -> tuple[Array, Array]:
        """Log seconds and their derivatives."""
        parts = np.exp(parameters)[:, None, :] * design[None]
        total = parts.sum(axis=-1)
        return np.log(total), parts / total[..., None]


@dataclass(frozen=True)
class PrecisionFit:
    """Utilisations of a device at one precision.

    Attributes:
        seconds_per_unit: Bagged refits by phase, shape ``(bags, kinds)``.
        misfit_sd: What the form misses by phase, in log seconds.
        runs: Timed runs it was fitted to.
    """

    seconds_per_unit: Mapping[str, Array]
    misfit_sd: Mapping[str, float]
    runs: int


@dataclass(frozen=True)
class LatencyModel:
    """Seconds of a device for any work.

    Attributes:
        device: Its id.
        fits: By precision: kernels differ, so utilisations do.
        corrections: Of configurations that were timed: mean log of measured
            over fitted seconds, and its standard error.
        runs: Timed runs that it was fitted to.
        source: What it rests on, in words.
    """

    device: str
    fits: Mapping[Precision, PrecisionFit]
    corrections: Mapping[Configuration, tuple[float, float]]
    runs: int
    source: str

    def log_seconds(self, amounts: Work, precision: Precision) -> tuple[Array, Array]:
        """Mean and standard deviation of log seconds, each of shape ``(rows,)``."""
        fitted = self.fits[precision]
        phases = {phase: amounts[phase] @ fitted.seconds_per_unit[phase].T for phase in PHASES}
        total = np.sum(list(phases.values()), axis=0)
        centre = np.log(total).mean(axis=1)
        variance = np.log(total).var(axis=1)
        for phase, seconds in phases.items():
            share = (seconds / total).mean(axis=1)
            variance = variance + np.square(share * fitted.misfit_sd[phase])
        if not fitted.runs:
            variance = variance + UNMEASURED_SD**2
        return centre, np.sqrt(variance)

    def phase_seconds(self, amounts: Work, precision: Precision) -> dict[str, Array]:
        """Median seconds by phase, each of shape ``(rows,)``."""
        units = self.fits[precision].seconds_per_unit
        return {phase: np.median(amounts[phase] @ units[phase].T, axis=1) for phase in PHASES}


def fit_latency(
    device: str, rates: DeviceRates, runs: Sequence[TimedRun], *, seed: int = 0
) -> LatencyModel:
    """Fits a device's utilisations to its timed runs.

    Args:
        device: Id of the device.
        rates: What it can do at best; the priors are relative to it.
        runs: Timed runs; none leaves the priors.
        seed: Seed of the bagged refits.
    """
    priors = _priors(rates)
    fits: dict[Precision, PrecisionFit] = {}
    corrections: dict[Configuration, tuple[float, float]] = {}
    model = LatencyModel(device, fits, corrections, len(runs), "")
    for precision in BYTES_PER_WEIGHT:
        chosen = [run for run in runs if run.configuration.precision == precision]
        amounts = _stack([run_work(run) for run in chosen])
        rng = np.random.default_rng(seed)
        bags: dict[str, Array] = {}
        misfit: dict[str, float] = {}
        for phase in PHASES:
            seconds = np.array([max(run.phases_s[phase], 1e-7) for run in chosen])
            bags[phase], misfit[phase] = _fit_phase(amounts[phase], seconds, priors[phase], rng)
        fits[precision] = PrecisionFit(bags, misfit, len(chosen))
        corrections |= _corrections(model, precision, chosen, amounts)
    source = f"{len(runs)} timed runs on {device}" if runs else f"{rates.source}, never timed"
    return LatencyModel(device, fits, corrections, len(runs), source)


def _fit_phase(
    amounts: Array, seconds: Array, prior: Prior, rng: np.random.Generator
) -> tuple[Array, float]:
    means = prior.mean + prior.sd * rng.standard_normal((BAGS, len(prior.mean)))
    if not len(seconds):
        return np.exp(means), 0.0
    form, log_seconds = SumOfWork(), np.log(seconds)
    misfit_sd = _FIRST_MISFIT_SD
    best = prior.mean[None]
    for _ in range(3):
        weights = np.full((1, len(seconds)), 1 / misfit_sd**2)
        best = solve(form, amounts, log_seconds, weights, prior, best)
        residual = log_seconds - form.log_value(best, amounts)[0]
        spread = 1.4826 * float(np.median(np.abs(residual)))
        misfit_sd = max(spread, _MIN_MISFIT_SD)
    weights = rng.exponential(size=(BAGS, len(seconds))) / misfit_sd**2
    start = np.tile(best, (BAGS, 1))
    bags = solve(form, amounts, log_seconds, weights, Prior(means, prior.sd), start)
    return np.exp(bags), misfit_sd


def _priors(rates: DeviceRates) -> dict[str, Prior]:
    """A typical device: 0.7 of its arithmetic and memory rates is reached.

    Spreads are a factor of 1.6 to 2.7 at one standard deviation.
    """
    flop, byte = 1 / (0.7 * rates.flops_per_s), 1 / (0.7 * rates.bytes_per_s)
    layer, frame = rates.layer_s, 8e-6

    def prior(*units: tuple[float, float]) -> Prior:
        return Prior(np.log([unit for unit, _ in units]), np.array([sd for _, sd in units]))

    return {
        "features": prior((frame, 1.0)),
        "encoder": prior((layer, 0.8), (flop, 0.5)),
        "prefill": prior((layer, 0.8), (flop, 0.5)),
        "decode": prior((layer, 0.8), (byte, 0.7), (byte, 1.0)),
    }


def _corrections(
    model: LatencyModel, precision: Precision, runs: Sequence[TimedRun], amounts: Work
) -> dict[Configuration, tuple[float, float]]:
    if not runs:
        return {}
    fitted, _ = model.log_seconds(amounts, precision)
    ratios: dict[Configuration, list[float]] = {}
    for run, expected in zip(runs, fitted, strict=True):
        measured = np.log(sum(run.phases_s[phase] for phase in PHASES))
        ratios.setdefault(run.configuration, []).append(float(measured - expected))
    # One standard error of the mean, and never less than what repeats spread by.
    return {
        configuration: (
            float(np.mean(values)),
            max(float(np.std(values)) / len(values) ** 0.5, _MIN_MISFIT_SD),
        )
        for configuration, values in ratios.items()
    }


@lru_cache(maxsize=16384)
def _pass_work(configuration: Configuration, frames: int, output_tokens: int) -> Work:
    architecture = configuration.architecture
    assert isinstance(architecture, WhisperArchitecture)
    return work(
        architecture,
        frames=frames,
        token_stride=configuration.token_stride,
        reduction_layer=configuration.reduction_layer,
        precision=configuration.precision,
        windows=1,
        output_tokens=output_tokens,
    )


def run_work(run: TimedRun) -> Work:
    """What a timed run asked of its device."""
    works = [_pass_work(run.configuration, *one) for one in run.passes]
    return {phase: np.sum([amounts[phase] for amounts in works], axis=0) for phase in PHASES}


_KINDS = {"features": 1, "encoder": 2, "prefill": 2, "decode": 3}


def _stack(amounts: Sequence[Work]) -> Work:
    return {
        phase: np.vstack([one[phase] for one in amounts])
        if amounts
        else np.zeros((0, _KINDS[phase]))
        for phase in PHASES
    }


def _columns(*amounts: Number) -> Array:
    """Amounts as columns, shape ``(rows, kinds)``; none is ever quite zero."""
    columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(a, dtype=float)) for a in amounts))
    stacked: Array = np.stack([column.ravel() for column in columns], axis=1)
    return np.maximum(stacked, 1e-9)
