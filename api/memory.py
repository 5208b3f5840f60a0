"""Memory that a server keeps: what is over goes back to the system, what stays is not looked at."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_M_ARENA_MAX = -8
"""Of glibc's ``malloc.h``."""

_ARENAS = 2
"""Heaps that threads share. One for each thread, as glibc has it, keep what a busy minute took."""


def _of_glibc(name: str) -> ctypes._NamedFuncPointer | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        function: ctypes._NamedFuncPointer = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):  # Another C library gives back by itself, or never.
        return None
    return function


_TRIM = _of_glibc("malloc_trim")


def give_back() -> None:
    """Gives the system back what large work has left free; it takes some milliseconds."""
    if _TRIM is not None:
        _TRIM(0)


@contextmanager
def starting() -> Iterator[None]:
    """Collects no garbage meanwhile, nor ever among what was made: modules and classes stay.

    Going through them again and again is a tenth of a start. Threads that are begun from now on
    share their heaps.
    """
    if (mallopt := _of_glibc("mallopt")) is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
