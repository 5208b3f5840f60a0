"""What configurations ask of a device, phase by phase.

Each phase consists of kinds of work, each of which a device does at a rate of its own:
launching layers, arithmetic, reading weights, reading what is cached.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from models_registry.architectures import SpeechEncoderArchitecture, WhisperArchitecture
from models_registry.configuration import Configuration, Precision
from planner.arrays import Array
from planner.cost import pass_flops, whisper
from planner.cost.conventions import Number
from planner.cost.memory import BYTES_PER_WEIGHT
from planner.device.evidence import TimedRun

KINDS: Mapping[str, tuple[str, ...]] = {
    "features": ("frame",),
    "encoder": ("layer", "flop"),
    "prefill": ("layer", "flop"),
    "decode": ("layer", "weight byte", "cached byte", "flop"),
}
"""Kinds of work by phase."""

_SHARED = frozenset({"layer", "weight byte"})

PHASES = tuple(KINDS)

Work = Mapping[str, Array]
"""Amounts of work by phase, each of shape ``(rows, kinds)``."""


def work(
    architecture: WhisperArchitecture,
    *,
    frames: Number,
    token_stride: Number,
    reduction_layer: Number | None,
    precision: Precision,
    windows: Number,
    output_tokens: Number,
) -> Work:
    """What transcribing a recording takes; numbers or arrays that broadcast.

    Args:
        architecture: The model.
        frames: Encoder frames of a window.
        token_stride: Encoder tokens merged into one.
        reduction_layer: Layer after which they are.
        precision: Number format of the weights.
        windows: Forward passes.
        output_tokens: Tokens decoded, over all windows.
    """
    a = architecture
    flops = whisper.counted(
        a, frames, token_stride=token_stride, reduction_layer=reduction_layer, output_tokens=1
    ).components
    tokens_out = whisper.reduced(frames, token_stride)
    steps = output_tokens - windows
    d, layers = a.d_model, a.decoder_layers
    # Every step reads the decoder's weights and the LM head once: four matrices of
    # self-attention, and two of cross-attention, whose keys and values were made in the prefill.
    weights = (layers * (6 * d * d + 2 * d * a.ffn) + a.vocab_size * d) * (
        BYTES_PER_WEIGHT[precision]
    )
    # Keys and values of the encoder, and of half the tokens on average.
    cached = 2 * layers * d * 4 * (tokens_out + a.prompt_tokens + output_tokens / windows / 2)
    token = layers * (12 * d * d + 4 * d * a.ffn + 4 * tokens_out * d) + 2 * d * a.vocab_size
    return {
        "features": _columns(windows * frames),
        "encoder": _columns(
            windows * a.encoder_layers, windows * (flops["stem"] + flops["encoder"])
        ),
        "prefill": _columns(
            windows * layers,
            windows * (flops["cross_kv"] + flops["decoder"] + flops["lm_head"]),
        ),
        "decode": _columns(steps * layers, steps * weights, steps * cached, steps * token),
    }


def in_batch(once: Work, size: int, again: Work | None = None) -> Work:
    """A recording's part of what it takes where so many run together.

    Layers are launched and weights are read once for all of them.

    Args:
        once: What is run together.
        size: How many recordings are.
        again: What is run again for each, alone.
    """
    shared = {
        phase: once[phase] / [size if kind in _SHARED else 1 for kind in kinds]
        for phase, kinds in KINDS.items()
    }
    if again is None:
        return shared
    return {phase: amounts + again[phase] for phase, amounts in shared.items()}


def read_out_work(configuration: Configuration, frames: int) -> Work:
    """What one pass of an encoder with a read-out takes.

    Args:
        configuration: What runs, for ``ser``.
        frames: Encoder frames of its window.
    """
    c, a = configuration, configuration.architecture
    launched = len(a.conv_dim) if isinstance(a, SpeechEncoderArchitecture) else 0
    layers = launched + (c.exit_layer or a.encoder_layers)
    return {
        "features": _columns(frames),
        "encoder": _columns(layers, pass_flops(c, frames=frames).total),
        "prefill": np.full((1, len(KINDS["prefill"])), _NOTHING),
        "decode": np.full((1, len(KINDS["decode"])), _NOTHING),
    }


def run_work(run: TimedRun) -> Work:
    """What a timed run asked of its device."""
    c = run.configuration
    works = []
    for frames, same in itertools.groupby(sorted(run.passes), key=lambda one: one[0]):
        tokens = [count for _, count in same]
        for first in range(0, len(tokens), c.batch_size):
            batch = tokens[first : first + c.batch_size]
            # All go on until the last has ended.
            one = in_batch(_pass_work(c, frames, max(batch)), len(batch))
            works.append((one, len(batch)))
    return {
        phase: np.sum([amounts[phase] * count for amounts, count in works], axis=0)
        for phase in PHASES
    }


def stacked(works: Sequence[Work]) -> Work:
    """Rows of several, one below the other."""
    return {
        phase: np.vstack([one[phase] for one in works]) if works else np.zeros((0, len(kinds)))
        for phase, kinds in KINDS.items()
    }


@lru_cache(maxsize=16384)
def _pass_work(configuration: Configuration, frames: int, output_tokens: int) -> Work:
    c, architecture = configuration, configuration.architecture
    if c.task == "ser":
        return read_out_work(c, frames)
    assert isinstance(architecture, WhisperArchitecture)
    return work(
        architecture,
        frames=frames,
        token_stride=c.token_stride,
        reduction_layer=c.reduction_layer,
        precision=c.precision,
        windows=1,
        output_tokens=output_tokens,
    )


_NOTHING = 1e-9
"""Stands for none: amounts have logarithms."""


def _columns(*amounts: Number) -> Array:
    """Amounts as columns, shape ``(rows, kinds)``; none is ever quite zero."""
    columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(a, dtype=float)) for a in amounts))
    stacked: Array = np.stack([column.ravel() for column in columns], axis=1)
    return np.maximum(stacked, _NOTHING)
