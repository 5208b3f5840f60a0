"""Decoding that went wrong: a decoder that repeats itself, or ends too early.

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

SAID_TWICE = 6
"""Tokens that nobody says twice in a row."""

LEAST_TOKENS_PER_SECOND = 1.8
"""Of 311 LibriSpeech utterances one in a hundred is slower, pauses left out."""


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


def went_wrong(text: str, tokens: Sequence[int], speech_s: float) -> bool:
    """Whether a transcript that ended by itself still can't be what was said.

    It repeats itself so much that zlib packs it beyond the limit, says its last words
    twice, or says far too little.

    Args:
        text: The transcript.
        tokens: Its ids, the end of text left out.
        speech_s: Seconds of speech that were heard, silence left out.
    """
    data = text.encode()
    if data and len(data) / len(zlib.compress(data)) > COMPRESSION_RATIO:
        return True
    for period in range(SAID_TWICE, len(tokens) // 2 + 1):
        if list(tokens[-period:]) == list(tokens[-2 * period : -period]):
            return True
    return len(tokens) < LEAST_TOKENS_PER_SECOND * speech_s
