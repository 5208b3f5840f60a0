"""Axes and errors from a CSV file, for a curve of whatever was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from measurements.cells import Row, TableError, checked, number_of
from measurements.tables import read_csv

_NAMED = 3
"""Lines that a warning names; the others are counted."""


class CurveTableError(ValueError):
    """A file that no curve can be fitted to; the message names the line and the column."""


@dataclass(frozen=True)
class CurveTable:
    """Columns of a file, of every row but copies.

    Attributes:
        axes: Positive numbers by axis.
        error: Positive numbers, lower is better.
        error_se: Their standard errors, where a column holds them.
        groups: Labels by factor.
        warnings: What was left out and why, and what to know of how the file was read.
    """

    axes: dict[str, list[float]]
    error: list[float]
    error_se: list[float] | None
    groups: dict[str, list[str]]
    warnings: tuple[str, ...] = ()


def read_curve_table(
    path: Path,
    *,
    error: str,
    axes: Sequence[str] = (),
    groups: Sequence[str] = (),
    error_se: str | None = None,
) -> CurveTable:
    """Reads columns of a CSV file with a header.

    A row that repeats another in every column is a copy, which tells nothing new: it is left
    out, or a curve would be as sure as of so many measurements and be tested on rows that it
    has seen.

    Args:
        path: The file.
        error: Column of the error.
        axes: Columns of the axes; all others that hold positive numbers alone when left out.
        groups: Columns of labels that shift the error.
        error_se: Column of the error's standard error.

    Raises:
        CurveTableError: The file can't be read, a column is missing, or a cell of one is not a
            positive number.
    """
    try:
        table = read_csv(path.read_bytes())
        rows, copies = _without_copies(list(checked(table.rows)))
        taken = [error, *groups, *([error_se] if error_se else [])]
        for name in (*axes, *taken):
            if name not in table.columns:
                there = ", ".join(table.columns)
                raise TableError(f"no column {name!r}; there are {there}", 1)
        if not rows:
            raise TableError("holds no rows")
        others = [name for name in table.columns if name not in taken]
        left_out = {} if axes else {c: said for c in others if (said := _no_axis(rows, c))}
        found = axes or [c for c in others if c not in left_out]
        if not found:
            raise TableError(_no_axes(taken, left_out))
        return CurveTable(
            axes={name: [_positive(row, name) for row in rows] for name in found},
            error=[_positive(row, error) for row in rows],
            error_se=[_positive(row, error_se) for row in rows] if error_se else None,
            groups={name: [row.cells[name].strip() for row in rows] for name in groups},
            warnings=(
                *table.notes,
                *copies,
                *_alike(rows, [*found, *taken]),
                *(f"column {name} is no axis: {said}" for name, said in left_out.items()),
            ),
        )
    except OSError as problem:
        raise CurveTableError(f"{path}: {problem.strerror}") from None
    except TableError as problem:
        raise CurveTableError(problem.of(path)) from None


def _without_copies(rows: Sequence[Row]) -> tuple[list[Row], tuple[str, ...]]:
    """The rows that repeat none before, and what to say of the others."""
    first: dict[tuple[object, ...], Row] = {}
    copies = []
    for row in rows:
        content = tuple(_plain(cell) for cell in row.cells.values())
        if first.setdefault(content, row) is not row:
            copies.append(row)
    if not copies:
        return list(rows), ()
    more = f" and {len(copies) - _NAMED} more" if len(copies) > _NAMED else ""
    lines = ", ".join(str(row.line) for row in copies[:_NAMED])
    return list(first.values()), (
        f"{len(copies)} of {len(rows)} rows repeat another in every column (line"
        f"{'s' if len(copies) > 1 else ''} {lines}{more}) and were left out: runs that were"
        " repeated differ in some column, such as a seed or a date",
    )


def _alike(rows: Sequence[Row], columns: Sequence[str]) -> Iterator[str]:
    """What to say of rows that differ in nothing that a curve is fitted to."""
    times = Counter(tuple(_plain(row.cells[name]) for name in columns) for row in rows)
    repeated = len(rows) - len(times)
    if repeated:
        yield (
            f"{repeated} of {len(rows)} rows repeat another in {', '.join(columns)}: each counts as"
            " a measurement, so leave out those that are copies"
        )


def _plain(cell: str) -> object:
    try:
        return number_of(cell)
    except ValueError:
        return cell.strip()


def _no_axis(rows: Sequence[Row], column: str) -> str | None:
    """Why a column can't be an axis; None if it can."""
    faults = list(_faults(rows, column))
    if not faults:
        return None
    if len(faults) == len(rows):
        return "it holds no positive number; labels that shift the error are named as a group"
    more = f", and {len(faults) - 1} more cells are no positive numbers" if faults[1:] else ""
    return f"line {faults[0].line}: {faults[0].reason}{more}"


def _no_axes(taken: Sequence[str], left_out: dict[str, str]) -> str:
    said = "".join(f"; {name}: {why}" for name, why in left_out.items())
    return f"no column of positive numbers beside {', '.join(taken)}{said}"


def _faults(rows: Sequence[Row], column: str) -> Iterator[TableError]:
    for row in rows:
        try:
            _positive(row, column)
        except TableError as error:
            yield error


def _positive(row: Row, column: str) -> float:
    """The positive number in a cell.

    Raises:
        TableError: There is none.
    """
    text = row.cells[column]
    try:
        number = number_of(text)
    except ValueError as error:
        raise TableError(str(error), row.line, column) from None
    if number <= 0:
        raise TableError(f"{text!r} is not a positive number", row.line, column)
    return number
