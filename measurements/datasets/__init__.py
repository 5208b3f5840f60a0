"""Data sets by name: ``demo``, ``librispeech:FOLDER``, ``ravdess:FOLDER``, ``manifest:FILE``..."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from measurements.datasets.base import Dataset, DatasetError, Utterance
from measurements.datasets.crema_d import read_crema_d
from measurements.datasets.emodb import read_emodb
from measurements.datasets.librispeech import read_librispeech
from measurements.datasets.manifest import read_manifest
from measurements.datasets.ravdess import read_ravdess
from models_registry import Registry, UnknownNameError

__all__ = ["READERS", "Dataset", "DatasetError", "Utterance", "open_dataset"]

DEMO_FOLDER = Path(__file__).parent.parent / "demo_speech"

_PLACES = {"manifest": "FILE.csv"}

Reader = Callable[[str, str | None], Dataset]

READERS: Registry[Reader] = Registry("data set", entry_point_group="speechplan.datasets")
"""Readers by kind: called with what follows the colon, and the subset."""


def _demo(_: str, subset: str | None) -> Dataset:
    _no_subset("demo", subset)
    return read_manifest(DEMO_FOLDER / "manifest.csv", name="demo", synthetic=True)


def _in_folder(read: Callable[[Path, str | None], Dataset]) -> Reader:
    return lambda folder, subset: read(Path(folder).expanduser(), subset)


def _manifest(file: str, subset: str | None) -> Dataset:
    _no_subset("manifest", subset)
    return read_manifest(Path(file).expanduser())


READERS.add("demo", _demo)
READERS.add("librispeech", _in_folder(read_librispeech))
READERS.add("crema-d", _in_folder(read_crema_d))
READERS.add("ravdess", _in_folder(read_ravdess))
READERS.add("emodb", _in_folder(read_emodb))
READERS.add("manifest", _manifest)


def open_dataset(name: str, subset: str | None = None) -> Dataset:
    """Opens a data set.

    ``demo``, ``manifest:FILE``, or a corpus in its own layout: ``librispeech:FOLDER``,
    ``crema-d:FOLDER``, ``ravdess:FOLDER``, ``emodb:FOLDER``.

    Args:
        name: Kind and, behind a colon, where it lies.
        subset: Part of it, for readers that know parts.

    Raises:
        UnknownNameError: No reader of that kind.
        DatasetError: It can't be read.
    """
    kind, _, rest = name.partition(":")
    try:
        reader = READERS.get(kind)
    except UnknownNameError:
        if rest:
            raise
        # Somebody's own folder or file, perhaps: the kinds alone would not say what to do with it.
        placed = [f"{one}:{_PLACES.get(one, 'FOLDER')}" for one in READERS.names() if one != "demo"]
        raise UnknownNameError("data set", name, ["demo", *placed]) from None
    if READERS.canonical(kind) != "demo" and not rest:
        raise DatasetError(f"data set {name!r}: say where it lies, for example {kind}:FOLDER")
    return reader(rest, subset)


def _no_subset(kind: str, subset: str | None) -> None:
    if subset is not None:
        raise DatasetError(f"data set {kind} has no subsets, {subset!r} was asked for")
