"""Freed memory, given back to the system."""

from __future__ import annotations

import ctypes

_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)


def trim_memory() -> None:
    """Gives freed memory back to the system; glibc keeps it for the process otherwise."""
    if _TRIM is not None:
        _TRIM(0)
