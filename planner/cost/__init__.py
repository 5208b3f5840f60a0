"""What a configuration costs: FLOPs by component and bytes of memory."""

from __future__ import annotations

from typing import NamedTuple

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
from planner.cost.memory import memory_bytes, retried_together, whisper_memory
from planner.cost.passes import Passes, passes_of
from planner.workload import Workload

__all__ = [
    "CONVENTIONS",
    "DESCRIPTIONS",
    "Convention",
    "Flops",
    "Passes",
    "RecordingFlops",
    "memory_bytes",
    "pass_flops",
    "passes_of",
    "retried_together",
    "utterance_flops",
    "whisper_memory",
    "whisper_utterance_flops",
]

END_OF_TEXT = 1


def pass_flops(
    configuration: Configuration,
    *,
    output_tokens: Number = whisper.SEED_OUTPUT_TOKENS,
    frames: int | None = None,
    convention: Convention = "counted-1",
    classes: int = 0,
) -> Flops:
    """FLOPs of one forward pass over a full window.

    Args:
        configuration: What runs.
        output_tokens: Tokens decoded, the end of text included (ASR only).
        frames: Encoder frames of the pass, 50 for a second, where they are not those of the
            longest.
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
        heard = frames or round(configuration.window_s * FRAMES_PER_SECOND)
        return whisper.seed(architecture, heard, token_stride=stride, output_tokens=output_tokens)
    if not isinstance(architecture, WhisperArchitecture):
        return speech_encoder.counted(
            architecture,
            round(frames * WAVEFORM_HZ / FRAMES_PER_SECOND)
            if frames
            else round(configuration.window_s * WAVEFORM_HZ),
            token_stride=stride,
            reduction_layer=layer,
            exit_layer=configuration.exit_layer,
            classes=classes,
            attentive=configuration.readout == "attentive",
        )
    if configuration.task == "ser":
        return speech_encoder.counted_whisper_encoder(
            architecture,
            frames or configuration.frames,
            token_stride=stride,
            reduction_layer=layer,
            exit_layer=configuration.exit_layer,
            classes=classes,
            attentive=configuration.readout == "attentive",
        )
    return whisper.counted(
        architecture,
        frames or configuration.frames,
        token_stride=stride,
        reduction_layer=layer,
        output_tokens=output_tokens,
    )


class RecordingFlops(NamedTuple):
    """FLOPs of a recording, the mean over a workload.

    Attributes:
        flops: What is expected, components of shape ``(n,)``.
        log_sd: Standard deviation of the log of all of them, shape ``(n,)``: of how many windows
            there are and of how many are run again; 0 where both are known.
    """

    flops: Flops
    log_sd: NDArray[np.float64]


def whisper_utterance_flops(
    architecture: WhisperArchitecture,
    workload: Workload,
    passes: Passes,
    *,
    token_stride: Number,
    reduction_layer: Number | None,
) -> RecordingFlops:
    """FLOPs of a recording under ``counted-1``, the mean over a workload.

    A recording that is cut takes several passes; a window that runs away takes a
    second one, over the model's full window.

    Args:
        architecture: The model.
        workload: The recordings.
        passes: What they take, for ``n`` configurations.
        token_stride: Shape ``(n, 1)`` or a number.
        reduction_layer: Shape ``(n, 1)`` or a number.

    Returns:
        What is expected, and its spread: costs are linear in the number of windows and in the
        share that is run again.
    """

    def counted(frames: Number) -> Flops:
        return whisper.counted(
            architecture,
            frames,
            token_stride=token_stride,
            reduction_layer=reduction_layer,
            output_tokens=END_OF_TEXT
            + workload.tokens_per_audio_s * passes.heard_s / passes.windows,
        )

    once, again = counted(passes.frames), counted(passes.full_frames)
    shares = workload.shares * passes.windows
    flops = Flops(
        "counted-1",
        {
            name: (shares * (flops + passes.retries * again.components[name])).sum(axis=-1)
            for name, flops in once.components.items()
        },
    )
    by_retries = (shares * again.total).sum(axis=-1) * passes.retries_sd[:, 0]
    one = once.total + passes.retries * again.total
    # Where one recording has more windows than the least, others have: pauses are alike.
    by_windows = (workload.shares * passes.windows_sd * one).sum(axis=-1)
    share = np.hypot(by_retries, by_windows) / flops.total
    return RecordingFlops(flops, np.sqrt(np.log1p(np.square(share))))


def utterance_flops(
    configuration: Configuration,
    workload: Workload,
    convention: Convention = "counted-1",
    *,
    retries: float = 0.0,
) -> Flops:
    """FLOPs of a recording, the mean over a workload.

    The seed paper's convention knows one pass over a window and 20 tokens, SER
    one pass over a window; both leave the workload aside.

    Args:
        configuration: What runs.
        workload: The recordings.
        convention: How to count.
        retries: Share of windows that are run again in the full window.
    """
    c, architecture = configuration, configuration.architecture
    if (
        convention != "counted-1"
        or c.task != "asr"
        or not isinstance(architecture, WhisperArchitecture)
    ):
        return pass_flops(c, convention=convention)
    flops, _ = whisper_utterance_flops(
        architecture,
        workload,
        passes_of(
            workload,
            policy=c.window_policy,
            window_s=c.window_s,
            speech_s=c.speech_s,
            silence_s=c.silence_s,
            full_window_s=architecture.max_window_s,
            retries=retries,
        ),
        token_stride=c.token_stride,
        reduction_layer=c.reduction_layer,
    )
    return Flops(flops.convention, {k: float(v[0]) for k, v in flops.components.items()})
