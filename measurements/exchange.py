"""Measurements in and out of files: CSV, JSONL, Parquet; every row valid, or none stored.

A row is flat: the fields of a configuration, ``wer`` or ``ua`` as a fraction, and where it
comes from. JSONL is written as whole records, which come back as they were; it is read
either way.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from measurements.records import DatasetInfo, Fraction, Measurement, Metric, Record, Source
from models_registry import Configuration, UnknownNameError

SUFFIXES = (".csv", ".jsonl", ".parquet")

_MOST_WER = 5.0
"""Above it a percentage was meant."""

_DERIVED = frozenset({"key", "gflops_per_utterance", "rtf", "device", "created_at"})
"""Columns that are written for readers; they say nothing when they are read."""

Name = Annotated[str, Field(min_length=1, max_length=200)]


@dataclass(frozen=True)
class RowError:
    """What is wrong with a row.

    Attributes:
        row: Its number, from 1; headers don't count.
        field: The column.
        message: What is wrong with it.
    """

    row: int
    field: str
    message: str

    def __str__(self) -> str:
        return f"row {self.row}, {self.field}: {self.message}"


class RowsError(ValueError):
    """Rows that are no measurements; none was stored.

    Attributes:
        errors: What is wrong, row by row.
    """

    def __init__(self, errors: Sequence[RowError]) -> None:
        more = f"; and {len(errors) - 1} more" if len(errors) > 1 else ""
        super().__init__(f"{errors[0]}{more}")
        self.errors = tuple(errors)


class _Row(Record):
    """What a row says beside its configuration."""

    study: Name
    dataset: Name
    provenance: Annotated[str, Field(min_length=1, max_length=2000)]
    wer: Annotated[float, Field(ge=0, le=_MOST_WER, allow_inf_nan=False)] | None = None
    ua: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    se: Fraction | None = None
    lower: Fraction | None = None
    upper: Fraction | None = None
    level: Annotated[float, Field(gt=0, lt=1)] | None = None
    utterances: Annotated[int, Field(ge=1)] | None = None
    reference_words: Annotated[int, Field(ge=1)] | None = None
    source: Source = "measured"


def read_file(path: Path) -> list[Measurement]:
    """The measurements in a file, by its ending.

    Raises:
        RowsError: A row is none.
        ValueError: The file can't be read.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: the name has to end in {', '.join(SUFFIXES)}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    return from_rows(_READERS[path.suffix](content))


