"""Data sets by name: ``demo``, ``librispeech:FOLDER``, ``ravdess:FOLDER``, ``manifest:FILE``..."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from measurements.datasets.base import Dataset, DatasetError, Utterance
from measurements.datasets.crema_d import read_crema_d
from measurements.datasets.emodb import read_emodb, read_emodb_sentences
from measurements.datasets.librispeech import read_librispeech
from measurements.datasets.manifest import read_manifest
from measurements.datasets.ravdess import read_ravdess
from models_registry import Registry, UnknownNameError
from models_registry.languages import described, language_code

__all__ = ["READERS", "Dataset", "DatasetError", "Utterance", "open_dataset"]

DEMO_FOLDER = Path(__file__).parent.parent / "demo_speech"

_PLACES = {"manifest": "FILE.csv"}

Reader = Callable[[str, str | None], Dataset]

READERS: Registry[Reader] = Registry("data set", entry_point_group="speechplan.datasets")
"""Readers by kind: called with what follows the colon, and the subset."""


def _demo(_: str, subset: str | None) -> Dataset:
    _no_subset("demo", subset)
    file = DEMO_FOLDER / "manifest.csv"
    return read_manifest(file, name="demo", language="en", synthetic=True)


def _in_folder(read: Callable[[Path, str | None], Dataset]) -> Reader:
    return lambda folder, subset: read(Path(folder).expanduser(), subset)


def _manifest(file: str, subset: str | None, language: str | None = None) -> Dataset:
    _no_subset("manifest", subset)
    return read_manifest(Path(file).expanduser(), language=language)


READERS.add("demo", _demo)
READERS.add("librispeech", _in_folder(read_librispeech))
READERS.add("crema-d", _in_folder(read_crema_d))
READERS.add("ravdess", _in_folder(read_ravdess))
READERS.add("emodb", _in_folder(read_emodb))
READERS.add("manifest", _manifest)

_TRANSCRIBED: dict[str, Reader] = {"emodb": _in_folder(read_emodb_sentences)}
"""Readers of transcripts, for corpora that are otherwise read for their emotions."""

NAME = r"^[\w.-]{1,150}$"
"""What a data set may be called: part of its study's id."""


def open_dataset(
    name: str,
    subset: str | None = None,
    *,
    task: str | None = None,
    language: str | None = None,
    called: str | None = None,
) -> Dataset:
    """Opens a data set.

    ``demo``, ``manifest:FILE``, or a corpus in its own layout: ``librispeech:FOLDER``,
    ``crema-d:FOLDER``, ``ravdess:FOLDER``, ``emodb:FOLDER``. Where nothing says the language, as
    in a manifest without a column for it, English is assumed, and the data set says so.

    Args:
        name: Kind and, behind a colon, where it lies.
        subset: Part of it, for readers that know parts.
        task: What it is wanted for, where a corpus can be read for both.
        language: Language of the speech, by code or name; not needed where the data says it.
        called: Its short name, and so its study's, instead of its own.

    Raises:
        UnknownNameError: No reader of that kind, or no such language.
        DatasetError: It can't be read, says another language, or the name is none.
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
    kind = READERS.canonical(kind)
    spoken = None if language is None else language_code(language)
    if kind == "manifest":
        found = _manifest(rest, subset, spoken)
    else:
        found = (_TRANSCRIBED.get(kind, reader) if task == "asr" else reader)(rest, subset)
    return replace(_called(_spoken(found, spoken), called), place=name)


def _spoken(dataset: Dataset, language: str | None) -> Dataset:
    """The data set in a language that was named."""
    if language is None or (language == dataset.language and not dataset.language_assumed):
        return dataset
    if not dataset.language_assumed:
        raise DatasetError(
            f"data set {dataset.name} is in {described(dataset.language)}, not in"
            f" {described(language)}"
        )
    return replace(dataset, language=language, language_assumed=False)


def _called(dataset: Dataset, name: str | None) -> Dataset:
    if name is None:
        return dataset
    if not re.match(NAME, name):
        raise DatasetError(
            f"{name!r} is no name of a data set: letters, digits, '.', '-' and '_', 150 at most"
        )
    return replace(dataset, name=name.lower())


def _no_subset(kind: str, subset: str | None) -> None:
    if subset is not None:
        raise DatasetError(f"data set {kind} has no subsets, {subset!r} was asked for")
