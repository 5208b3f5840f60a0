"""A plain list of audio files with a text or a label, as CSV or JSONL.

Columns (or keys): ``audio`` (path, relative to the manifest), ``text`` or
``label``, and optionally ``id`` and ``speaker``.
"""

from __future__ import annotations

import csv
import json
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


def read_manifest(
    path: Path, *, name: str | None = None, language: str = "en", synthetic: bool = False
) -> Dataset:
    """Reads a manifest; audio has to lie in its folder or below.

    Args:
        path: The CSV or JSONL file.
        name: Name of the data set; the file's when left out, or its folder's if the file is
            called manifest.
        language: Language code of the speech.
        synthetic: Whether a synthesiser made it.

    Raises:
        DatasetError: The file, a row or an audio path is not as it should be.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: no such file")
    utterances, kinds = [], set()
    for number, row in _rows(path):
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
        language=language,
        utterances=sorted_utterances(utterances),
        synthetic=synthetic,
    )


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
