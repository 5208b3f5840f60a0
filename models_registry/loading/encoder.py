"""A Whisper encoder run layer by layer, what several configurations share run once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu

from models_registry.configuration import Configuration
from models_registry.loading.audio import Waveform
from models_registry.loading.reduction import reduce_tokens

PREFIX_BYTES = 2 << 30


class PrefixCache:
    """Encoder states in front of the reduction, by window.

    Configurations of one model that differ only in their stride or reduction
    layer share the layers below it. Least recently used states go first.

    Args:
        max_bytes: Most that is kept; :attr:`bytes` says how much is.
    """

    def __init__(self, max_bytes: int = PREFIX_BYTES) -> None:
        self._states: OrderedDict[tuple[str, int], Tensor] = OrderedDict()
        self._max_bytes = max_bytes
        self.bytes = 0

    def deepest(self, window: str, layer: int) -> tuple[int, Tensor] | None:
        """States of a window behind the deepest layer kept, at most ``layer``."""
        for depth in range(layer, -1, -1):
            if (window, depth) in self._states:
                self._states.move_to_end((window, depth))
                return depth, self._states[window, depth]
        return None

    def keep(self, window: str, layer: int, states: Tensor) -> None:
        """Keeps states of a window behind a layer; 0 is the convolution stem."""
        size = states.element_size() * states.nelement()
        if (window, layer) in self._states or size > self._max_bytes:
            return
        self._states[window, layer] = states
        self.bytes += size
        while self.bytes > self._max_bytes:
            _, gone = self._states.popitem(last=False)
            self.bytes -= gone.element_size() * gone.nelement()


def window_key(waveform: Waveform, frames: int, model: str) -> str:
    """Names a window by its content: its samples, its length and what runs on it."""
    digest = hashlib.sha256(waveform.tobytes())
    digest.update(f"{frames}\0{model}".encode())
    return digest.hexdigest()


@torch.inference_mode()
def encode(
    encoder: Any,
    features: Tensor,
    configuration: Configuration,
    cache: PrefixCache | None = None,
    windows: Sequence[str] = (),
) -> Tensor:
    """Encoder output of a batch of windows.

    Positions of the first frames are used; tokens are reduced where the
    configuration says so.

    Args:
        encoder: A Whisper encoder.
        features: Log-mel features, shape ``(batch, mel_bins, 2 * frames)``.
        configuration: Stride, layer and kind of the reduction.
        cache: Shared with other configurations of the same model.
        windows: Key of each window, for the cache.

    Returns:
        Shape ``(batch, ceil(frames / token_stride), d_model)``.
    """
    layers = len(encoder.layers)
    split = configuration.reduction_layer
    shared = layers if split is None else split
    states, depth = None, 0
    if cache is not None and len(windows) == 1:
        found = cache.deepest(windows[0], shared)
        if found is not None:
            depth, states = found
    if states is None:
        states = _stem(encoder, features)
    for layer in encoder.layers[depth:shared]:
        states = layer(states, None)
    if cache is not None and len(windows) == 1:
        cache.keep(windows[0], shared, states)
    if split == layers:
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
