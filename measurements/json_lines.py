"""JSON as users hand it over: a value a line, or a list of them; strictly read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn

from measurements.cells import Row, TableError, check_text, decoded, lines_of

_BLANKS = " \t\r\n"


def read_json_lines(content: bytes) -> Iterator[Row | TableError]:
    """Reads objects, each in a line of its own or all of them in one list.

    Args:
        content: Of the file.

    Yields:
        A row for each object; an error stands for what is none, and ends a list.

    Raises:
        TableError: It is not UTF-8, nor UTF-16 or UTF-32 with a byte order mark.
    """
    text = decoded(content)
    if text.lstrip(_BLANKS).startswith("["):
        yield from _of_list(text)
        return
    for line, found in enumerate(lines_of(text), 1):
        if found.strip(_BLANKS):
            try:
                yield _row(json_value(found, line), line)
            except TableError as error:
                yield error


def json_value(text: str, line: int = 1) -> Any:
    """A JSON value, of finite numbers and without keys that occur twice.

    Args:
        text: The value.
        line: Line of the file that it begins in.

    Raises:
        TableError: It is none.
    """
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise _fault(error, line, line) from None


def _of_list(text: str) -> Iterator[Row | TableError]:
    begin = text.index("[") + 1
    line, seen, place, comma = 1, 0, _after(text, begin), False
    while text[place : place + 1] != "]":
        if comma and text[place : place + 1] != ",":
            yield TableError("not JSON: neither a comma nor the end of the list follows", line)
            return
        place = _after(text, place + comma)
        line, seen = line + text.count("\n", seen, place), place
        try:
            value, place = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            yield _fault(error, line, 1)
            return
        try:
            yield _row(value, line)
        except TableError as error:
            yield error
        place, comma = _after(text, place), True
    if text[place + 1 :].strip(_BLANKS):
        yield TableError("not JSON: something follows the list")


def _after(text: str, place: int) -> int:
    while text[place : place + 1] and text[place] in _BLANKS:
        place += 1
    return place


def _row(value: object, line: int) -> Row:
    if not isinstance(value, dict):
        raise TableError("not a JSON object", line)
    for name, cell in value.items():
        check_text(name, line, "key")
        _check(cell, line, name)
    return Row(line, value)


def _check(value: object, line: int, column: str) -> None:
    if isinstance(value, str):
        check_text(value, line, column)
    elif isinstance(value, dict):
        for name, one in value.items():
            check_text(name, line, column)
            _check(one, line, column)
    elif isinstance(value, list):
        for one in value:
            if not isinstance(one, int | float):
                _check(one, line, column)


def _fault(error: ValueError | RecursionError, line: int, begin: int) -> TableError:
    """What is wrong with a value.

    Args:
        error: What the decoder says.
        line: Line of the file that the value begins in.
        begin: The one that the text begins in which was decoded.
    """
    if isinstance(error, TableError):
        return TableError(error.reason, line, error.column)
    if isinstance(error, json.JSONDecodeError):
        where = begin + error.lineno - 1
        return TableError(f"not JSON: {error.msg} at character {error.colno}", where)
    return TableError(f"not JSON: {error}", line)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise TableError("the key is there twice", column=name)
        found[name] = value
    return found


def _no_number(name: str) -> NoReturn:
    raise TableError(f"{name} is no number of JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_number)
