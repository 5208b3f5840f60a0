"""Shorter encoders: a window really run at its length, and fewer tokens inside."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from models_registry.configuration import Configuration, Reduction, reduced_tokens


def set_window(encoder: Any, config: Any, frames: int) -> None:
    """Makes a Whisper encoder take ``frames`` frames, until it is told otherwise.

    The learnt positions all stay; the first ``frames`` of them are used.
    """
    encoder.embed_positions.num_embeddings = frames
    encoder.max_source_positions = config.max_source_positions = frames


def reduce_tokens(states: Tensor, stride: float, how: Reduction) -> Tensor:
    """Pools or picks tokens: ``(batch, n, d)`` to ``(batch, ceil(n / stride), d)``.

    Tokens carry the positions added to them before, so order and place survive.
    """
    tokens = states.shape[1]
    left = reduced_tokens(tokens, stride)
    if how == "pick":
        index = torch.arange(left, device=states.device) * tokens // left
        return states[:, index]
    pooled: Tensor = nn.functional.adaptive_avg_pool1d(states.transpose(1, 2), left)
    return pooled.transpose(1, 2).contiguous()


def install_reduction(
    layers: nn.ModuleList, output_norm: nn.Module, configuration: Configuration
) -> None:
    """Reduces tokens after ``configuration.reduction_layer`` whenever the encoder runs.

    Hooks leave the module names alone, so weights and adapters still fit.

    Args:
        layers: The encoder's layers.
        output_norm: The norm behind the last one; its result is the encoder's output.
        configuration: Stride, layer and kind.
    """
    layer = configuration.reduction_layer
    if layer is None:
        return
    stride, how = configuration.token_stride, configuration.reduction

    def before(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (reduce_tokens(args[0], stride, how), *args[1:])

    def after(_: nn.Module, __: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, tuple):
            return (reduce_tokens(output[0], stride, how), *output[1:])
        return reduce_tokens(output, stride, how)

    if layer == 0:
        layers[0].register_forward_pre_hook(before)
    elif layer == len(layers):
        output_norm.register_forward_hook(after)
    else:
        layers[layer - 1].register_forward_hook(after)
