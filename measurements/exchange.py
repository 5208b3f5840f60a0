"""Measurements in and out of files: CSV, JSONL, Parquet; every row valid, or none stored.

A row is flat: the fields of a configuration, ``wer`` or ``ua`` in a unit that is named, and
where it comes from. JSONL is written as whole records, which come back as they were; it is read
either way. CSV and Parquet are tables for reading elsewhere: a row that was written to one
is taken in again only where its key is known.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from pydantic import ValidationError

from measurements.catalogue import catalogue
from measurements.cells import Row, TableError
from measurements.figures import ASK, WRITTEN, FigureError, Unit, default_unit, unit_of
from measurements.flat_rows import (
    COLUMNS,
    WRITTEN_ONLY,
    WrongColumnsError,
    as_written,
    given_of,
    measurement_of,
    to_row,
)
from measurements.records import Measurement
from measurements.row_formats import SUFFIXES, rows_of, table_of
from measurements.studies import named_task, study_tasks
from models_registry import UnknownNameError

if TYPE_CHECKING:
    from measurements.store import Store

_BY_RUN = frozenset(
    {
        "provenance",
        "timings",
        "rtf",
        "rtf_interval",
        "latency",
        "rtfx",
        "rtfx_batch_size",
        "others_cpu_share",
        "processor_speed",
        "weights_bytes",
        "peak_memory_bytes",
        "peak_allocated_bytes",
        "joules_per_audio_second",
        "adapter",
        "software",
        "created_at",
    }
)
"""What two runs of one key may differ in."""

_KEY = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class RowError:
    """What is wrong with a row.

    Attributes:
        row: Its number, from 1; headers and blank lines don't count.
        field: The column.
        message: What is wrong with it.
        line: Line of the file that it begins in; none of rows that are of no text file.
    """

    row: int
    field: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        line = "" if self.line is None else f" (line {self.line})"
        return f"row {self.row}, {self.field}{line}: {self.message}"


class RowsError(ValueError):
    """Rows that are no measurements; none was stored.

    Attributes:
        errors: What is wrong, row by row.
    """

    def __init__(self, errors: Sequence[RowError]) -> None:
        more = f"; and {len(errors) - 1} more" if len(errors) > 1 else ""
        super().__init__(f"{errors[0]}{more}")
        self.errors = tuple(errors)


class _Known:
    """What rows are held against: catalogue, store, and the rows before.

    Args:
        rows: The rows that come.
        store: The store; none leaves the catalogue.

    Attributes:
        unit: Of rows that name none and have no key; None if it has to be asked for.
    """

    def __init__(self, rows: Sequence[object], store: Store | None) -> None:
        named = [row.get("key") for row in rows if isinstance(row, Mapping)]
        stored = store.measurements_of(filter(_well_formed, named)) if store else {}
        self._by_key = {m.key: m for m in catalogue()} | stored
        self._tasks = study_tasks(store)
        self.unit = default_unit(filter(_is_unstated, rows))

    def get(self, key: object) -> Measurement | None:
        """The measurement of a key."""
        return self._by_key.get(key) if isinstance(key, str) else None

    def add(self, measurement: Measurement) -> Measurement:
        """Takes in a new one.

        Raises:
            ValueError: Its study is of the other task.
        """
        study, task = measurement.study, measurement.configuration.task
        of_study = self._tasks.setdefault(study, named_task(study) or task)
        if of_study != task:
            raise WrongColumnsError({"study": f"{study} is about {of_study}, not {task}"})
        return self._by_key.setdefault(measurement.key, measurement)


def take_in(rows: Iterable[object], store: Store, unit: Unit | None = None) -> tuple[int, int]:
    """Stores what is new among rows, all of it or none.

    Args:
        rows: The rows.
        store: Where they are stored.
        unit: Of the figures of flat rows that don't name one.

    Returns:
        How many were stored, and how many were known already.

    Raises:
        RowsError: A row is no measurement; all of what is wrong is named.
    """
    return keep(from_rows(rows, store, unit), store)


def keep(found: Sequence[Measurement], store: Store) -> tuple[int, int]:
    """Stores measurements.

    Returns:
        How many were stored, and how many were known already.
    """
    built_in = {m.key for m in catalogue()}
    stored = store.add_measurements(m for m in found if m.key not in built_in)
    return stored, len(found) - stored


def assumption_of(rows: Sequence[object], found: Sequence[Measurement]) -> str | None:
    """What to say of rows that were taken as fractions since they name no unit.

    Args:
        rows: The rows, of which none was said otherwise.
        found: Their measurements.
    """
    plain = (row.cells if isinstance(row, Row) else row for row in rows)
    pairs = zip(plain, found, strict=True)
    assumed = [m.metric for row, m in pairs if _is_unstated(row)]
    if not assumed:
        return None
    ends = [100 * pick(metric.value for metric in assumed) for pick in (min, max)]
    shown = " to ".join(dict.fromkeys(f"{end:.4g} %" for end in ends))
    return f"no unit is named, taken as fractions: {assumed[0].name.upper()} {shown}"


def remarks_of(found: Sequence[Measurement]) -> tuple[str, ...]:
    """What to say of measurements that were taken in."""
    high = [m.metric.value for m in found if m.metric.name == "wer" and m.metric.value > 1]
    if not high:
        return ()
    return (
        f"{len(high)} of {len(found)} rows have a WER above 100 %, up to {100 * max(high):g} %:"
        " more errors than words",
    )


def read_rows(path: Path) -> list[object]:
    """The rows of a file, by its ending.

    Raises:
        ValueError: The file can't be read.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: the name has to end in {', '.join(SUFFIXES)}")
    try:
        return list(rows_of(path.read_bytes(), path.suffix, COLUMNS))
    except TableError as error:
        raise ValueError(error.of(path)) from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None


