"""A Whisper encoder run layer by layer, what several configurations share run once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu

from models_registry.configuration import Configuration
from models_registry.loading.audio import Waveform
from models_registry.loading.reduction import reduce_tokens

STATE_BYTES = 2 << 30
FEATURE_BYTES = 512 << 20

FEATURES = -1
"""Depth of a window that has come to its features only; 0 is the convolution stem."""

Start = tuple[int, Tensor]
"""How deep one window has come, and what it is there: a batch of one."""


class _Recent:
    """Tensors by key, least recently used ones given up beyond a limit of bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._tensors: OrderedDict[object, Tensor] = OrderedDict()
        self._max_bytes = max_bytes
        self._bytes = 0

    def get(self, key: object) -> Tensor | None:
        if key in self._tensors:
            self._tensors.move_to_end(key)
        return self._tensors.get(key)

    def keep(self, key: object, tensor: Tensor) -> None:
        if key in self._tensors or tensor.nbytes > self._max_bytes:
            return
        # A row of a batch would keep all of the batch alive.
        self._tensors[key] = tensor.clone()
        self._bytes += tensor.nbytes
        while self._bytes > self._max_bytes:
            _, gone = self._tensors.popitem(last=False)
            self._bytes -= gone.nbytes

    def bytes_on(self, device: str) -> int:
        return sum(t.nbytes for t in self._tensors.values() if t.device.type == device)


class PrefixCache:
    """What configurations compute alike: features, and encoder states before a reduction.

    Configurations of one model that differ only in their stride or reduction
    layer share the layers below it; models with the same mel filters share features.
    Both are kept by window, those used last.

    Args:
        max_bytes: Most that is kept of states.
        max_feature_bytes: Most that is kept of features.
    """

    def __init__(
        self, max_bytes: int = STATE_BYTES, max_feature_bytes: int = FEATURE_BYTES
    ) -> None:
        self._states = _Recent(max_bytes)
        self._features = _Recent(max_feature_bytes)

    def deepest(self, window: str, layer: int) -> Start | None:
        """States of a window behind the deepest layer kept, at most ``layer``."""
        for depth in range(layer, -1, -1):
            states = self._states.get((window, depth))
            if states is not None:
                return depth, states
        return None

    def keep(self, window: str, layer: int, states: Tensor) -> None:
        """Keeps states of a window behind a layer; 0 is the convolution stem."""
        self._states.keep((window, layer), states)

    def features(self, window: str, extract: Callable[[], Tensor]) -> Tensor:
        """Features of a window, extracted where they are not kept."""
        found = self._features.get(window)
        if found is None:
            found = extract()
            self._features.keep(window, found)
        return found

    def bytes_on(self, device: str) -> int:
        """Bytes kept in the memory of a kind of device, ``cpu`` or ``cuda``."""
        return self._states.bytes_on(device) + self._features.bytes_on(device)


def window_key(waveform: Waveform, frames: int, what: str) -> str:
    """Names a window by its content: its samples, its length and what is made of it."""
    digest = hashlib.sha256(waveform.tobytes())
    digest.update(f"{frames}\0{what}".encode())
    return digest.hexdigest()


def shared_layers(encoder: Any, configuration: Configuration) -> int:
    """Layers below the reduction; all of them without one."""
    split = configuration.reduction_layer
    return len(encoder.layers) if split is None else split


@torch.inference_mode()
def encode(encoder: Any, features: Tensor, configuration: Configuration) -> Tensor:
    """Encoder output of a batch of windows.

    Positions of the first frames are used; tokens are reduced where the
    configuration says so.

    Args:
        encoder: A Whisper encoder.
        features: Log-mel features, shape ``(batch, mel_bins, 2 * frames)``.
        configuration: Stride, layer and kind of the reduction.

    Returns:
        Shape ``(batch, ceil(frames / token_stride), d_model)``.
    """
    return _behind(encoder, _in_front(encoder, FEATURES, features, configuration), configuration)


@torch.inference_mode()
def encode_from(
    encoder: Any,
    starts: Sequence[Start],
    configuration: Configuration,
    cache: PrefixCache,
    windows: Sequence[str],
    at_once: int,
) -> Tensor:
    """The same for windows of one length that have come to different depths.

    Args:
        encoder: A Whisper encoder.
        starts: Depth of each window, at most :func:`shared_layers`, and its states there.
        configuration: Stride, layer and kind of the reduction.
        cache: Where the states in front of the reduction go.
        windows: Key of each window.
        at_once: Most windows to run together.
    """
    shared = shared_layers(encoder, configuration)
    by_depth: dict[int, list[int]] = {}
    for place, (depth, _) in enumerate(starts):
        by_depth.setdefault(depth, []).append(place)
    out: dict[int, Tensor] = {}
    for depth, places in by_depth.items():
        for first in range(0, len(places), at_once):
            together = places[first : first + at_once]
            states = torch.cat([starts[place][1] for place in together])
            states = _in_front(encoder, depth, states, configuration)
            for place, row in zip(together, states.chunk(len(together)), strict=True):
                cache.keep(windows[place], shared, row)
            rows = _behind(encoder, states, configuration).chunk(len(together))
            out.update(zip(together, rows, strict=True))
    return torch.cat([out[place] for place in range(len(starts))])


def _in_front(encoder: Any, depth: int, states: Tensor, configuration: Configuration) -> Tensor:
    if depth == FEATURES:
        states, depth = _stem(encoder, states), 0
    for layer in encoder.layers[depth : shared_layers(encoder, configuration)]:
        states = layer(states, None)
    return states


def _behind(encoder: Any, states: Tensor, configuration: Configuration) -> Tensor:
    split = configuration.reduction_layer
    if split == len(encoder.layers):
        # At the output the norm comes first: what the decoder sees is pooled.
        normed: Tensor = encoder.layer_norm(states)
        return _reduced(normed, configuration)
    if split is not None:
        states = _reduced(states, configuration)
        for layer in encoder.layers[split:]:
            states = layer(states, None)
    out: Tensor = encoder.layer_norm(states)
    return out


def _stem(encoder: Any, features: Tensor) -> Tensor:
    convolved = gelu(encoder.conv2(gelu(encoder.conv1(features)))).transpose(1, 2)
    frames = convolved.shape[1]
    states: Tensor = convolved + encoder.embed_positions.weight[:frames]
    return states


def _reduced(states: Tensor, configuration: Configuration) -> Tensor:
    return reduce_tokens(states, configuration.token_stride, configuration.reduction)
