"""Workloads that are written in a file: lists of durations, tables with weights, JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from measurements.cells import Row, TableError, checked, decoded, lines_of, number_of
from measurements.datasets.base import DatasetError, content_of
from measurements.json_lines import json_value
from measurements.tables import read_csv
from planner.workload import TOKENS_PER_AUDIO_S, Workload

COLUMNS = {"duration_s": "durations_s", "weight": "weights"}
"""Of a table, and the fields of a workload that they are."""

_BETWEEN = re.compile(r"\s*[,;]\s*|\s+")

_PERHAPS_DECIMAL = re.compile(r"\d+,\d+")


def workload_of_file(path: Path, tokens_per_audio_s: float | None) -> Workload:
    """Reads a workload from a file.

    Args:
        path: JSON, a list of numbers, or a table with a header.
        tokens_per_audio_s: Tokens that transcripts have per second of audio, where the
            file does not say so.

    Raises:
        DatasetError: It is none, or says other tokens; the message names line and column.
    """
    content = content_of(path)
    said = TOKENS_PER_AUDIO_S if tokens_per_audio_s is None else tokens_per_audio_s
    try:
        if path.suffix.lower() == ".json":
            return _of_json(path, content, tokens_per_audio_s)
        return _of_list(path, content, said) or _of_table(path, content, said)
    except TableError as error:
        raise DatasetError(error.of(path)) from None


def _of_json(path: Path, content: bytes, tokens_per_audio_s: float | None) -> Workload:
    stated = json_value(decoded(content))
    if isinstance(stated, list):
        stated = {"durations_s": stated, "source": f"{len(stated)} durations of {path}"}
    if tokens_per_audio_s is not None and isinstance(stated, dict):
        own = stated.setdefault("tokens_per_audio_s", tokens_per_audio_s)
        if own != tokens_per_audio_s:
            raise TableError(f"it says {own} tokens_per_audio_s, not {tokens_per_audio_s:g}")
    try:
        return Workload.model_validate_json(json.dumps(stated), strict=True)
    except ValidationError as error:
        place, message = _first(error)
        raise TableError(message, column=place or None) from None


def _of_list(path: Path, content: bytes, tokens_per_audio_s: float) -> Workload | None:
    """Of a file that begins with a number: one a line, or all of them in one."""
    numbered = enumerate(lines_of(decoded(content)), 1)
    lines = [(number, line.strip()) for number, line in numbered if line.strip()]
    if not lines or not all(map(_is_number, _BETWEEN.split(lines[0][1]))):
        return None
    rows: list[tuple[int, str]] = lines
    if len(lines) == 1:
        number, line = lines[0]
        kinds = {between.strip() for between in _BETWEEN.findall(line)}
        if len(kinds) > 1 or _PERHAPS_DECIMAL.fullmatch(line):
            raise TableError(
                "numbers are separated by one of blanks, commas and semicolons, and have a decimal"
                " point: put a blank behind each comma",
                number,
            )
        rows = [(number, text) for text in _BETWEEN.split(line)]
    durations = []
    for number, text in rows:
        try:
            durations.append(number_of(text))
        except ValueError as error:
            said = f"{error} (of several columns, the first line names them: duration_s, weight)"
            raise TableError(said, number) from None
    fields = {"durations_s": durations, "source": f"{len(durations)} durations of {path}"}
    return _workload(fields, tokens_per_audio_s, [number for number, _ in rows])


def _is_number(text: str) -> bool:
    try:
        number_of(text)
    except ValueError:
        return False
    return True


def _of_table(path: Path, content: bytes, tokens_per_audio_s: float) -> Workload:
    table = read_csv(content, COLUMNS)
    if "duration_s" not in table.columns:
        raise TableError("a column duration_s is needed", 1)
    rows = list(checked(table.rows))
    source = "; ".join([f"{len(rows)} durations of {path}", *table.notes])
    fields = {COLUMNS[c]: [_number(row, c) for row in rows] for c in table.columns}
    return _workload({**fields, "source": source}, tokens_per_audio_s, [row.line for row in rows])


def _number(row: Row, column: str) -> float:
    try:
        return number_of(row.cells[column])
    except ValueError as error:
        raise TableError(str(error), row.line, column) from None


def _workload(fields: dict[str, Any], tokens_per_audio_s: float, lines: Sequence[int]) -> Workload:
    try:
        return Workload(**fields, tokens_per_audio_s=tokens_per_audio_s)
    except ValidationError as error:
        _, message = _first(error)
        field, *place = error.errors()[0]["loc"] or ("",)
        column = next((column for column, one in COLUMNS.items() if one == field), None)
        line = lines[place[0]] if place and isinstance(place[0], int) else None
        raise TableError(message, line, column) from None


def _first(error: ValidationError) -> tuple[str, str]:
    one = error.errors(include_url=False)[0]
    return ".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")
