"""Figures as people print them: in fractions or percent, with a standard error or an interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from statistics import NormalDist
from typing import Literal, get_args

from measurements.cells import number_of

Unit = Literal["fraction", "percent"]

UNITS: tuple[Unit, ...] = get_args(Unit)

WRITTEN: Unit = "fraction"
"""Unit of every table that is written here."""

COLUMNS = ("wer", "ua", "se", "lower", "upper")
"""Of a row, all in one unit."""

ASK = (
    "fractions or percent? Figures of 1 and more may be either: say which in a column unit, or of"
    " all rows (--unit on the command line, ?unit= over HTTP)"
)
"""What is asked of rows that :func:`default_unit` finds none for."""

_MOST_WER = 5
"""As a fraction: above 500 % it is asked whether a percentage was meant."""

_NARROWER, _WIDER = 1.2, 1.5
"""By these factors an interval may be narrower or wider than its standard error makes it on a
normal distribution: bootstraps differ a little, t quantiles of five speakers widen it by 1.42."""


class FigureError(ValueError):
    """A figure that is none, or that others of its row contradict.

    Attributes:
        column: Which one.
    """

    def __init__(self, message: str, column: str) -> None:
        super().__init__(message)
        self.column = column


@dataclass(frozen=True)
class Figures:
    """The figures of a row, as fractions.

    Attributes:
        values: By column, of those that it has.
        step: Of the last decimal place that any is written with.
    """

    values: Mapping[str, float]
    step: float


def unit_of(said: object, declared: Unit | None) -> Unit | None:
    """The unit of a row; none where nothing says it.

    Args:
        said: What its own column says, if anything.
        declared: What is said of all rows.

    Raises:
        FigureError: It is none, or the two are not the same.
    """
    if said is None:
        return declared
    found = next((unit for unit in UNITS if unit == said), None)
    if found is None:
        raise FigureError(f"{said!r} is none of {', '.join(UNITS)}", "unit")
    if declared not in (None, found):
        raise FigureError(f"{said} here, {declared} was said of all rows", "unit")
    return found


def default_unit(rows: Iterable[Mapping[str, object]]) -> Unit | None:
    """The unit of rows that name none: fractions, unless a figure of theirs may be in percent.

    Args:
        rows: All rows that name no unit.

    Returns:
        None if one has a figure of 1 or more, which is 100 % or more, or 1 % or more.
    """
    for row in rows:
        for column in COLUMNS:
            with suppress(FigureError):
                if column in row and _decimal(row[column], column) >= 1:
                    return None
    return WRITTEN


def figures_of(cells: Mapping[str, object], unit: Unit) -> Figures:
    """The figures of a row.

    Args:
        cells: The row.
        unit: Of all of them.

    Raises:
        FigureError: One is no number, or none that there can be.
    """
    scale = 2 if unit == "percent" else 0
    values, places = {}, 0
    for column in COLUMNS:
        if column in cells:
            number = _decimal(cells[column], column).scaleb(-scale)
            places = max(places, -int(number.as_tuple().exponent))
            values[column] = float(number)
    _check_range(values, unit)
    return Figures(values, 10.0**-places)


def check_agreement(figures: Figures, value: float, level: float | None) -> None:
    """Refuses a standard error and an interval that can't both be of one figure.

    Args:
        figures: Of the row.
        value: The metric, a fraction.
        level: Probability of the interval.

    Raises:
        FigureError: They contradict each other by more than they were rounded, or the interval
            lacks an end or its level.
    """
    found = {c: figures.values[c] for c in ("lower", "upper") if c in figures.values}
    for column in ("lower", "upper"):
        if column not in found and (found or level is not None):
            raise FigureError("is missing: an interval has lower, upper and level", column)
    if not found:
        return
    if level is None:
        raise FigureError("is missing: an interval has lower, upper and level", "level")
    lower, upper = found["lower"], found["upper"]
    for column, wrong in (("lower", lower > value), ("upper", upper < value)):
        if wrong:
            beyond = "above" if column == "lower" else "below"
            raise FigureError(f"{found[column]:g} is {beyond} the value {value:g}", column)
    if lower == upper:
        raise FigureError("an interval of no width: leave it out if it is not known", "upper")
    se = figures.values.get("se")
    if se is None:
        return
    widths = NormalDist().inv_cdf((1 + level) / 2)
    implied, rounding = (upper - lower) / 2 / widths, figures.step / 2 * (1 + 1 / widths)
    if not implied / _WIDER - rounding <= se <= implied * _NARROWER + rounding:
        raise FigureError(
            f"{se:g}, but {lower:g} to {upper:g} at level {level:g} is of one of {implied:.3g}:"
            " leave out what is not meant",
            "se",
        )


def _decimal(cell: object, column: str) -> Decimal:
    """A number without what binary fractions add to it, so that 4.66 % is 0.0466."""
    try:
        if isinstance(cell, str):
            number_of(cell)
            return Decimal(cell.strip())
    except ValueError as error:
        raise FigureError(str(error), column) from None
    if isinstance(cell, bool) or not isinstance(cell, int | float) or not isfinite(cell):
        raise FigureError(f"{cell!r} is no number", column)
    return Decimal(repr(cell))


def _check_range(values: Mapping[str, float], unit: Unit) -> None:
    for column, value in values.items():
        if value < 0:
            raise FigureError("is below 0", column)
        if column == "se" and value == 0:
            raise FigureError("is 0: leave it out if it is not known", column)
        if column == "ua" and value > 1:
            raise FigureError(f"{100 * value:g} % is above 100 %", column)
        if column == "wer" and unit == "fraction" and value > _MOST_WER:
            raise FigureError(
                f"{value:g} is {100 * value:g} %: if it is meant, write it in percent; if {value:g}"
                " % is meant, its unit is percent",
                column,
            )
