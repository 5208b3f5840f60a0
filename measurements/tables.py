"""Tables in CSV, read as they are meant or refused with line and column.

Every table that a user hands over is read here: manifests, workloads, measurements from
elsewhere, curves. The grammar is that of RFC 4180 as Python's ``csv`` reads it when strict; the
separator may be a comma, a semicolon or a tab.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from measurements.cells import Row, TableError, check_text, decoded, lines_of

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
"""What may separate the cells of a row, and its name."""

# The module's own limit names neither line nor column; cells are checked here instead.
csv.field_size_limit(2**31 - 1)

_STATED = re.compile(r"sep=([,;\t])(?:\r\n|\r|\n)")
"""The line with which a spreadsheet says what separates the cells."""


@dataclass(frozen=True)
class Table:
    """A table with a header.

    Attributes:
        columns: Names of the columns.
        separator: What separates the cells.
        rows: Its rows, read one by one; an error stands for a row that is wrong.
    """

    columns: tuple[str, ...]
    separator: str
    rows: Iterator[Row | TableError]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of how it was read."""
        if self.separator == ",":
            return ()
        return (f"cells are separated by {SEPARATORS[self.separator]}",)


def read_csv(content: bytes, known: Collection[str] | None = None) -> Table:
    """Reads a table.

    Args:
        content: Of the file.
        known: Names that columns may have; any when left out.

    Raises:
        TableError: It is not UTF-8 (or UTF-16 or UTF-32 with a byte order mark), has no header,
            a column has no name, one that is not known or that of another, or several separators
            would do.
    """
    text = decoded(content)
    stated = _STATED.match(text)
    skipped = 0 if stated is None else 1
    lines = lines_of(text)
    skipped += sum(1 for _ in takewhile(lambda line: not line.strip("\r\n"), lines[skipped:]))
    lines = lines[skipped:]
    if not lines:
        raise TableError("is empty: a header is needed")
    separator = _separator(lines, known, skipped + 1) if stated is None else stated[1]
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        columns = tuple(next(reader))
    except csv.Error:
        raise _broken_row(lines, separator, (), skipped + 1) from None
    _check_columns(columns, known, skipped + 1)
    return Table(columns, separator, _rows(reader, lines, columns, separator, skipped))


def unknown_column(name: str, known: Collection[str]) -> str:
    """What to say of a column that nobody knows."""
    close = difflib.get_close_matches(name.strip().casefold(), known, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"unknown column {name!r}: {hint}known are {', '.join(known)}"


def _separator(lines: Sequence[str], known: Collection[str] | None, line: int) -> str:
    """The only one of the separators that cuts the header into columns."""
    headers: dict[str, list[str]] = {}
    for separator in SEPARATORS:
        with suppress(csv.Error):
            header = next(csv.reader(lines, delimiter=separator, strict=True))
            if len(header) > 1:
                headers[separator] = header
    if len(headers) > 1 and known is not None:
        fitting = {s: header for s, header in headers.items() if set(header) <= set(known)}
        headers = fitting or headers
    if len(headers) > 1:
        found = " and ".join(SEPARATORS[separator] for separator in headers)
        raise TableError(
            f"{found} separate the header: quote the names of columns that hold one of them", line
        )
    return next(iter(headers), ",")


def _check_columns(columns: Sequence[str], known: Collection[str] | None, line: int) -> None:
    for place, name in enumerate(columns, 1):
        check_text(name, line, f"column {place}")
        if not name.strip():
            raise TableError(f"column {place} has no name", line)
        if known is not None and name not in known:
            raise TableError(unknown_column(name, known), line, name)
        if name != name.strip():
            raise TableError("there are blanks around its name", line, repr(name))
    times = Counter(columns)
    for name in columns:
        if times[name] > 1:
            raise TableError(f"the column is there {times[name]} times", line, name)


def _rows(
    reader: Any, lines: Sequence[str], columns: Sequence[str], separator: str, skipped: int
) -> Iterator[Row | TableError]:
    usual = _end(lines[reader.line_num - 1])
    while True:
        first = reader.line_num
        line = skipped + first + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            # What follows may lie inside or outside of quotes: nothing behind it is read.
            yield _broken_row(lines[first:], separator, columns, line)
            return
        end = _end(lines[reader.line_num - 1])
        if end and usual and (end == "\r") != (usual == "\r"):
            said = f"ends in {end!r}, the header in {usual!r}: put line breaks in double quotes"
            yield TableError(said, line, columns[min(len(cells), len(columns)) - 1])
            return
        if not cells or (len(cells) == 1 < len(columns) and not cells[0].strip()):
            continue
        if len(cells) != len(columns):
            yield _miscounted(cells, columns, separator, line)
            continue
        try:
            for name, cell in zip(columns, cells, strict=True):
                check_text(cell, line, name)
        except TableError as error:
            yield error
        else:
            yield Row(line, dict(zip(columns, cells, strict=True)))


def _end(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]


def _miscounted(
    cells: Sequence[str], columns: Sequence[str], separator: str, line: int
) -> TableError:
    said = f"{len(cells)} cells in {len(columns)} columns separated by {SEPARATORS[separator]}"
    if len(cells) < len(columns):
        return TableError(f"{said}: the cell is missing", line, columns[len(cells)])
    said += f": {cells[len(columns)][:40]!r} is beyond the last"
    if separator == ",":
        said += "; put cells that hold a comma in double quotes"
    return TableError(said, line, columns[-1])


def _broken_row(
    lines: Sequence[str], separator: str, columns: Sequence[str], line: int
) -> TableError:
    """What is wrong with the quotes of the row that lines begin with."""
    text = "".join(lines)

    def cells_of(length: int, closed: str = "", *, strict: bool = True) -> list[str]:
        part = io.StringIO(text[:length] + closed, newline="")
        return next(csv.reader(part, delimiter=separator, strict=strict), [])

    def broken(length: int) -> bool:
        for closed in ("", '"'):
            with suppress(csv.Error):
                cells_of(length, closed)
                return False
        return True

    length = bisect_left(range(len(text) + 1), True, key=broken)
    place = len(cells_of(length - 1, strict=False))
    column = columns[place - 1] if 0 < place <= len(columns) else f"column {place}"
    if length > len(text):
        return TableError("the quote that opens the cell is not closed", line, column)
    found = text[length - 1 : length + 19]
    return TableError(
        f"{found!r} behind the closing quote of the cell; quotes inside a cell are doubled",
        line,
        column,
    )
