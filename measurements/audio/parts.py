"""Parts of a file: sound that a decoder reads by itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """A stretch of a file that is a whole file of its format.

    Attributes:
        start: Its first byte.
        stop: The byte behind its last.
        head: Bytes to be put in front of it, without which its length would be guessed.
        least: Frames that it holds at least, where they were counted.
        exact: Whether what its decoder says of its length is true.
    """

    start: int
    stop: int
    head: bytes = b""
    least: int = 0
    exact: bool = True
