"""FLOPs of one forward pass of an encoder with a read-out of emotions."""

from __future__ import annotations

import numpy as np

from models_registry.architectures import SpeechEncoderArchitecture, WhisperArchitecture
from planner.cost.conventions import Flops, Number
from planner.cost.whisper import encoder_layers, reduced, whisper_stem


def counted(
    architecture: SpeechEncoderArchitecture,
    samples: Number,
    *,
    token_stride: Number = 1,
    reduction_layer: Number | None = None,
    exit_layer: int | None = None,
    classes: int = 0,
    attentive: bool = False,
) -> Flops:
    """FLOPs under ``counted-1`` of wav2vec2, HuBERT or WavLM.

    Args:
        architecture: The model; its own kernel sizes and widths are used.
        samples: Length of the waveform at 16 kHz.
        token_stride: Encoder tokens merged into one.
        reduction_layer: Layer after which they are.
        exit_layer: Last layer that runs; all when left out.
        classes: Classes of a read-out on the pooled output; 0 without.
        attentive: Whether the read-out weighs the tokens by attention.
    """
    a = architecture
    d = a.hidden
    stem: Number = 0
    length, channels = np.asarray(samples), 1
    for dim, kernel, stride in zip(a.conv_dim, a.conv_kernel, a.conv_stride, strict=True):
        length = (length - kernel) // stride + 1
        stem = stem + 2 * length * dim * channels * kernel
        channels = dim
    # An even kernel with half of it as padding on each side makes one frame too many.
    positions = length + 1 - a.positional_kernel % 2
    layers = exit_layer or a.encoder_layers
    encoder = encoder_layers(
        d, a.ffn, layers, _plain(length), token_stride=token_stride, reduction_layer=reduction_layer
    )
    if a.position_buckets:
        if reduction_layer is not None:
            raise ValueError(f"{a.name}: relative positions are not defined for reduced tokens")
        encoder = encoder + layers * 2 * length * d * 8  # the gate of the position bias
    return Flops(
        "counted-1",
        {
            "stem": _plain(stem),
            "projection": _plain(2 * length * channels * d),
            "positional": _plain(
                2 * positions * d * (d // a.positional_groups) * a.positional_kernel
            ),
            "encoder": _plain(encoder),
            "head": _head(d, reduced(_plain(length), token_stride), classes, attentive),
        },
    )


def counted_whisper_encoder(
    architecture: WhisperArchitecture,
    frames: Number,
    *,
    token_stride: Number = 1,
    reduction_layer: Number | None = None,
    exit_layer: int | None = None,
    classes: int = 0,
    attentive: bool = False,
) -> Flops:
    """FLOPs under ``counted-1`` of a Whisper encoder with a read-out."""
    a = architecture
    return Flops(
        "counted-1",
        {
            "stem": whisper_stem(a, frames),
            "encoder": encoder_layers(
                a.d_model,
                a.ffn,
                exit_layer or a.encoder_layers,
                frames,
                token_stride=token_stride,
                reduction_layer=reduction_layer,
            ),
            "head": _head(a.d_model, reduced(frames, token_stride), classes, attentive),
        },
    )


def _head(width: int, tokens: Number, classes: int, attentive: bool) -> Number:
    """Classes from the mean token; attention scores every token and sums them weighted."""
    return 2 * width * classes + (4 * width * tokens if attentive else 0)


def _plain(value: Number) -> Number:
    return int(value) if np.ndim(value) == 0 else value
