"""Formats that measurements come and go in beside JSON, by their media types."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import islice
from typing import Any

from litestar import MediaType, Request
from litestar.concurrency import sync_to_thread
from litestar.datastructures.headers import Accept

from api.problems import invalid, problem
from api.schemas import MOST_ROWS, ImportRequest
from measurements.cells import TableError
from measurements.flat_rows import COLUMNS
from measurements.row_formats import rows_of

JSON = MediaType.JSON.value
JSONL = "application/jsonl"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"

FILES = {JSONL: ".jsonl", CSV: ".csv"} | ({PARQUET: ".parquet"} if find_spec("pyarrow") else {})
"""Ending of a file's name by media type; Parquet where it can be read."""

_SUFFIXES = FILES | dict.fromkeys(("application/x-ndjson", "application/x-jsonlines"), ".jsonl")

TAKEN = (JSON, *_SUFFIXES)
"""Media types of bodies that hold measurements."""


def wanted(accept: Accept) -> str:
    """The media type that a client would rather have measurements in.

    Raises:
        ProblemDetailsException: None of those that it takes can be had.
    """
    found = accept.best_match([JSON, *_SUFFIXES])
    if found is None:
        offered = [JSON, *FILES]
        raise problem(
            406,
            "not-acceptable",
            "No such format",
            f"measurements come as {', '.join(offered)}",
            {"offered": offered},
        )
    return found


def suffix_of(media_type: str) -> str:
    """Ending of a file's name."""
    return _SUFFIXES[media_type]


class RowsRequest(Request[Any, Any, Any]):
    """A request whose body has rows, in JSON or a file's format."""

    async def json(self) -> Any:
        """The body as :class:`ImportRequest` takes it.

        Raises:
            ProblemDetailsException: It is not of its media type, or has too many rows.
        """
        media_type, _ = self.content_type
        if media_type not in _SUFFIXES:
            return await super().json()
        return await sync_to_thread(_rows, await self.body(), suffix_of(media_type))


def _rows(content: bytes, suffix: str) -> ImportRequest:
    try:
        rows: list[Any] = list(islice(rows_of(content, suffix, COLUMNS), MOST_ROWS + 1))
    except TableError as error:
        raise invalid(error.column or "", error.reason, error.line) from None
    except ValueError as error:
        raise invalid("", str(error)) from None
    if not 0 < len(rows) <= MOST_ROWS:
        raise invalid("rows", f"1 to {MOST_ROWS}, not {'more' if rows else 'none'}")
    # As they are: a row that can't be read is named with all others that are wrong.
    return ImportRequest.model_construct(rows=rows)
