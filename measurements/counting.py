"""FLOPs of real runs: the closed form on real token counts, held against torch's counter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from measurements.records import UtteranceResult
from models_registry import Configuration
from models_registry.loading.audio import Waveform
from models_registry.loading.clock import PhaseClock
from models_registry.loading.emotion import EmotionRecogniser
from models_registry.loading.whisper import WhisperTranscriber
from planner.cost import pass_flops


class FlopCountError(AssertionError):
    """The closed form and torch's counter disagree."""


def mean_flops(configuration: Configuration, results: Sequence[UtteranceResult]) -> float:
    """FLOPs of an utterance under ``counted-1``, the mean over what was really decoded."""
    total = sum(
        int(pass_flops(configuration, frames=frames, output_tokens=tokens).total)
        for result in results
        for frames, tokens in result.passes
    )
    return total / len(results)


def check(transcriber: WhisperTranscriber, waveform: Waveform) -> int | None:
    """Counts a recording's first window with ``FlopCounterMode`` and compares.

    Returns:
        FLOPs counted; none with int8 and int4, whose kernels torch does not count.

    Raises:
        FlopCountError: The closed form gives another number.
    """
    if transcriber.configuration.precision in ("int8", "int4"):
        return None
    # The mel filter bank is a matrix product too, but not the model's.
    clock = PhaseClock(transcriber.device)
    (window, *_) = transcriber.windows(waveform)
    batch = [window.piece.waveform]
    features = transcriber.features(batch, window.frames, clock)
    with _counted(transcriber.model) as counter:
        states = transcriber.encode(features, clock)
        (tokens,) = transcriber.decode(list(states), batch, clock)
    flops = pass_flops(transcriber.configuration, frames=window.frames, output_tokens=len(tokens))
    expected = int(flops.total)
    return _agreed(counter, expected, transcriber.configuration)


def check_recogniser(recogniser: EmotionRecogniser, waveform: Waveform) -> int | None:
    """The same for emotion recognition: the encoder up to its exit layer, and the read-out.

    Raises:
        FlopCountError: The closed form gives another number.
    """
    configuration, encoder = recogniser.configuration, recogniser.encoder
    if configuration.precision in ("int8", "int4"):
        return None
    clock = PhaseClock(recogniser.device)
    features = encoder.features([waveform], clock)
    with torch.inference_mode(), _counted(encoder.model) as counter:
        recogniser.readout(encoder.encode(features, clock))
    expected = int(pass_flops(configuration, classes=len(recogniser.labels)).total)
    return _agreed(counter, expected, configuration)


@contextmanager
def _counted(model: Any) -> Iterator[FlopCounterMode]:
    """Counts what runs in the block.

    Attention runs eagerly meanwhile: torch counts nothing for fused attention on a CPU.
    """
    attention = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        with FlopCounterMode(display=False) as counter:
            yield counter
    finally:
        model.set_attn_implementation(attention)


def _agreed(counter: FlopCounterMode, expected: int, configuration: Configuration) -> int:
    counted = int(counter.get_total_flops())
    if counted != expected:
        raise FlopCountError(
            f"{configuration.label()}: {expected} FLOPs by the closed form,"
            f" {counted} by FlopCounterMode"
        )
    return counted
