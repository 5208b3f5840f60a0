"""Fitted curves on disk: those of the built-in catalogue, and those of this machine."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from measurements.catalogue import HERE
from models_registry.paths import cache_dir
from planner.curves import ScalingModel
from planner.curves.stored import Fits, from_document, to_document

BUILT_IN = HERE / "fits"

_UNREADABLE = (OSError, EOFError, ValueError)


class StoredFits(Fits):
    """Curves that are fitted once for all processes.

    Args:
        folder: Where new ones go; below the cache folder when left out.
    """

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
        self._folder = folder

    def load(self, key: str) -> ScalingModel | None:
        """Curves of a file; one that can't be read is none."""
        for folder in (BUILT_IN, self._own()):
            with suppress(*_UNREADABLE):
                return _read(folder / file_name(key))
        return None

    def alike(self, axes: Sequence[str], factors: Sequence[str]) -> ScalingModel | None:
        """The fit of the built-in catalogue."""
        asked = tuple(axes), tuple(factors)
        for model in _built_in():
            if (model.axis_names, tuple(factor.name for factor in model.factors)) == asked:
                return model
        return None

    def save(self, key: str, model: ScalingModel) -> None:
        """Writes curves into a file, whole; a disk that is full is no reason to fail."""
        target = self._own() / file_name(key)
        part = target.with_suffix(f".{os.getpid()}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(packed(model))
            part.replace(target)
        except OSError:
            with suppress(OSError):
                part.unlink()

    def _own(self) -> Path:
        return self._folder or cache_dir() / "fits"


@cache
def _built_in() -> tuple[ScalingModel, ...]:
    found = []
    for file in sorted(BUILT_IN.glob("*.json.gz")):
        with suppress(*_UNREADABLE):
            found.append(_read(file))
    return tuple(found)


def _read(file: Path) -> ScalingModel:
    return from_document(json.loads(gzip.decompress(file.read_bytes())))


def packed(model: ScalingModel) -> bytes:
    """Curves as the content of a file, the same at every writing."""
    return gzip.compress(json.dumps(to_document(model)).encode(), mtime=0)


def file_name(key: str) -> str:
    """The file of a key."""
    return f"{key}.json.gz"


FITS = StoredFits()
"""Of this process."""
