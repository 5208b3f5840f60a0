"""Axes and errors from a CSV file, for a curve of whatever was measured."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path


class CurveTableError(ValueError):
    """A file that no curve can be fitted to; the message names the row and the column."""


@dataclass(frozen=True)
class CurveTable:
    """Columns of a file.

    Attributes:
        axes: Positive numbers by axis.
        error: Positive numbers, lower is better.
        error_se: Their standard errors, where a column holds them.
        groups: Labels by factor.
    """

    axes: dict[str, list[float]]
    error: list[float]
    error_se: list[float] | None
    groups: dict[str, list[str]]


def read_curve_table(
    path: Path,
    *,
    error: str,
    axes: Sequence[str] = (),
    groups: Sequence[str] = (),
    error_se: str | None = None,
) -> CurveTable:
    """Reads columns of a CSV file with a header.

    Args:
        path: The file.
        error: Column of the error.
        axes: Columns of the axes; all others that hold numbers alone when left out.
        groups: Columns of labels that shift the error.
        error_se: Column of the error's standard error.

    Raises:
        CurveTableError: The file can't be read, a column is missing, or a cell of one is not a
            positive number.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns, rows = list(reader.fieldnames or ()), list(reader)
    except OSError as problem:
        raise CurveTableError(f"{path}: {problem.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as problem:
        raise CurveTableError(f"{path}: is no CSV file: {problem}") from None
    taken = [error, *groups, *([error_se] if error_se else [])]
    for name in (*axes, *taken):
        if name not in columns:
            raise CurveTableError(f"{path}: no column {name!r}; there are {', '.join(columns)}")
    if not rows:
        raise CurveTableError(f"{path}: holds no rows")
    found = axes or [c for c in columns if c not in taken and all(_number(r[c]) for r in rows)]
    if not found:
        raise CurveTableError(f"{path}: no column of positive numbers beside {', '.join(taken)}")

    def numbers(name: str) -> list[float]:
        for place, row in enumerate(rows, 1):
            if _number(row[name]) is None:
                raise CurveTableError(
                    f"{path}: row {place}, {name}: {row[name]!r} is not a positive number"
                )
        return [float(row[name]) for row in rows]

    return CurveTable(
        axes={name: numbers(name) for name in found},
        error=numbers(error),
        error_se=numbers(error_se) if error_se else None,
        groups={name: [row[name] or "" for row in rows] for name in groups},
    )


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if number > 0 and isfinite(number) else None
