"""Files that end before their recording does, as after a broken download.

libsndfile reads what there is of one and makes no error of it. The sizes in a header tell.
"""

from __future__ import annotations

import re
from typing import Literal

# libsndfile's note on a chunk that is longer by its header than the file has room for.
_SHORT = re.compile(r": (\d+) \(should be (\d+)\)")

# Writers of a stream put at least this where they can't know the length (sox; others more).
_UNKNOWN_BYTES = 0x7FFFF000

# Writers that count a header wrongly are that far out.
_SLIP_BYTES = 64


def short_by_notes(notes: str) -> str | None:
    """What is missing by the sizes in a header, from libsndfile's notes on it."""
    for promised, there in _SHORT.findall(notes):
        if int(there) + _SLIP_BYTES < int(promised) < _UNKNOWN_BYTES:
            return f"{there} bytes of the {promised} that its header promises"
    return None


def joined_au(start: bytes, size: int) -> bool:
    """Whether an AU file goes on behind the end that its header states.

    libsndfile reads the first of two that were joined. Of other formats it refuses that.

    Args:
        start: Its first bytes.
        size: Bytes of the file.
    """
    order: Literal["big", "little"] = "big" if start.startswith(b".snd") else "little"
    offset, stated = (int.from_bytes(start[at : at + 4], order) for at in (4, 8))
    return stated < _UNKNOWN_BYTES and offset + stated + _SLIP_BYTES < size