def write_file(measurements: Sequence[Measurement], path: Path) -> None:
    """Writes measurements, in the format that the file's ending names.

    Raises:
        ValueError: The ending names none, or the file can't be written.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: the name has to end in {', '.join(SUFFIXES)}")
    try:
        path.write_bytes(_WRITERS[path.suffix](measurements))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None


def from_rows(rows: Iterable[object]) -> list[Measurement]:
    """Measurements of rows, flat or whole.

    Raises:
        RowsError: A row is none; all of what is wrong is named.
    """
    found, errors = [], []
    for number, row in enumerate(rows, 1):
        try:
            found.append(_measurement(row))
        except ValidationError as error:
            errors += [
                RowError(number, ".".join(map(str, one["loc"])) or "row", _said(one["msg"]))
                for one in error.errors(include_url=False)
            ]
        except UnknownNameError as error:
            errors.append(RowError(number, error.kind, str(error)))
        except ValueError as error:
            errors.append(RowError(number, "row", str(error)))
    if errors:
        raise RowsError(errors)
    return found


def to_row(measurement: Measurement) -> dict[str, Any]:
    """A measurement as a flat row."""
    m = measurement
    return {
        "key": m.key,
        "study": m.study,
        **m.configuration.model_dump(mode="json"),
        m.metric.name: m.metric.value,
        "se": m.metric.se,
        "lower": m.metric.lower,
        "upper": m.metric.upper,
        "level": m.metric.level,
        "dataset": m.dataset.name,
        "utterances": m.dataset.utterances,
        "reference_words": m.dataset.reference_words,
        "source": m.source,
        "provenance": m.provenance,
        "gflops_per_utterance": None if m.flops_counted is None else m.flops_counted / 1e9,
        "rtf": m.rtf.get("total"),
        "device": None if m.device is None else m.device.id,
        "created_at": None if m.created_at is None else m.created_at.isoformat(),
    }


def _measurement(row: object) -> Measurement:
    if not isinstance(row, dict):
        raise ValueError("no object with named fields")
    if isinstance(row.get("configuration"), dict):
        return Measurement.model_validate(row)
    given = {k: v for k, v in row.items() if not _missing(v) and k not in _DERIVED}
    fields = {k: _number(given.pop(k)) for k in list(given) if k in Configuration.model_fields}
    if "model" not in fields:
        raise ValueError("a column model is needed")
    said = _Row.model_validate(given)
    if (said.wer is None) == (said.ua is None):
        raise ValueError("exactly one of wer and ua is needed, as a fraction")
    fields.setdefault("task", "asr" if said.ua is None else "ser")
    configuration = Configuration.model_validate(fields)
    if (configuration.task == "asr") != (said.ua is None):
        raise ValueError(f"task {configuration.task} is measured in the other metric")
    content = json.dumps([configuration.key, said.model_dump(mode="json")], sort_keys=True)
    return Measurement(
        key=hashlib.sha256(f"imported\0{content}".encode()).hexdigest(),
        study=said.study,
        configuration=configuration,
        source=said.source,
        provenance=said.provenance,
        dataset=DatasetInfo(
            name=said.dataset,
            utterances=said.utterances,
            reference_words=said.reference_words,
        ),
        metric=Metric(
            name="wer" if said.ua is None else "ua",
            value=said.wer if said.wer is not None else said.ua or 0.0,
            se=said.se,
            lower=said.lower,
            upper=said.upper,
            level=said.level,
        ),
    )


def _number(value: object) -> object:
    """A cell of a CSV file as the number that it is."""
    if not isinstance(value, str):
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    return int(number) if number.is_integer() else number


def _missing(value: object) -> bool:
    # What is not there is not a number in a Parquet file written by pandas.
    return value is None or value == "" or value != value


def _said(message: str) -> str:
    return message.removeprefix("Value error, ")


def _from_csv(content: bytes) -> Iterator[object]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error.reason} at byte {error.start}") from None
    for row in csv.DictReader(io.StringIO(text, newline="")):
        if None in row or None in row.values():
            yield "cells"
        else:
            yield row


def _to_csv(measurements: Sequence[Measurement]) -> bytes:
    rows = [to_row(m) for m in measurements]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _from_jsonl(content: bytes) -> Iterator[object]:
    for line in content.splitlines():
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError:
                yield "no JSON"


def _to_jsonl(measurements: Sequence[Measurement]) -> bytes:
    return b"".join(m.model_dump_json().encode() + b"\n" for m in measurements)


def _from_parquet(content: bytes) -> Iterator[object]:
    pyarrow, parquet = _pyarrow()
    try:
        table = parquet.read_table(io.BytesIO(content))
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"not Parquet: {str(error).splitlines()[0]}") from None
    yield from table.to_pylist()


def _to_parquet(measurements: Sequence[Measurement]) -> bytes:
    pyarrow, parquet = _pyarrow()
    rows = [to_row(m) for m in measurements]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = pyarrow.table({name: [row.get(name) for row in rows] for name in columns})
    content = io.BytesIO()
    parquet.write_table(table, content)
    return content.getvalue()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ValueError("Parquet needs pyarrow: pip install 'speechplan[parquet]'") from None
    return pyarrow, pyarrow.parquet


_READERS = {".csv": _from_csv, ".jsonl": _from_jsonl, ".parquet": _from_parquet}
_WRITERS = {".csv": _to_csv, ".jsonl": _to_jsonl, ".parquet": _to_parquet}