def write_file(measurements: Sequence[Measurement], path: Path) -> None:
    """Writes measurements, in the format that the file's ending names.

    Raises:
        ValueError: The ending names none, or the file can't be written.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: the name has to end in {', '.join(SUFFIXES)}")
    try:
        path.write_bytes(content_of(measurements, path.suffix))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None


def content_of(measurements: Sequence[Measurement], suffix: str) -> bytes:
    """The content of a file of measurements, in the format that an ending of its name means.

    Raises:
        ValueError: What writes the format is not installed.
    """
    if suffix == ".jsonl":
        return b"".join(m.model_dump_json().encode() + b"\n" for m in measurements)
    return table_of([to_row(m) for m in measurements], suffix)


def from_rows(
    rows: Iterable[object], store: Store | None = None, unit: Unit | None = None
) -> list[Measurement]:
    """Measurements of rows, flat or whole; the known one where a row's key is known.

    Whole records keep their keys. A key is not made from the record again, which does not
    hold all that it is made of, but has to be well-formed, and a record of a known key has
    to be what is known; what two runs of one key may differ in, such as times, stays as it
    is known.

    Args:
        rows: The rows: of a table, of JSON, or errors in place of those that can't be read.
        store: What is known beside the catalogue.
        unit: Of the figures of flat rows that don't name one. Left out, they are fractions if
            all of these rows are below 1, and otherwise refused.

    Raises:
        RowsError: A row is none; all of what is wrong is named.
    """
    placed = list(rows)
    plain = [row.cells if isinstance(row, Row) else row for row in placed]
    known = _Known(plain, store)
    found, errors = [], []
    for number, (place, row) in enumerate(zip(placed, plain, strict=True), 1):
        line = place.line if isinstance(place, Row | TableError) else None
        try:
            found.append(_measurement(row, known, unit))
        except ValueError as error:
            errors += [RowError(number, *said, line) for said in _wrong(error)]
        except UnknownNameError as error:
            errors.append(RowError(number, error.kind, str(error), line))
    if errors:
        raise RowsError(list(_asked_once(errors)))
    return found


def _wrong(error: ValueError) -> Iterator[tuple[str, str]]:
    """What is wrong with a row: columns, and what to say of them."""
    if isinstance(error, ValidationError):
        for one in error.errors(include_url=False):
            yield ".".join(map(str, one["loc"])) or "row", one["msg"].removeprefix("Value error, ")
    elif isinstance(error, WrongColumnsError):
        yield from error.said.items()
    elif isinstance(error, TableError):
        yield error.column or "row", error.reason
    else:
        yield "row", str(error)


def _asked_once(errors: Sequence[RowError]) -> Iterator[RowError]:
    """The errors, those of a unit that is missing in many rows as one."""
    asked = [error for error in errors if error.message == ASK]
    for error in errors:
        if error.message != ASK:
            yield error
        elif error is asked[0]:
            more = "" if len(asked) == 1 else f" ({len(asked)} rows name none)"
            yield replace(error, message=f"{ASK}{more}")


def _measurement(row: object, known: _Known, unit: Unit | None) -> Measurement:
    if isinstance(row, TableError):
        raise row
    if not isinstance(row, Mapping):
        raise ValueError("no object with named fields")
    if isinstance(row.get("configuration"), dict):
        if unit not in (None, WRITTEN):
            raise WrongColumnsError({"unit": f"a whole record is in {WRITTEN}s, not in {unit}"})
        found = Measurement.model_validate(row)
        earlier = known.get(found.key)
        wrong = _wrong_of_record(found, earlier)
    else:
        given = given_of(row)
        earlier = known.get(given.get("key"))
        assumed = known.unit if earlier is None else WRITTEN
        found = measurement_of(given, _unit(given, unit, assumed), known=earlier is not None)
        earlier = earlier or (None if "key" in given else known.get(found.key))
        wrong = _wrong_of_table(given, found, earlier)
    if wrong:
        raise WrongColumnsError(wrong)
    task = found.configuration.task
    if (task == "asr") != (found.metric.name == "wer"):
        raise ValueError(f"task {task} is measured in the other metric")
    return earlier or known.add(found)


def _unit(given: Mapping[str, Any], declared: Unit | None, assumed: Unit | None) -> Unit:
    try:
        found = unit_of(given.get("unit"), declared) or assumed
    except FigureError as error:
        raise WrongColumnsError({error.column: str(error)}) from None
    if found is None:
        raise WrongColumnsError({"unit": ASK})
    return found


def _is_unstated(row: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether a row is flat and says neither its unit nor its key."""
    if not isinstance(row, Mapping) or "configuration" in row:
        return False
    return not row.get("unit") and not row.get("key")


