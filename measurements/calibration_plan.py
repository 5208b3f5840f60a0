"""What a calibration times, and in which order: every architecture first, then detail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch

from models_registry import MODELS, Configuration, SpeechEncoderArchitecture, WhisperArchitecture
from models_registry.architectures import Architecture
from models_registry.configuration import Precision, Task
from models_registry.devices import CPU_PRECISIONS
from models_registry.loading import refusal
from models_registry.loading.precision import refused
from planner.cost import pass_flops

PRECISIONS: dict[str, tuple[Precision, ...]] = {
    "cpu": CPU_PRECISIONS,
    "cuda": ("fp32", "fp16", "bf16", "int8", "int4"),
}
"""What a kind of device runs; int8 and int4 on CUDA where torchao is installed."""

OUTPUT_TOKENS = 24
"""Tokens decoded in a window: a random decoder never ends by itself. A window of 10 s
holds about so many."""

_HALF = -1
"""Stands for the middle layer."""

_ROUNDS: dict[Task, tuple[dict[str, Any], ...]] = {
    "asr": (
        {"window_s": 10},
        {"window_s": 30},
        {"window_s": 20, "token_stride": 2, "reduction_layer": _HALF},
        {"window_s": 5},
        {"window_s": 10, "batch_size": 4},
        {"window_s": 30, "token_stride": 1.5, "reduction_layer": 0},
        {"window_s": 20},
        {"window_s": 15, "token_stride": 3, "reduction_layer": _HALF},
        {"window_s": 10, "batch_size": 16},
    ),
    "ser": (
        {"window_s": 4},
        {"window_s": 10},
        {"window_s": 4, "exit_layer": _HALF},
        {"window_s": 2},
        {"window_s": 4, "batch_size": 4},
        {"window_s": 4, "token_stride": 2, "reduction_layer": _HALF},
        {"window_s": 4, "batch_size": 16},
    ),
}
"""Axes by round. The first precision goes first, the others follow a round later."""


def plan(
    kind: str,
    models: Sequence[str] | None = None,
    precisions: Sequence[Precision] | None = None,
) -> list[Configuration]:
    """Configurations to time, the most telling first.

    Cheap ones go first within a round, so that whatever the budget, what was timed is
    balanced over the architectures.

    Args:
        kind: Kind of device, ``cpu`` or ``cuda``.
        models: Only these; every architecture of the registry when left out.
        precisions: Only these; all that the kind of device runs here when left out.

    Raises:
        UnknownNameError: A model is not in the registry.
        ValueError: The device does not run a precision.
    """
    offered, device = PRECISIONS[kind], torch.device(kind)
    for precision in precisions or ():
        if precision not in offered:
            raise ValueError(f"precision {precision} is none of {', '.join(offered)} on {kind}")
        if reason := refused(precision, device):
            raise ValueError(reason)
    chosen = [p for p in offered if p in (precisions or offered) and not refused(p, device)]
    architectures = [MODELS.get(name) for name in models] if models else list(MODELS)
    ordered: list[Configuration] = []
    for number in range(max(map(len, _ROUNDS.values())) + 1):
        for task, rounds in _ROUNDS.items():
            of_round: list[Configuration] = []
            for architecture in _distinct(architectures, task):
                for place, precision in enumerate(chosen):
                    axes = rounds[number - bool(place) : number - bool(place) + 1]
                    if number >= bool(place) and axes:
                        of_round.append(_configuration(architecture, task, precision, axes[0]))
            loadable = (c for c in of_round if refusal(c, device) is None)
            ordered += sorted(loadable, key=work_flops)
    return list(dict.fromkeys(ordered))


def output_tokens(configuration: Configuration) -> int | None:
    """Tokens that every window decodes to; none of an encoder alone."""
    return OUTPUT_TOKENS if configuration.task == "asr" else None


def work_flops(configuration: Configuration) -> float:
    """FLOPs of one timed run: a batch of full windows."""
    tokens = output_tokens(configuration) or 1
    return configuration.batch_size * float(pass_flops(configuration, output_tokens=tokens).total)


def _configuration(
    architecture: Architecture, task: Task, precision: Precision, axes: dict[str, Any]
) -> Configuration:
    half = architecture.encoder_layers // 2
    placed = {name: half if value == _HALF else value for name, value in axes.items()}
    return Configuration(task=task, model=architecture.name, precision=precision, **placed)


def _distinct(architectures: Iterable[Architecture], task: Task) -> list[Architecture]:
    """Those of a task whose shapes differ: equal ones take equal time."""
    seen: dict[object, Architecture] = {}
    for architecture in architectures:
        if task in architecture.tasks:
            seen.setdefault(_shape(architecture, task), architecture)
    return list(seen.values())


def _shape(architecture: Architecture, task: Task) -> object:
    if isinstance(architecture, SpeechEncoderArchitecture):
        # HuBERT is wav2vec 2.0 trained otherwise; its code is another all the same.
        return replace(architecture, name="", hub_id="")
    assert isinstance(architecture, WhisperArchitecture)
    if task == "asr":
        return replace(architecture, name="", hub_id="")
    a = architecture
    return (a.d_model, a.encoder_layers, a.heads, a.ffn, a.mel_bins, a.max_frames)
