"""Measurements in and out of files: CSV, JSONL, Parquet; every row valid, or none stored.

A row is flat: the fields of a configuration, ``wer`` or ``ua`` as a fraction, and where it
comes from. JSONL is written as whole records, which come back as they were; it is read
either way. CSV and Parquet are tables for reading elsewhere: a row that was written to one
is taken in again only where its key is known.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeGuard

from pydantic import AfterValidator, Field, ValidationError

from measurements.catalogue import catalogue
from measurements.records import DatasetInfo, Fraction, Measurement, Metric, Record, Source
from measurements.row_formats import SUFFIXES, rows_of, table_of
from measurements.studies import named_task, study_tasks
from models_registry import Configuration, UnknownNameError
from models_registry.languages import ENGLISH, known_language

if TYPE_CHECKING:
    from measurements.store import Store

_MOST_WER = 5.0
"""Above it a percentage was meant."""

_WRITTEN_ONLY = frozenset({"gflops_per_utterance", "rtf", "device", "created_at"})
"""Columns that a table is written with but that make no record: a rate is nothing without
its phases and its device."""

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
        "fingerprint",
        "adapter",
        "software",
        "created_at",
    }
)
"""What two runs of one key may differ in."""

_KEY = re.compile("[0-9a-f]{64}")

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


class _WrongColumnsError(ValueError):
    """What is wrong with a row, by column."""

    def __init__(self, said: Mapping[str, str]) -> None:
        super().__init__("; ".join(said))
        self.said = said


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
    language: Annotated[str, AfterValidator(known_language)] = ENGLISH


class _Known:
    """What rows are held against: catalogue, store, and the rows before.

    Args:
        rows: The rows that come.
        store: The store; none leaves the catalogue.
    """

    def __init__(self, rows: Sequence[object], store: Store | None) -> None:
        named = [row.get("key") for row in rows if isinstance(row, dict)]
        stored = store.measurements_of(filter(_well_formed, named)) if store else {}
        self._by_key = {m.key: m for m in catalogue()} | stored
        self._tasks = study_tasks(store)

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
            raise _WrongColumnsError({"study": f"{study} is about {of_study}, not {task}"})
        return self._by_key.setdefault(measurement.key, measurement)


def take_in(rows: Iterable[object], store: Store) -> tuple[int, int]:
    """Stores what is new among rows, all of it or none.

    Returns:
        How many were stored, and how many were known already.

    Raises:
        RowsError: A row is no measurement; all of what is wrong is named.
    """
    found = from_rows(rows, store)
    built_in = {m.key for m in catalogue()}
    stored = store.add_measurements(m for m in found if m.key not in built_in)
    return stored, len(found) - stored


def read_rows(path: Path) -> Iterable[object]:
    """The rows of a file, by its ending.

    Raises:
        ValueError: The file can't be read.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: the name has to end in {', '.join(SUFFIXES)}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    return rows_of(content, path.suffix)


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


def from_rows(rows: Iterable[object], store: Store | None = None) -> list[Measurement]:
    """Measurements of rows, flat or whole; the known one where a row's key is known.

    Whole records keep their keys. A key is not made from the record again, which does not
    hold all that it is made of, but has to be well-formed, and a record of a known key has
    to be what is known; what two runs of one key may differ in, such as times, stays as it
    is known.

    Args:
        rows: The rows.
        store: What is known beside the catalogue.

    Raises:
        RowsError: A row is none; all of what is wrong is named.
    """
    rows = list(rows)
    known = _Known(rows, store)
    found, errors = [], []
    for number, row in enumerate(rows, 1):
        try:
            found.append(_measurement(row, known))
        except ValidationError as error:
            errors += [
                RowError(number, ".".join(map(str, one["loc"])) or "row", _said(one["msg"]))
                for one in error.errors(include_url=False)
            ]
        except UnknownNameError as error:
            errors.append(RowError(number, error.kind, str(error)))
        except _WrongColumnsError as error:
            errors += [RowError(number, field, said) for field, said in error.said.items()]
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
        "language": m.dataset.language,
        "source": m.source,
        "provenance": m.provenance,
        "gflops_per_utterance": None if m.flops_counted is None else m.flops_counted / 1e9,
        "rtf": m.rtf.get("total"),
        "device": None if m.device is None else m.device.id,
        "created_at": None if m.created_at is None else m.created_at.isoformat(),
    }


def _measurement(row: object, known: _Known) -> Measurement:
    if not isinstance(row, dict):
        raise ValueError("no object with named fields")
    if isinstance(row.get("configuration"), dict):
        found = Measurement.model_validate(row)
        earlier = known.get(found.key)
        wrong = _wrong_of_record(found, earlier)
    else:
        given = {k: v for k, v in row.items() if not _missing(v)}
        found = _of_table(given)
        earlier = known.get(given.get("key", found.key))
        wrong = _wrong_of_table(given, found, earlier)
    if wrong:
        raise _WrongColumnsError(wrong)
    task = found.configuration.task
    if (task == "asr") != (found.metric.name == "wer"):
        raise ValueError(f"task {task} is measured in the other metric")
    return earlier or known.add(found)


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
        dropped = {k: _NOT_OF_TABLES for k in given if k in _WRITTEN_ONLY}
        return ({"key": _UNKNOWN_KEY} if unknown else {}) | dropped
    said = to_row(found) | {k: _number(v) for k, v in given.items() if k in _WRITTEN_ONLY}
    kept = to_row(earlier)
    compared = [k for k in given if k != "key"]
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


def _of_table(row: Mapping[str, Any]) -> Measurement:
    """The measurement that a flat row makes."""
    given = {k: v for k, v in row.items() if k != "key" and k not in _WRITTEN_ONLY}
    fields = {k: _number(given.pop(k)) for k in list(given) if k in Configuration.model_fields}
    if "model" not in fields:
        raise ValueError("a column model is needed")
    said = _Row.model_validate(given)
    if (said.wer is None) == (said.ua is None):
        raise ValueError("exactly one of wer and ua is needed, as a fraction")
    fields.setdefault("task", "asr" if said.ua is None else "ser")
    configuration = Configuration.model_validate(fields)
    # Keys of English rows are as they were before there was a column for it.
    untold = {"language"} if said.language == ENGLISH else None
    stated = said.model_dump(mode="json", exclude=untold)
    content = json.dumps([configuration.key, stated], sort_keys=True)
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
            language=said.language,
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
