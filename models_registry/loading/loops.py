"""Runaway decoding: a decoder that repeats itself, until it is stopped or not.

Whisper does so when a window ends close behind the last word.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

LONGEST_PERIOD = 32
LEAST_REPEATS = 4
LEAST_TOKENS = 12
"""Repeated tokens that make a loop, however short its period."""

COMPRESSION_RATIO = 2.4
"""Above it a text says too little for its length (arXiv 2212.04356, section 4.5)."""


def loop_period(tokens: Sequence[int]) -> int | None:
    """Length of what the end of a sequence repeats over and over, if it does.

    Args:
        tokens: Decoded ids so far.

    Returns:
        The shortest period that fills at least ``LEAST_TOKENS`` tokens and
        ``LEAST_REPEATS`` repeats at the end; none if there is none.
    """
    for period in range(1, min(LONGEST_PERIOD, len(tokens) // LEAST_REPEATS) + 1):
        length = period * max(LEAST_REPEATS, -(-LEAST_TOKENS // period))
        if length > len(tokens) or tokens[-1] != tokens[-1 - period]:
            continue
        tail = tokens[-length:]
        if tail[period:] == tail[:-period]:
            return period
    return None


def without_loop(tokens: Sequence[int]) -> list[int]:
    """The sequence with a loop at its end said once."""
    kept = list(tokens)
    period = loop_period(kept)
    if period is None:
        return kept
    while kept[-period:] == kept[-2 * period : -period]:
        del kept[-period:]
    return kept


def runaway(text: str) -> bool:
    """Whether a text repeats itself so much that zlib packs it beyond the limit."""
    data = text.encode()
    return bool(data) and len(data) / len(zlib.compress(data)) > COMPRESSION_RATIO
