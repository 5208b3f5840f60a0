"""Greedy decoding of a batch with key-value caches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache

from models_registry.loading.clock import PhaseClock
from models_registry.loading.loops import loop_period


@dataclass(frozen=True)
class DecodingRules:
    """What the decoder starts from, may not say, and stops at.

    Attributes:
        prompt: Token ids before the first decoded one.
        end_of_text: Id that ends a transcript.
        suppressed: Ids never chosen.
        suppressed_first: Ids not chosen as the first token.
        max_new_tokens: Tokens after which decoding stops regardless.
        fixed_length: Whether it goes on until then whatever is decoded: for timing
            random weights, which never end a transcript themselves.
    """

    prompt: tuple[int, ...]
    end_of_text: int
    suppressed: tuple[int, ...]
    suppressed_first: tuple[int, ...]
    max_new_tokens: int
    fixed_length: bool = False


@torch.inference_mode()
def greedy(
    model: Any,
    states: Tensor,
    rules: DecodingRules,
    clock: PhaseClock,
    limits: Sequence[int],
) -> list[list[int]]:
    """The most likely token, one after another, for every row of a batch.

    A row ends with ``end_of_text``, at its limit, or as soon as it repeats itself.

    Args:
        model: A ``WhisperForConditionalGeneration``.
        states: Encoder output, shape ``(batch, tokens, d_model)``.
        rules: Prompt, forbidden tokens and stopping.
        clock: Told the time of the prompt's pass and of the rest.
        limits: Most tokens by row.

    Returns:
        Decoded ids by row, the prompt left out; they end with ``end_of_text``
        unless decoding was stopped.
    """
    device, rows = states.device, states.shape[0]
    transcripts: list[list[int]] = [[] for _ in range(rows)]
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    penalty = torch.zeros(model.config.vocab_size, device=device)
    penalty[_indices(rules.suppressed, device)] = -torch.inf
    first_penalty = penalty.clone()
    first_penalty[_indices(rules.suppressed_first, device)] = -torch.inf

    def step(tokens: Tensor, penalty: Tensor) -> Tensor:
        hidden = model.model.decoder(
            input_ids=tokens,
            encoder_hidden_states=states,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        scores: Tensor = model.proj_out(hidden[:, -1]).float() + penalty
        return scores.argmax(-1)

    with clock.phase("prefill"):
        chosen = step(torch.tensor(rules.prompt, device=device).expand(rows, -1), first_penalty)
    with clock.phase("decode"):
        active = list(range(rows))
        while True:
            tokens = chosen.tolist()
            for row, token in zip(active, tokens, strict=True):
                transcripts[row].append(token)
            going = [
                index
                for index, row in enumerate(active)
                if len(transcripts[row]) < limits[row]
                and (rules.fixed_length or not _ended(transcripts[row], rules))
            ]
            if not going:
                return transcripts
            if len(going) < len(active):
                kept = _indices(going, device)
                cache.batch_select_indices(kept)
                active = [active[index] for index in going]
                chosen, states = chosen[kept], states[kept]
            chosen = step(chosen[:, None], penalty)


def _ended(transcript: Sequence[int], rules: DecodingRules) -> bool:
    return transcript[-1] == rules.end_of_text or loop_period(transcript) is not None


def _indices(ids: Sequence[int], device: torch.device) -> Tensor:
    return torch.tensor(list(ids), dtype=torch.long, device=device)
