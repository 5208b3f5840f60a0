"""What a configuration costs: FLOPs by component and bytes of memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models_registry.architectures import (
    FRAMES_PER_SECOND,
    WAVEFORM_HZ,
    WhisperArchitecture,
)
from models_registry.configuration import Configuration
from planner.cost import speech_encoder, whisper
from planner.cost.conventions import CONVENTIONS, DESCRIPTIONS, Convention, Flops, Number
from planner.cost.memory import memory_bytes, weights_bytes
from planner.workload import Workload

__all__ = [
    "CONVENTIONS",
    "DESCRIPTIONS",
    "Convention",
    "Flops",
    "memory_bytes",
    "pass_flops",
    "passes",
    "utterance_flops",
    "weights_bytes",
]

END_OF_TEXT = 1


def pass_flops(
    configuration: Configuration,
    *,
    output_tokens: Number = whisper.SEED_OUTPUT_TOKENS,
    convention: Convention = "counted-1",
    classes: int = 0,
) -> Flops:
    """FLOPs of one forward pass over a full window.

    Args:
        configuration: What runs.
        output_tokens: Tokens decoded, the end of text included (ASR only).
        convention: How to count.
        classes: Classes of the read-out (SER only).

    Raises:
        ValueError: The convention does not cover the architecture.
    """
    architecture = configuration.architecture
    stride, layer = configuration.token_stride, configuration.reduction_layer
    if convention == "seed-2606.22790":
        if not isinstance(architecture, WhisperArchitecture) or configuration.task != "asr":
            raise ValueError(f"convention {convention} covers Whisper for asr only")
        frames = round(configuration.window_s * FRAMES_PER_SECOND)
        return whisper.seed(architecture, frames, token_stride=stride, output_tokens=output_tokens)
    if not isinstance(architecture, WhisperArchitecture):
        return speech_encoder.counted(
            architecture,
            round(configuration.window_s * WAVEFORM_HZ),
            token_stride=stride,
            reduction_layer=layer,
            exit_layer=configuration.exit_layer,
            classes=classes,
        )
    if configuration.task == "ser":
        return speech_encoder.counted_whisper_encoder(
            architecture,
            configuration.frames,
            token_stride=stride,
            reduction_layer=layer,
            exit_layer=configuration.exit_layer,
            classes=classes,
        )
    return whisper.counted(
        architecture,
        configuration.frames,
        token_stride=stride,
        reduction_layer=layer,
        output_tokens=output_tokens,
    )


def passes(
    durations_s: NDArray[np.float64], speech_s: Number, truncate: bool = False
) -> NDArray[np.float64]:
    """Forward passes each recording takes, shape of the two arguments broadcast."""
    if truncate:
        return np.ones(np.broadcast(durations_s, speech_s).shape)
    windows: NDArray[np.float64] = np.ceil(np.asarray(durations_s) / speech_s - 1e-9)
    return windows


def utterance_flops(
    configuration: Configuration, workload: Workload, convention: Convention = "counted-1"
) -> Flops:
    """FLOPs of a recording, the mean over a workload; floats by component.

    Recordings longer than ``configuration.speech_s`` take several passes, each
    over a full window, unless the configuration truncates them.
    """
    truncate = configuration.window_policy == "truncate"
    windows = passes(workload.durations, configuration.speech_s, truncate)
    heard_s = workload.durations
    if truncate:
        heard_s = np.minimum(heard_s, configuration.window_s)
    tokens = END_OF_TEXT + workload.tokens_per_audio_s * heard_s / windows
    one = pass_flops(configuration, output_tokens=tokens, convention=convention)
    shares = workload.shares * windows
    components = {name: float((shares * flops).sum()) for name, flops in one.components.items()}
    return Flops(convention, components)
