"""Joins transcripts of pieces that overlap."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

_LEAST_WORDS = 2
"""Words that have to agree before what follows is taken for the same speech."""


def stitch(texts: Sequence[str], overlaps_s: Sequence[float], words_per_s: float = 5.0) -> str:
    """One text from the transcripts of successive pieces.

    Where two pieces share audio, the words that both heard there are said once:
    the longest run on which the end of one and the beginning of the other agree
    is found, and the texts are joined in its middle, where both had context.

    Args:
        texts: Transcripts in order.
        overlaps_s: Seconds that each shares with the one before it, the first's left out.
        words_per_s: How fast anyone speaks; bounds where the shared words are looked for.
    """
    joined: list[str] = texts[0].split() if texts else []
    for text, overlap_s in zip(texts[1:], overlaps_s, strict=True):
        words = text.split()
        shared = int(overlap_s * words_per_s) + 2 if overlap_s > 0 else 0
        tail, head = joined[len(joined) - min(shared, len(joined)) :], words[:shared]
        match = SequenceMatcher(None, _plain(tail), _plain(head), autojunk=False)
        found = match.find_longest_match()
        if found.size >= min(_LEAST_WORDS, len(tail), len(head)) and found.size:
            middle = found.size // 2
            joined = joined[: len(joined) - len(tail) + found.a + middle]
            words = words[found.b + middle :]
        joined += words
    return " ".join(joined)


def _plain(words: Sequence[str]) -> list[str]:
    return [re.sub(r"\W", "", word).lower() or word for word in words]
