"""Bytes that a configuration needs while it runs, in closed form.

Python, torch and the audio itself come on top; they do not depend on the
configuration.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models_registry.architectures import WhisperArchitecture
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


def weights_bytes(configuration: Configuration) -> int:
    """Bytes of the weights; positions behind the window are dropped."""
    architecture = configuration.architecture
    parameters = architecture.parameters
    if isinstance(architecture, WhisperArchitecture):
        parameters -= (architecture.max_frames - configuration.frames) * architecture.d_model
    return round(parameters * BYTES_PER_WEIGHT[configuration.precision])


def memory_bytes(configuration: Configuration, output_tokens: float) -> dict[str, int]:
    """Weights, key-value caches and the peak of the activations, in bytes.

    Args:
        configuration: What runs; ``batch_size`` windows at once.
        output_tokens: Tokens decoded in the longest window.

    Returns:
        Bytes by ``weights``, ``kv_cache`` and ``activations``. The peak of the
        activations is that of the encoder: its second convolution, or the
        feed-forward of a layer at full length, whichever is larger.
    """
    architecture = configuration.architecture
    size = _BYTES_PER_ACTIVATION[configuration.precision]
    batch = configuration.batch_size
    if not isinstance(architecture, WhisperArchitecture):
        samples = configuration.window_s * 16_000
        first = samples / architecture.conv_stride[0] * architecture.conv_dim[0]
        return {
            "weights": weights_bytes(configuration),
            "kv_cache": 0,
            # The first convolution's output, normalised and activated.
            "activations": round(batch * size * 3 * first),
        }
    kv_cache = kv_cache_bytes(
        architecture,
        configuration.frames,
        configuration.token_stride,
        output_tokens,
        size,
    )
    return {
        "weights": weights_bytes(configuration),
        "kv_cache": round(batch * kv_cache),
        "activations": round(
            batch
            * activation_bytes(
                architecture, configuration.frames, size, configuration.reduction_layer == 0
            )
        ),
    }


def kv_cache_bytes(
    architecture: WhisperArchitecture,
    frames: Number,
    token_stride: Number,
    output_tokens: Number,
    bytes_per_value: int,
) -> Number:
    """Keys and values of self- and cross-attention for one window."""
    a = architecture
    positions = reduced(frames, token_stride) + a.prompt_tokens + output_tokens
    return 2 * a.decoder_layers * positions * a.d_model * bytes_per_value


def activation_bytes(
    architecture: WhisperArchitecture,
    frames: Number,
    bytes_per_value: int,
    reduced_at_stem: bool = False,
) -> Number:
    """Peak of one window's activations in the encoder."""
    a = architecture
    # The first convolution runs at twice the frame rate; its result and the
    # activated copy are alive together, beside the features.
    stem = 2 * frames * (2 * a.d_model + a.mel_bins)
    # Residual and normed states, the widened ones and their activated copy.
    layer = frames * (2 * a.d_model + 2 * a.ffn)
    peak = stem if reduced_at_stem else np.maximum(stem, layer)
    return peak * bytes_per_value
