"""Measurements as rows of a table: the figures of one, its configuration, where it comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, Field

from measurements import figures
from measurements.cells import number_of
from measurements.figures import FigureError, Unit, check_agreement, figures_of
from measurements.records import DatasetInfo, Fraction, Level, Measurement, Metric, Record, Source
from measurements.tables import unknown_column
from models_registry import Configuration
from models_registry.languages import ENGLISH, known_language

WRITTEN_ONLY = frozenset({"gflops_per_utterance", "rtf", "device", "created_at"})
"""Columns that a table is written with but that make no record: a rate is nothing without
its phases and its device."""

Name = Annotated[str, Field(min_length=1, max_length=200)]


class WrongColumnsError(ValueError):
    """What is wrong with a row, by column."""

    def __init__(self, said: Mapping[str, str]) -> None:
        super().__init__("; ".join(said))
        self.said = said


class _Row(Record):
    """What a row says beside its configuration, in fractions."""

    study: Name
    dataset: Name
    provenance: Annotated[str, Field(min_length=1, max_length=2000)]
    wer: Fraction | None = None
    ua: Fraction | None = None
    se: Fraction | None = None
    lower: Fraction | None = None
    upper: Fraction | None = None
    level: Level | None = None
    utterances: Annotated[int, Field(ge=1)] | None = None
    reference_words: Annotated[int, Field(ge=1)] | None = None
    source: Source = "measured"
    language: Annotated[str, AfterValidator(known_language)] = ENGLISH


COLUMNS = (*_Row.model_fields, "unit", *Configuration.model_fields, "key", *sorted(WRITTEN_ONLY))
"""All that a row may have."""


def _is_number(annotation: object) -> bool:
    return annotation in (int, float) or any(map(_is_number, get_args(annotation)))


_NUMBERS = frozenset(
    name
    for model in (Configuration, _Row)
    for name, field in model.model_fields.items()
    if _is_number(field.annotation) and name not in figures.COLUMNS
)


def given_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row says: text without blanks around it, and nothing that is missing.

    Raises:
        WrongColumnsError: It has a column that is none of :data:`COLUMNS`.
    """
    unknown = {name: unknown_column(name, COLUMNS) for name in row if name not in COLUMNS}
    if unknown:
        raise WrongColumnsError(unknown)
    stripped = {k: v.strip() if isinstance(v, str) else v for k, v in row.items()}
    # What is not there is not a number in a Parquet file written by pandas.
    return {k: v for k, v in stripped.items() if v is not None and v != "" and v == v}


def measurement_of(given: Mapping[str, Any], unit: Unit, *, known: bool = False) -> Measurement:
    """The measurement that a row makes.

    Args:
        given: What the row says, by :func:`given_of`.
        unit: Of its figures.
        known: Whether its key is known: what it says is held against that, and not against
            itself.

    Raises:
        ValidationError: A field is not valid.
        WrongColumnsError: Figures are none, or contradict each other.
        ValueError: There is no model, or not one metric.
    """
    own = {k: v for k, v in given.items() if k not in WRITTEN_ONLY and k not in ("key", "unit")}
    own = {k: _number(v, k) if k in _NUMBERS else v for k, v in own.items()}
    fields = {k: own.pop(k) for k in list(own) if k in Configuration.model_fields}
    if "model" not in fields:
        raise ValueError("a column model is needed")
    if ("wer" in own) == ("ua" in own):
        raise ValueError("exactly one of wer and ua is needed")
    try:
        found = figures_of(own, unit)
        said = _Row.model_validate(own | dict(found.values))
        value = said.wer if said.wer is not None else said.ua or 0.0
        if not known:
            check_agreement(found, value, said.level)
    except FigureError as error:
        raise WrongColumnsError({error.column: str(error)}) from None
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
            value=value,
            se=said.se,
            lower=said.lower,
            upper=said.upper,
            level=said.level,
        ),
    )


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
        "unit": figures.WRITTEN,
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


def as_written(value: object) -> object:
    """A cell of a CSV file as the number that it is; anything else as it is."""
    try:
        return number_of(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _number(cell: object, column: str) -> object:
    if isinstance(cell, bool):
        raise WrongColumnsError({column: f"{cell} is no number"})
    if not isinstance(cell, str):
        return cell
    try:
        found = number_of(cell)
    except ValueError as error:
        raise WrongColumnsError({column: str(error)}) from None
    return int(found) if found.is_integer() else found
