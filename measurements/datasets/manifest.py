"""A plain list of recordings with a text or a label, as CSV or JSON Lines.

Columns (or keys): ``audio`` (path, relative to the manifest), ``text`` or ``label``, and
optionally ``id``, ``speaker``, ``language`` and a segment of the recording in seconds: ``offset``
and ``duration`` as in NeMo, or ``start`` and ``end``. NeMo's ``audio_filepath`` and ``lang`` are
other names of ``audio`` and ``language``.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from measurements.cells import Row, TableError, checked
from measurements.datasets.base import (
    Dataset,
    DatasetError,
    Utterance,
    content_of,
    inside,
    sorted_utterances,
)
from measurements.datasets.segments import COLUMNS as SEGMENT_COLUMNS
from measurements.datasets.segments import SegmentError, segment_of
from measurements.json_lines import read_json_lines
from measurements.tables import read_csv, unknown_column
from models_registry import UnknownNameError
from models_registry.languages import ENGLISH, described, language_code

_OTHER_NAMES = {"audio_filepath": "audio", "lang": "language"}

COLUMNS = (
    *("audio", "text", "label", "id", "speaker", "language"),
    *SEGMENT_COLUMNS,
    *_OTHER_NAMES,
)
"""What a manifest may say; all else is refused, since it might matter."""

_NAMED_BY_NUMBERS = frozenset({"id", "speaker", "label"})

_SEPARATORS = str.maketrans(";\t", ",,")


def read_manifest(
    path: Path, *, name: str | None = None, language: str | None = None, synthetic: bool = False
) -> Dataset:
    """Reads a manifest; audio has to lie in its folder or below.

    An empty text is that of a recording without speech, in which every word heard is an
    insertion; a missing one is refused.

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
    try:
        return _Manifest(path, *_rows(path)).dataset(name, language, synthetic)
    except TableError as error:
        raise DatasetError(error.of(path)) from None


@dataclass(frozen=True)
class _Manifest:
    """Rows of a file, and what to know of how they were read."""

    path: Path
    rows: Sequence[Row]
    notes: tuple[str, ...]

    def dataset(self, name: str | None, language: str | None, synthetic: bool) -> Dataset:
        task = self._task()
        rows, spoken, notes = _in_one_language(self.path, self.rows, language)
        utterances, lines = [], dict[str, int]()
        for row in rows:
            utterance = self._utterance(row, "text" if task == "asr" else "label")
            if utterance.id in lines:
                said = "" if row.cells.get("id") else " (without an id, the audio is the id)"
                raise TableError(
                    f"id {utterance.id!r} occurs twice, in line {lines[utterance.id]} too{said}",
                    row.line,
                )
            lines[utterance.id] = row.line
            utterances.append(utterance)
        if task == "ser":
            _check_labels(utterances, lines)
        return Dataset(
            name=(name or _name_of(self.path)).lower(),
            task=task,
            language=spoken or ENGLISH,
            utterances=sorted_utterances(utterances),
            synthetic=synthetic,
            language_assumed=spoken is None,
            notes=(*self.notes, *notes, *_without_speech(utterances)),
        )

    def _task(self) -> Literal["asr", "ser"]:
        """What the references are for: texts, or labels."""
        if not self.rows:
            raise TableError("has no rows")
        kinds = {self._kind(row) for row in self.rows} - {None}
        # Of tables with a column for either, one that is empty throughout is not meant.
        if len(kinds) > 1:
            raise TableError("some rows have a text and some a label")
        if not kinds:
            empty = any("text" in row.cells for row in self.rows)
            raise TableError(
                "every text is empty: there is nothing to compare with"
                if empty
                else "needs a column text or label"
            )
        return "asr" if kinds == {"asr"} else "ser"

    def _kind(self, row: Row) -> Literal["asr", "ser"] | None:
        text, label = ((_text(row, column) or "").strip() for column in ("text", "label"))
        if text and label:
            raise TableError("has a text and a label: one of them is needed", row.line, "label")
        return "asr" if text else "ser" if label else None

    def _utterance(self, row: Row, column: Literal["text", "label"]) -> Utterance:
        audio, reference = _text(row, "audio"), _text(row, column)
        for name, said in (("audio", audio), (column, reference)):
            if said is None or (name != "text" and not said.strip()):
                raise TableError("is missing", row.line, name)
        assert audio is not None and reference is not None
        self._check_swallowed(reference, row, column)
        file = inside(self.path.parent, self.path.parent / audio)
        if not file.is_file():
            raise TableError(f"{audio} is not there", row.line, "audio")
        if column == "label" or not reference.strip():
            reference = reference.strip()
        speaker = (_text(row, "speaker") or "").strip() or None
        identifier = (_text(row, "id") or "").strip()
        whole = Utterance(identifier or audio, file, reference, speaker)
        try:
            return segment_of(whole, row.cells, identifier=identifier or None)
        except SegmentError as error:
            raise TableError(str(error), row.line, error.column) from None

    def _check_swallowed(self, reference: str, row: Row, column: str) -> None:
        """Refuses a text that other rows are in, as behind a quote that was never closed."""
        for line in reference.splitlines()[1:]:
            for cell in line.translate(_SEPARATORS).split(","):
                if _is_there(self.path.parent / cell.strip().strip('"')):
                    raise TableError(
                        f"holds the row of {cell.strip()} too: is a quote not closed?",
                        row.line,
                        column,
                    )