def _wrong_of_record(found: Measurement, earlier: Measurement | None) -> dict[str, str]:
    """What is wrong with a whole record, by field."""
    if not _well_formed(found.key):
        return {"key": "no key: 64 hexadecimal digits in lower case"}
    if earlier is None or found == earlier:
        return {}
    said, kept = (m.model_dump(mode="json", exclude=set(_BY_RUN)) for m in (found, earlier))
    return {k: _OTHERWISE for k in said if not _agree(said[k], kept[k])}


def _wrong_of_table(
    given: Mapping[str, Any], found: Measurement, earlier: Measurement | None
) -> dict[str, str]:
    """What is wrong with a flat row, by column."""
    if earlier is None:
        unknown = given.get("key", found.key) != found.key
        dropped = {k: _NOT_OF_TABLES for k in given if k in WRITTEN_ONLY}
        return ({"key": _UNKNOWN_KEY} if unknown else {}) | dropped
    said = to_row(found) | {k: as_written(v) for k, v in given.items() if k in WRITTEN_ONLY}
    kept = to_row(earlier)
    compared = [k for k in given if k not in ("key", "unit")]
    return {k: _OTHERWISE for k in compared if not _agree(said.get(k), kept.get(k))}


_OTHERWISE = "not what is known under this key"
_UNKNOWN_KEY = "of no known measurement: take in its JSONL, or leave the column out"
_NOT_OF_TABLES = "not read from tables: take in JSONL, or leave the column out"


def _agree(said: object, kept: object) -> bool:
    """Whether two values are the same, but for what spreadsheets round."""
    if isinstance(said, dict) and isinstance(kept, dict):
        return said.keys() == kept.keys() and all(_agree(said[k], kept[k]) for k in said)
    if isinstance(said, float) and isinstance(kept, float):
        return math.isclose(said, kept, rel_tol=1e-9)
    return said == kept


def _well_formed(key: object) -> TypeGuard[str]:
    return isinstance(key, str) and _KEY.fullmatch(key) is not None
