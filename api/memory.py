"""Memory that a server keeps: what is over goes back to the system, what stays is not looked at."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def _glibc_trim() -> ctypes._NamedFuncPointer | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # Another C library gives back by itself, or never.
        return None


_TRIM = _glibc_trim()


def give_back() -> None:
    """Gives the system back what large work has left free; it takes some milliseconds."""
    if _TRIM is not None:
        _TRIM(0)


@contextmanager
def starting() -> Iterator[None]:
    """Collects no garbage meanwhile, nor ever among what was made: modules and classes stay.

    Going through them again and again is a tenth of a start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
