"""Bytes that a configuration needs while it runs, in closed form.

Python, torch and the audio itself come on top; they do not depend on the
configuration.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from models_registry.architectures import (
    WAVEFORM_HZ,
    Architecture,
    SpeechEncoderArchitecture,
    WhisperArchitecture,
)
from models_registry.configuration import Configuration, Precision
from planner.cost.conventions import Number
from planner.cost.whisper import reduced

BYTES_PER_WEIGHT: Mapping[Precision, float] = {
    "fp32": 4,
    "bf16": 2,
    "fp16": 2,
    "int8": 1,
    "int4": 0.5,
}

_BYTES_PER_ACTIVATION: Mapping[Precision, int] = {
    "fp32": 4,
    "bf16": 2,
    "fp16": 2,
    "int8": 4,
    "int4": 2,
}


_INT4_TILE = 1024
"""torchao's kernels pad the inputs of a layer to a multiple of it."""

_INT4_BYTES = 0.5 + 4 / 64
"""Of a weight, with its part of the scale and zero that a group of 64 has in 16 bits each."""

Linears = Sequence[tuple[int, int, int]]
"""How many linear layers there are of so many inputs and outputs."""


def memory_bytes(configuration: Configuration, output_tokens: float) -> dict[str, int]:
    """Weights, key-value caches and the peak of the activations, in bytes.

    Args:
        configuration: What runs; ``batch_size`` windows at once.
        output_tokens: Tokens decoded in the longest window.
    """
    c = configuration
    architecture = _loaded(c)
    if isinstance(architecture, WhisperArchitecture):
        parts = whisper_memory(
            architecture,
            c.frames,
            precision=c.precision,
            token_stride=c.token_stride,
            reduction_layer=c.reduction_layer,
            output_tokens=output_tokens,
            batch_size=c.batch_size,
        )
    else:
        parts = speech_encoder_memory(
            architecture, c.window_s, precision=c.precision, batch_size=c.batch_size
        )
    return {name: round(float(size)) for name, size in parts.items()}


def _loaded(configuration: Configuration) -> Architecture:
    """The part of the model that is loaded: for emotions the encoder up to its exit."""
    architecture = configuration.architecture
    if configuration.task == "asr":
        return architecture
    layers = configuration.exit_layer or architecture.encoder_layers
    if isinstance(architecture, WhisperArchitecture):
        return replace(
            architecture, encoder_layers=layers, decoder_layers=0, vocab_size=0, max_tokens=0
        )
    return replace(architecture, encoder_layers=layers)


def whisper_memory(
    architecture: WhisperArchitecture,
    frames: Number,
    *,
    precision: Precision,
    token_stride: Number,
    reduction_layer: Number | None,
    output_tokens: Number,
    batch_size: Number = 1,
) -> dict[str, Number]:
    """Bytes by ``weights``, ``kv_cache`` and ``activations``; numbers or arrays.

    The peak of the activations is that of the encoder: the stem, whose first
    convolution runs at twice the frame rate and whose result and its activated
    copy are alive together, or a layer's feed-forward with residual, normed and
    widened states, whichever is larger.
    """
    a = architecture
    size = _BYTES_PER_ACTIVATION[precision]

    def cached(frames: Number) -> Number:
        held = reduced(frames, token_stride) + a.prompt_tokens + output_tokens
        return size * 2 * a.decoder_layers * a.d_model * held

    def activations(frames: Number) -> Number:
        stem = 2 * frames * (2 * a.d_model + a.mel_bins)
        tokens = frames
        if reduction_layer is not None:
            tokens = np.where(np.equal(reduction_layer, 0), reduced(frames, token_stride), frames)
        return size * np.maximum(stem, tokens * (2 * a.d_model + 2 * a.ffn))

    # A window that runs away is run again, alone, in the full one.
    return {
        "weights": weights_bytes(a, precision),
        "kv_cache": np.maximum(batch_size * cached(frames), cached(a.max_frames)),
        "activations": np.maximum(batch_size * activations(frames), activations(a.max_frames)),
    }


def weights_bytes(architecture: WhisperArchitecture, precision: Precision) -> float:
    """Bytes of the weights; int8 as on a CPU, where what is not quantised is in 32 bits."""
    a = architecture
    layers = a.encoder_layers + a.decoder_layers
    linears = [
        (4 * (layers + a.decoder_layers), a.d_model, a.d_model),
        (layers, a.d_model, a.ffn),
        (layers, a.ffn, a.d_model),
    ]
    # The LM head, otherwise the embedding itself, is a copy of its own where quantised.
    head = _quantised_bytes([(1, a.d_model, a.vocab_size)], precision)
    return head + _weights_bytes(a.parameters, linears, precision)


def _weights_bytes(parameters: int, linears: Linears, precision: Precision) -> float:
    """Only linear layers are quantised."""
    if precision not in ("int8", "int4"):
        return parameters * BYTES_PER_WEIGHT[precision]
    others = parameters - sum(count * inputs * outputs for count, inputs, outputs in linears)
    return _quantised_bytes(linears, precision) + others * _BYTES_PER_ACTIVATION[precision]


def _quantised_bytes(linears: Linears, precision: Precision) -> float:
    """Bytes of linear layers in int8 or int4, scales included; 0 in other precisions."""
    if precision == "int8":
        return sum(count * inputs * outputs for count, inputs, outputs in linears)
    if precision == "int4":
        return sum(
            count * math.ceil(inputs / _INT4_TILE) * _INT4_TILE * outputs * _INT4_BYTES
            for count, inputs, outputs in linears
        )
    return 0


def speech_encoder_memory(
    architecture: SpeechEncoderArchitecture,
    window_s: Number,
    *,
    precision: Precision,
    batch_size: Number = 1,
) -> dict[str, Number]:
    """The same for a waveform encoder.

    Its activations peak behind the first convolution: the result, normalised
    and activated.
    """
    a = architecture
    first = window_s * WAVEFORM_HZ / a.conv_stride[0] * a.conv_dim[0]
    linears = [
        (1, a.conv_dim[-1], a.hidden),
        (4 * a.encoder_layers, a.hidden, a.hidden),
        (a.encoder_layers, a.hidden, a.ffn),
        (a.encoder_layers, a.ffn, a.hidden),
    ]
    return {
        "weights": _weights_bytes(a.parameters, linears, precision),
        "kv_cache": 0 * window_s,
        "activations": batch_size * _BYTES_PER_ACTIVATION[precision] * 3 * first,
    }