def _rows(path: Path) -> tuple[list[Row], tuple[str, ...]]:
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        table = read_csv(content_of(path), COLUMNS)
        return [_named(row) for row in checked(table.rows)], table.notes
    if suffix in (".jsonl", ".json"):
        return [_named(row) for row in checked(read_json_lines(content_of(path)))], ()
    raise DatasetError(f"{path}: a manifest ends in .csv, .tsv or .jsonl")


def _named(row: Row) -> Row:
    """A row by the names of this module; what is null in it is left out."""
    cells: dict[str, Any] = {}
    for name, cell in row.cells.items():
        if name not in COLUMNS:
            raise TableError(unknown_column(name, COLUMNS), row.line, name)
        known = _OTHER_NAMES.get(name, name)
        if cell is None:
            continue
        if known in cells:
            raise TableError(f"is another name of {known}, which is there too", row.line, name)
        cells[known] = cell
    return Row(row.line, cells)


def _text(row: Row, column: str) -> str | None:
    cell = row.cells.get(column)
    if isinstance(cell, int) and not isinstance(cell, bool) and column in _NAMED_BY_NUMBERS:
        return str(cell)
    if cell is not None and not isinstance(cell, str):
        raise TableError(f"{cell!r} is no text: put it in quotes", row.line, column)
    return cell


def _check_labels(utterances: Sequence[Utterance], lines: Mapping[str, int]) -> None:
    """Refuses labels that are one but for case, blanks or the composition of characters."""
    first: dict[str, Utterance] = {}
    for one in utterances:
        plain = " ".join(unicodedata.normalize("NFKC", one.reference).casefold().split())
        other = first.setdefault(plain, one)
        if other.reference != one.reference:
            raise TableError(
                f"{one.reference!r} here and {other.reference!r} in line {lines[other.id]}: write"
                " them alike if they are one label, and otherwise unlike in more than case",
                lines[one.id],
                "label",
            )


def _without_speech(utterances: Sequence[Utterance]) -> Iterator[str]:
    empty = [utterance for utterance in utterances if not utterance.reference]
    if empty:
        yield (
            f"{len(empty)} of {len(utterances)} texts are empty, the first one of {empty[0].id}:"
            " recordings without speech, in which every word heard is an insertion"
        )


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _in_one_language(
    path: Path, rows: Sequence[Row], wanted: str | None
) -> tuple[Sequence[Row], str | None, tuple[str, ...]]:
    """Rows in a language, which one it is, and what to say of others; None if nothing says it."""
    wanted = None if wanted is None else language_code(wanted)
    said = [_language(row) or wanted for row in rows]
    first = next((language for language in said if language is not None), None)
    if first is None:
        return rows, None, ()
    chosen = wanted or first
    for row, language in zip(rows, said, strict=True):
        if wanted is None and language != chosen:
            spoken = "no language" if language is None else f"language {described(language)}"
            raise TableError(
                f"{spoken}, other rows {described(chosen)}: name the language of the rows to read"
                " with --language",
                row.line,
                "language",
            )
    others = Counter(language for language in said if language and language != chosen)
    kept = [row for row, language in zip(rows, said, strict=True) if language == chosen]
    if not kept:
        languages = ", ".join(map(described, others))
        raise DatasetError(f"{path}: no row is in {described(chosen)}, its rows are in {languages}")
    notes = [f"rows in {described(code)} left out: {n}" for code, n in others.items()]
    return kept, chosen, tuple(notes)


def _language(row: Row) -> str | None:
    said = (_text(row, "language") or "").strip()
    try:
        return language_code(said) if said else None
    except UnknownNameError as error:
        raise TableError(str(error), row.line, "language") from None


def _name_of(path: Path) -> str:
    return path.resolve().parent.name if path.stem == "manifest" else path.stem
