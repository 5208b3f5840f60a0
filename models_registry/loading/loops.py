"""Runaway decoding: a decoder that repeats itself until it is stopped.

Whisper does so when a window ends close behind the last word.
"""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_PERIOD = 32
LEAST_REPEATS = 4
LEAST_TOKENS = 12
"""Repeated tokens that make a loop, however short its period."""


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
