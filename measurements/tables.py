"""Tables in CSV, read as they are meant or refused with line and column.

Every table that a user hands over is read here: manifests, workloads, measurements from
elsewhere, curves. The grammar is that of RFC 4180 as Python's ``csv`` reads it when strict; the
separator may be a comma, a semicolon or a tab.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from math import isfinite
from typing import Any

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
"""What may separate the cells of a row, and its name."""

MOST_CHARACTERS = 2**17
"""Of a cell."""

# The module's own limit names neither line nor column; cells are checked here instead.
csv.field_size_limit(2**31 - 1)

_ENCODINGS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""By byte order mark; that of UTF-16 begins the one of UTF-32, so it comes later."""

_STATED = re.compile(r"sep=([,;\t])(?:\r\n|\r|\n)")
"""The line with which a spreadsheet says what separates the cells."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)

_HALF = re.compile("[\ud800-\udfff]")


class TableError(ValueError):
    """A table, or a row of it, that can't be read.

    Attributes:
        reason: What is wrong.
        line: In which line of the file, from 1; none if it is about all of it.
        column: In which column, by its name where it has one.
    """

    def __init__(self, reason: str, line: int | None = None, column: str | None = None) -> None:
        self.reason = reason
        self.line = line
        self.column = column
        super().__init__(str(self))

    def __str__(self) -> str:
        line = None if self.line is None else f"line {self.line}"
        place = ", ".join(filter(None, [line, self.column]))
        return f"{place}: {self.reason}" if place else self.reason

    def of(self, file: object) -> str:
        """What is wrong, behind the file's name and the line."""
        place = f"{file}" if self.line is None else f"{file}:{self.line}"
        return ": ".join(filter(None, [place, self.column, self.reason]))


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        line: Line of the file that it begins in, from 1.
        cells: Its cells by column: text, or any value of JSON.
    """

    line: int
    cells: Mapping[str, Any]


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


def checked(rows: Iterable[Row | TableError]) -> Iterator[Row]:
    """The rows of a table.

    Raises:
        TableError: One is wrong.
    """
    for row in rows:
        if isinstance(row, TableError):
            raise row
        yield row


def decoded(content: bytes) -> str:
    """Text of a file, without a byte order mark.

    Raises:
        TableError: It is not UTF-8, nor UTF-16 or UTF-32 with a byte order mark.
    """
    mark = next(filter(content.startswith, _ENCODINGS), b"")
    encoding = _ENCODINGS.get(mark, "utf-8")
    try:
        return content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = len(lines_of(error.object[: error.start].decode(encoding, "ignore") + "x"))
        said = "save it as UTF-8" if encoding == "utf-8" else "it is damaged"
        raise TableError(f"not {encoding.upper()}: {error.reason}; {said}", line) from None


def lines_of(text: str) -> list[str]:
    """Lines with their ends, which are LF, CR LF or CR and no other character."""
    return list(io.StringIO(text, newline=""))


def number_of(text: str) -> float:
    """The number that a cell holds.

    Raises:
        ValueError: It is none, is not finite, or is written with a decimal comma.
    """
    stripped = text.strip()
    if _NUMBER.fullmatch(stripped):
        if not isfinite(number := float(stripped)):
            raise ValueError(f"{text!r} is too large a number")
        return number
    if _NUMBER.fullmatch(stripped.replace(",", ".", 1)):
        raise ValueError(f"{text!r} is no number: is {stripped.replace(',', '.')} meant?")
    raise ValueError(f"{text!r} is no number" if stripped else "is empty")


def check_text(text: str, line: int, column: str) -> None:
    """Refuses text that no cell may hold.

    Raises:
        TableError: It is too long, or holds NUL or half of a character.
    """
    if "\0" in text:
        raise TableError("holds the character NUL: save the file as UTF-8", line, column)
    if not text.isascii() and _HALF.search(text):
        raise TableError("holds half of a surrogate pair, which is no character", line, column)
    if len(text) > MOST_CHARACTERS:
        said = f"{len(text)} characters: at most {MOST_CHARACTERS} are read"
        raise TableError(said, line, column)


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
