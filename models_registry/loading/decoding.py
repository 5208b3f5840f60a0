"""Greedy decoding of a batch with key-value caches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models_registry.loading.clock import PhaseClock
from models_registry.loading.decoder import IncrementalDecoder, indices
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
    states: Sequence[Tensor],
    rules: DecodingRules,
    clock: PhaseClock,
    limits: Sequence[int],
) -> list[list[int]]:
    """The most likely token, one after another, for every row of a batch.

    A row ends with ``end_of_text``, at its limit, or as soon as it repeats itself.

    Args:
        model: A ``WhisperForConditionalGeneration``.
        states: Encoder output of each row, shape ``(tokens, d_model)``. Rows whose audio is
            shorter belong at the end: what has ended there costs nothing more.
        rules: Prompt, forbidden tokens and stopping.
        clock: Told the time of the prompt's pass and of the rest.
        limits: Most tokens by row.

    Returns:
        Decoded ids by row, the prompt left out; they end with ``end_of_text``
        unless decoding was stopped.
    """
    device, rows = states[0].device, len(states)
    transcripts: list[list[int]] = [[] for _ in range(rows)]
    penalty = torch.zeros(model.config.vocab_size, device=device)
    penalty[indices(rules.suppressed, device)] = -torch.inf
    first_penalty = penalty.clone()
    first_penalty[indices(rules.suppressed_first, device)] = -torch.inf

    with clock.phase("prefill"):
        decoder = IncrementalDecoder(model, states, len(rules.prompt) + max(limits))
        prompt = torch.tensor(rules.prompt, device=device).expand(rows, -1)
        chosen = (decoder.step(prompt) + first_penalty).argmax(-1)
    with clock.phase("decode"):
        fed, going = list(range(rows)), set(range(rows))
        while True:
            for row, token in zip(fed, chosen.tolist(), strict=True):
                if row in going:
                    transcripts[row].append(token)
                    if len(transcripts[row]) >= limits[row] or (
                        not rules.fixed_length and _ended(transcripts[row], rules)
                    ):
                        going.remove(row)
            if not going:
                return transcripts
            left = [place for place, row in enumerate(fed) if row in going]
            # Caches are copied when half of the rows have ended; leaving off the last is free.
            kept = left if 2 * len(left) <= len(fed) else range(left[-1] + 1)
            if len(kept) < len(fed):
                decoder.keep(kept)
                chosen, fed = chosen[indices(kept, device)], [fed[place] for place in kept]
            chosen = (decoder.step(chosen[:, None]) + penalty).argmax(-1)


def _ended(transcript: Sequence[int], rules: DecodingRules) -> bool:
    return transcript[-1] == rules.end_of_text or loop_period(transcript) is not None
