"""Files that are not what their names say: metadata of macOS, pointers of Git LFS."""

from __future__ import annotations

from pathlib import Path

_POINTER = b"version https://git-lfs.github.com/spec/"
POINTER_TEXT = "a Git LFS pointer, not the file itself: run 'git lfs pull'"

_LONGEST_POINTER = 1024
"""Bytes that a pointer stays below, by its specification."""


def is_system_file(path: Path) -> bool:
    """Whether macOS wrote it for itself: ``._NAME``, ``.DS_Store``, all below ``__MACOSX``."""
    return path.name.startswith("._") or path.name == ".DS_Store" or "__MACOSX" in path.parts


def lfs_pointer(path: Path) -> str | None:
    """What to say of a file that Git LFS has not fetched; None of any other.

    Raises:
        OSError: The file can't be read.
    """
    if path.stat().st_size >= _LONGEST_POINTER:
        return None
    with path.open("rb") as stream:
        return POINTER_TEXT if is_pointer(stream.read(_LONGEST_POINTER)) else None


def is_pointer(start: bytes) -> bool:
    """Whether a file that begins so is a pointer of Git LFS."""
    return start.startswith(_POINTER)
