"""A Whisper decoder that is fed token by token, its caches allocated once.

The arithmetic is that of ``transformers``; what is left out is the bookkeeping
around it, which takes longer than the arithmetic when one token is decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm
from torch.nn.utils.rnn import pad_sequence

_TRANSPOSED_HEAD_ROWS = 2
"""From so many rows on, a CPU multiplies the vocabulary faster from the left."""


class IncrementalDecoder:
    """Decoder states of a batch of windows.

    Args:
        model: A ``WhisperForConditionalGeneration``; any of its linear layers may
            be quantised or adapted.
        states: Encoder output of each window, shape ``(tokens, d_model)``; windows of
            different lengths decode together.
        capacity: Most positions that will be fed.
    """

    def __init__(self, model: Any, states: Sequence[Tensor], capacity: int) -> None:
        self._decoder = model.model.decoder
        self._head = model.proj_out
        self._heads = model.config.decoder_attention_heads
        self._length = 0
        rows, lengths = len(states), [len(row) for row in states]
        together = torch.cat(list(states))
        size = together.shape[1] // self._heads

        alike = min(lengths) == max(lengths)

        def by_row(projected: Tensor) -> Tensor:
            if alike:
                return self._split(projected.view(rows, *states[0].shape))
            return self._split(
                pad_sequence(list(torch.split(projected, lengths)), batch_first=True)
            )

        longest = max(lengths)
        # All that is kept goes first: projections are freed one after another then, instead of
        # leaving a hole of their size between two caches.
        self._cross = [
            (
                together.new_empty(rows, self._heads, size, longest),
                together.new_empty(rows, self._heads, longest, size),
            )
            for _ in self._decoder.layers
        ]
        for layer, (keys, values) in zip(self._decoder.layers, self._cross, strict=True):
            keys.copy_(by_row(layer.encoder_attn.k_proj(together)).permute(0, 2, 3, 1))
            values.copy_(by_row(layer.encoder_attn.v_proj(together)).transpose(1, 2))
        self._padding = None
        if not alike:
            behind = torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]
            padding = torch.zeros(behind.shape).masked_fill(behind, -torch.inf)
            self._padding = padding[:, None, None].to(together)
        self._own = [
            (
                together.new_empty(rows, self._heads, size, capacity),
                together.new_empty(rows, self._heads, capacity, size),
            )
            for _ in self._decoder.layers
        ]

    def step(self, tokens: Tensor) -> Tensor:
        """Feeds the next tokens.

        Args:
            tokens: Ids, shape ``(batch, new)``.

        Returns:
            Scores of the token behind the last one, shape ``(batch, vocabulary)``,
            in 32-bit floats.
        """
        start, new = self._length, tokens.shape[1]
        self._length = end = start + new
        decoder = self._decoder
        hidden = decoder.embed_tokens(tokens) + decoder.embed_positions.weight[start:end]
        blocked = None
        if new > 1:
            blocked = torch.full((new, end), -torch.inf, device=hidden.device, dtype=hidden.dtype)
            blocked = blocked.triu(start + 1)
        for layer, own, cross in zip(decoder.layers, self._own, self._cross, strict=True):
            attention = layer.self_attn
            normed = _normed(hidden, layer.self_attn_layer_norm)
            keys, values = own
            keys[..., start:end] = self._split(attention.k_proj(normed)).permute(0, 2, 3, 1)
            values[:, :, start:end] = self._split(attention.v_proj(normed)).transpose(1, 2)
            hidden = hidden + self._attend(
                attention, normed, keys[..., :end], values[:, :, :end], blocked
            )
            normed = _normed(hidden, layer.encoder_attn_layer_norm)
            hidden = hidden + self._attend(layer.encoder_attn, normed, *cross, self._padding)
            normed = _normed(hidden, layer.final_layer_norm)
            hidden = hidden + layer.fc2(layer.activation_fn(layer.fc1(normed)))
        return self._scores(_normed(hidden[:, -1], decoder.layer_norm))

    def keep(self, rows: Sequence[int]) -> None:
        """Goes on with some of the rows, named by their places; the first ones are not copied."""
        first = list(rows) == list(range(len(rows)))
        kept = slice(len(rows)) if first else indices(rows, self._cross[0][0].device)
        self._cross = [(keys[kept], values[kept]) for keys, values in self._cross]
        self._own = [(keys[kept], values[kept]) for keys, values in self._own]
        if self._padding is not None:
            self._padding = self._padding[kept]

    def _attend(
        self, attention: Any, hidden: Tensor, keys: Tensor, values: Tensor, blocked: Tensor | None
    ) -> Tensor:
        queries = self._split(attention.q_proj(hidden) * attention.scaling).transpose(1, 2)
        weights = queries @ keys
        if blocked is not None:
            weights = weights + blocked
        heard = weights.softmax(-1) @ values
        out: Tensor = attention.out_proj(heard.transpose(1, 2).flatten(2))
        return out

    def _split(self, states: Tensor) -> Tensor:
        return states.view(*states.shape[:2], self._heads, -1)

    def _scores(self, hidden: Tensor) -> Tensor:
        head = self._head
        plain = type(head) is nn.Linear and head.bias is None
        if plain and hidden.device.type == "cpu" and len(hidden) >= _TRANSPOSED_HEAD_ROWS:
            transposed: Tensor = head.weight @ hidden.t()
            return transposed.t().float()
        scores: Tensor = head(hidden)
        return scores.float()


def _normed(hidden: Tensor, norm: nn.LayerNorm) -> Tensor:
    return layer_norm(hidden, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def indices(places: Sequence[int], device: torch.device) -> Tensor:
    """Places as a tensor to select with."""
    return torch.tensor(list(places), dtype=torch.long, device=device)
