"""Bytes that a configuration needs while it runs, in closed form.

Python, torch and the audio itself come on top; they do not depend on the
configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """Bytes of the weights."""
    a = architecture
    parameters = a.parameters
    if precision != "int8":
        return parameters * BYTES_PER_WEIGHT[precision]
    # Only linear layers shrink. The LM head, otherwise the embedding itself, is
    # a copy of its own in 8 bits.
    head = a.vocab_size * a.d_model
    block = 4 * a.d_model**2 + 2 * a.d_model * a.ffn
    linear = (a.encoder_layers + a.decoder_layers) * block + a.decoder_layers * 4 * a.d_model**2
    return linear + head + 4 * (parameters - linear)


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
    weights = a.parameters * BYTES_PER_WEIGHT[precision]
    if precision == "int8":
        linear = a.encoder_layers * (4 * a.hidden**2 + 2 * a.hidden * a.ffn)
        weights = linear + 4 * (a.parameters - linear)
    return {
        "weights": weights,
        "kv_cache": 0 * window_s,
        "activations": batch_size * _BYTES_PER_ACTIVATION[precision] * 3 * first,
    }
