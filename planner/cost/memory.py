"""Bytes that a configuration takes of a process, in closed form.

The engine and its libraries come on top (:mod:`planner.device.memory`); they hardly depend on
the configuration.
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
from planner.arrays import Mask
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

_HEAP = 1.15
"""What a process takes for a byte that comes and goes: the heap has holes that nothing fits.
Batches of 8 beside single windows, ``python -m benchmarks.memory``; rows left out of the runtime's
fit were in view when it was set."""

_FIRST_USED = 60e6
"""Of the runtime on a CPU: pages of its kernels, which are not there before anything runs."""

Linears = Sequence[tuple[int, int, int]]
"""How many linear layers there are of so many inputs and outputs."""


def memory_bytes(
    configuration: Configuration,
    output_tokens: float,
    kind: str = "cpu",
    *,
    retried: float = 1,
) -> dict[str, int]:
    """Weights, caches, activations, and what loading takes beyond them, in bytes.

    Args:
        configuration: What runs; ``batch_size`` windows at once.
        output_tokens: Tokens decoded in the longest window.
        kind: Of the device, ``cpu`` or ``cuda``.
        retried: Windows that ran away and are run again together, in the full one.
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
            retried=retried if c.task == "asr" else 0,
            adapted=c.adapter != "none",
            kind=kind,
        )
    else:
        parts = speech_encoder_memory(
            architecture,
            c.window_s,
            precision=c.precision,
            batch_size=c.batch_size,
            whole=c.architecture.parameters,
            kind=kind,
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
    retried: Number = 1,
    adapted: bool | Mask = False,
    kind: str = "cpu",
) -> dict[str, Number]:
    """Bytes by ``weights``, ``kv_cache``, ``activations`` and ``loading``; numbers or arrays.

    They add up to the peak, which comes while windows are encoded or while they are decoded:
    ``activations`` are what is there beyond the caches then.

    The activations of the encoder peak in the stem, whose first convolution runs at twice the
    frame rate and whose result and its activated copy are alive together, or in a layer's
    feed-forward with residual, normed and widened states, whichever is larger. On a CPU windows
    are encoded one after another; the features of all of them and what the encoder gave are
    there together. The decoder begins with the latter, a copy of it, and a layer's projection
    of it before and after it is laid out by heads.
    """
    a = architecture
    size = _BYTES_PER_ACTIVATION[precision]

    def cached(frames: Number) -> Number:
        held = reduced(frames, token_stride) + a.prompt_tokens + output_tokens
        return size * 2 * a.decoder_layers * a.d_model * held

    def encoding(frames: Number) -> Number:
        stem = 2 * frames * (2 * a.d_model + a.mel_bins)
        tokens = frames
        if reduction_layer is not None:
            tokens = np.where(np.equal(reduction_layer, 0), reduced(frames, token_stride), frames)
        return size * np.maximum(stem, tokens * (2 * a.d_model + 2 * a.ffn))

    def peak(frames: Number, windows: Number) -> Number:
        states = windows * size * reduced(frames, token_stride) * a.d_model
        caches, copies = windows * cached(frames), 4 * states
        encoded = windows * encoding(frames)
        if kind == "cpu":
            features = windows * size * 2 * frames * a.mel_bins
            encoded = np.where(np.equal(windows, 0), 0, encoding(frames) + features + states)
            if precision == "int8":
                # Rows are scaled and joined before the product, and scaled back behind it.
                copies = 2 * copies
            elif size == 2:
                # oneDNN lays out what it multiplies anew, for every number of rows.
                copies = 4 * copies
            return _HEAP * np.maximum(encoded, caches + copies)
        return np.maximum(encoded, caches + copies)

    running, caches = peak(frames, batch_size), batch_size * cached(frames)
    running = np.maximum(running, peak(a.max_frames, retried))
    caches = np.maximum(caches, retried * cached(a.max_frames))
    parts = {"kv_cache": caches, "activations": running - caches}
    loaded = a.parameters * _loaded_in(precision, kind, adapted=adapted)
    return _with_loading(weights_bytes(a, precision), parts, loaded, kind)


def _loaded_in(precision: Precision, kind: str, *, adapted: bool | Mask) -> Number:
    """Bytes of a weight while a model is loaded: whole before it is quantised or adapted."""
    if kind != "cpu":
        # The host loads and adapts; the device quantises what it is given.
        return 2
    return np.where(adapted, 4, _BYTES_PER_ACTIVATION[precision])


def _with_loading(
    weights: float, parts: Mapping[str, Number], loaded: Number, kind: str
) -> dict[str, Number]:
    """The parts, and by how much loading takes more than all of them."""
    running = weights + sum(parts.values())
    untouched = _FIRST_USED if kind == "cpu" else 0
    return {
        "weights": weights,
        **parts,
        "loading": np.maximum(loaded - untouched - running, 0),
    }


def retried_together(rate: Number, batch_size: Number) -> Number:
    """Windows that a batch runs again in the full window, the most of about a thousand batches.

    Args:
        rate: Share of windows that run away.
        batch_size: Windows of a batch.

    Returns:
        At least 1, which happens sooner or later, and not a whole number.
    """
    mean = batch_size * rate
    most = mean + 3.1 * np.sqrt(mean * (1 - rate))
    return np.clip(most, 1, batch_size)


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
    whole: int | None = None,
    kind: str = "cpu",
) -> dict[str, Number]:
    """The same for a waveform encoder.

    Its activations peak behind the first convolution: the result, normalised
    and activated. It is loaded in 32 bits, all of its layers.

    Args:
        architecture: The encoder up to its exit.
        window_s: Seconds of a window.
        precision: Of the weights.
        batch_size: Windows at once.
        whole: Parameters of the whole checkpoint, where layers are left out.
        kind: Of the device, ``cpu`` or ``cuda``.
    """
    a = architecture
    first = window_s * WAVEFORM_HZ / a.conv_stride[0] * a.conv_dim[0]
    linears = [
        (1, a.conv_dim[-1], a.hidden),
        (4 * a.encoder_layers, a.hidden, a.hidden),
        (a.encoder_layers, a.hidden, a.ffn),
        (a.encoder_layers, a.ffn, a.hidden),
    ]
    weights = _weights_bytes(a.parameters, linears, precision)
    at_once = 1 if kind == "cpu" else batch_size
    parts = {
        "kv_cache": 0 * window_s,
        "activations": at_once * _BYTES_PER_ACTIVATION[precision] * 3 * first,
    }
    loaded = 4 * (whole or a.parameters) if kind == "cpu" else 2 * a.parameters
    return _with_loading(weights, parts, loaded, kind)
