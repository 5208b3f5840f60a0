"""What files of text hold: lines, cells, numbers; and how it is said where one is wrong."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

MOST_CHARACTERS = 2**17
"""Of a cell."""

_ENCODINGS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""By byte order mark; that of UTF-16 begins the one of UTF-32, so it comes later."""

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
