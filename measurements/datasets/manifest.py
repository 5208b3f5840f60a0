"""A plain list of audio files with a text or a label, as CSV or JSONL.

Columns (or keys): ``audio`` (path, relative to the manifest), ``text`` or
``label``, and optionally ``id``, ``speaker`` and ``language``.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from measurements.datasets.base import (
    Dataset,
    DatasetError,
    Utterance,
    inside,
    sorted_utterances,
    text_of,
)
from models_registry import UnknownNameError
from models_registry.languages import ENGLISH, described, language_code


def read_manifest(
    path: Path, *, name: str | None = None, language: str | None = None, synthetic: bool = False
) -> Dataset:
    """Reads a manifest; audio has to lie in its folder or below.

    Args:
        path: The CSV or JSONL file.
        name: Name of the data set; the file's when left out, or its folder's if the file is
            called manifest.
        language: Language of the speech, where the manifest does not say it; of one that says
            several, that of the rows to read. English is assumed where nothing says it.
        synthetic: Whether a synthesiser made it.

    Raises:
        DatasetError: The file, a row or an audio path is not as it should be, or its rows are
            in several languages and none is named.
        UnknownNameError: Whisper has no such language.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: no such file")
    rows, spoken, notes = _in_one_language(path, list(_rows(path)), language)
    utterances, kinds = [], set()
    for number, row in rows:
        audio, text, label = row.get("audio"), row.get("text"), row.get("label")
        if not audio or bool(text) == bool(label):
            raise DatasetError(f"{path}:{number}: needs audio and either text or label")
        kinds.add("asr" if text else "ser")
        file = inside(path.parent, path.parent / audio)
        if not file.is_file():
            raise DatasetError(f"{path}:{number}: {audio} is not there")
        utterances.append(
            Utterance(row.get("id") or audio, file, text or label or "", row.get("speaker"))
        )
    if len(kinds) > 1:
        raise DatasetError(f"{path}: some rows have a text and some a label")
    if not kinds:
        raise DatasetError(f"{path}: has no rows")
    return Dataset(
        name=(name or _name_of(path)).lower(),
        task="asr" if kinds == {"asr"} else "ser",
        language=spoken or ENGLISH,
        utterances=sorted_utterances(utterances),
        synthetic=synthetic,
        language_assumed=spoken is None,
        notes=notes,
    )


_Rows = list[tuple[int, dict[str, str]]]


def _in_one_language(
    path: Path, rows: _Rows, wanted: str | None
) -> tuple[_Rows, str | None, tuple[str, ...]]:
    """Rows in a language, which one it is, and what to say of others; None if nothing says it."""
    wanted = None if wanted is None else language_code(wanted)
    said = [_language(path, number, row) or wanted for number, row in rows]
    first = next((language for language in said if language is not None), None)
    if first is None:
        return rows, None, ()
    chosen = wanted or first
    for (number, _), language in zip(rows, said, strict=True):
        if wanted is None and language != chosen:
            spoken = "no language" if language is None else f"language {described(language)}"
            raise DatasetError(
                f"{path}:{number}: {spoken}, other rows {described(chosen)}: name the language of"
                " the rows to read with --language"
            )
    others = Counter(language for language in said if language and language != chosen)
    kept = [row for row, language in zip(rows, said, strict=True) if language == chosen]
    if not kept:
        languages = ", ".join(map(described, others))
        raise DatasetError(f"{path}: no row is in {described(chosen)}, its rows are in {languages}")
    notes = [f"rows in {described(code)} left out: {n}" for code, n in others.items()]
    return kept, chosen, tuple(notes)


def _language(path: Path, number: int, row: dict[str, str]) -> str | None:
    said = (row.get("language") or "").strip()
    try:
        return language_code(said) if said else None
    except UnknownNameError as error:
        raise DatasetError(f"{path}:{number}: {error}") from None


def _name_of(path: Path) -> str:
    return path.resolve().parent.name if path.stem == "manifest" else path.stem


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    text = text_of(path)
    if path.suffix == ".csv":
        yield from enumerate(csv.DictReader(text.splitlines()), 2)
    elif path.suffix in (".jsonl", ".json"):
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DatasetError(f"{path}:{number}: not JSON: {error}") from None
            if not isinstance(row, dict):
                raise DatasetError(f"{path}:{number}: not a JSON object")
            yield number, {key: str(value) for key, value in row.items() if value is not None}
    else:
        raise DatasetError(f"{path}: a manifest ends in .csv or .jsonl")
