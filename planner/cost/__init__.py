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
from planner.cost.memory import memory_bytes, whisper_memory
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
    "whisper_memory",
    "whisper_utterance_flops",
]

END_OF_TEXT = 1

Array = NDArray[np.float64]


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
            attentive=configuration.readout == "attentive",
        )
    if configuration.task == "ser":
        return speech_encoder.counted_whisper_encoder(
            architecture,
            configuration.frames,
            token_stride=stride,
            reduction_layer=layer,
            exit_layer=configuration.exit_layer,
            classes=classes,
            attentive=configuration.readout == "attentive",
        )
    return whisper.counted(
        architecture,
        configuration.frames,
        token_stride=stride,
        reduction_layer=layer,
        output_tokens=output_tokens,
    )


def passes(durations_s: Number, speech_s: Number, truncate: bool = False) -> Array:
    """Forward passes each recording takes, shape of the two arguments broadcast.

    Args:
        durations_s: Durations of recordings.
        speech_s: Longest piece of speech that one pass takes.
        truncate: Whether what is left over is dropped.
    """
    windows: Array = np.ceil(np.asarray(durations_s) / speech_s - 1e-9)
    return np.ones_like(windows) if truncate else windows


def whisper_utterance_flops(
    architecture: WhisperArchitecture,
    workload: Workload,
    *,
    frames: Number,
    speech_s: Number,
    truncate: bool,
    token_stride: Number,
    reduction_layer: Number | None,
) -> Flops:
    """FLOPs of a recording under ``counted-1``, the mean over a workload.

    A recording longer than ``speech_s`` takes several passes, each over a full
    window. Numbers, or arrays of shape ``(n, 1)``; the components have shape ``(n,)``
    then.
    """
    windows = passes(workload.durations, speech_s, truncate)
    heard_s = np.minimum(workload.durations, windows * speech_s)
    one = whisper.counted(
        architecture,
        frames,
        token_stride=token_stride,
        reduction_layer=reduction_layer,
        output_tokens=END_OF_TEXT + workload.tokens_per_audio_s * heard_s / windows,
    )
    shares = workload.shares * windows
    return Flops(
        "counted-1", {name: (shares * flops).sum(axis=-1) for name, flops in one.components.items()}
    )


def utterance_flops(
    configuration: Configuration, workload: Workload, convention: Convention = "counted-1"
) -> Flops:
    """FLOPs of a recording, the mean over a workload.

    The seed paper's convention knows one pass over a window and 20 tokens, SER
    one pass over a window; both leave the workload aside.
    """
    c, architecture = configuration, configuration.architecture
    if (
        convention != "counted-1"
        or c.task != "asr"
        or not isinstance(architecture, WhisperArchitecture)
    ):
        return pass_flops(c, convention=convention)
    return whisper_utterance_flops(
        architecture,
        workload,
        frames=c.frames,
        speech_s=c.speech_s,
        truncate=c.window_policy == "truncate",
        token_stride=c.token_stride,
        reduction_layer=c.reduction_layer,
    )
