"""Numbers put into sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from models_registry.configuration import Task
from planner.question import UNITS
from planner.workload import Workload

if TYPE_CHECKING:
    from planner.quality import Quality

COST_NAMES: dict[str, str] = {
    "gflops_per_utterance": "GFLOPs per utterance",
    "gflops_per_audio_second": "GFLOPs per second of audio",
    "rtf": "RTF",
    "latency_p50_s": "latency p50",
    "latency_p95_s": "latency p95",
    "memory_gib": "memory",
    "parameters": "parameters",
    "usd_per_audio_hour": "price per hour of audio",
    "joules_per_audio_second": "energy per second of audio",
}

AXIS_NAMES = {
    "xN": "a larger model (xN)",
    "xT": "longer windows (xT)",
    "xV": "more encoder tokens (xV)",
    "exit": "a later exit",
    "rank": "a higher rank",
    "precision": "a finer precision",
}

_FEW = 1000
"""Parameters below which they are not counted in millions."""


def amount(name: str, value: float) -> str:
    """A cost with its unit, in three digits."""
    if name == "parameters" and value < _FEW:
        return f"{_three_digits(value)} parameters"
    if name == "parameters":
        return f"{_three_digits(value / 1e6)} M parameters"
    if name == "rtf":
        return f"RTF {_three_digits(value)}"
    return f"{_three_digits(value)} {UNITS[name]}"


def needed(name: str, value: float) -> str:
    """The same, rounded up: what is printed is enough."""
    step = 10.0 ** (np.floor(np.log10(value)) - 2)
    return amount(name, float(np.ceil(value / step - 1e-6) * step))


def _three_digits(value: float) -> str:
    if value < 1e-4:
        return np.format_float_positional(value, 3, fractional=False, trim="-")
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"


def chance(probability: float) -> str:
    """A probability in percent, in as many digits from three on as it takes to be no certainty."""
    said = f"{100 * probability:.3g}"
    for digits in range(4, 10):
        if float(said) < 100 or probability >= 1:
            break
        said = f"{100 * probability:.{digits}g}"
    return f"{said}%"


def metric_value(task: str, error: float) -> str:
    """An error in the task's metric, in percent."""
    if task == "asr":
        return f"WER {100 * error:.2f} %"
    return f"UA {100 * (1 - error):.1f} %"


def interval(quality: Quality, row: int, task: Task) -> str:
    """Where a row's metric is with the level's probability, in percent."""
    low, high = quality.lower[row], quality.upper[row]
    if task == "ser":
        low, high = 1 - high, 1 - low
    return f"{100 * low:.2f} to {100 * high:.2f} at {chance(quality.level)}"


def workload(served: Workload, task: Task) -> str:
    """A workload in one line; emotions are read without tokens."""
    mean = served.mean_audio_s
    audio = f"{mean:.1f}" if mean >= 1 else f"{mean:.2g}"
    said = f", {served.tokens_per_audio_s:.1f} tokens a second" if task == "asr" else ""
    return f"{audio} s of audio on average{said} ({served.source})"


def and_of(names: Sequence[str]) -> str:
    """Names as a list in a sentence."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
