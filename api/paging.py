"""Parameters of lists that come page by page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from litestar.params import QueryParameter

from api.problems import invalid

_Item = TypeVar("_Item")

Cursor = Annotated[
    str, QueryParameter(description="next_cursor of the page before", pattern="^[0-9]{1,9}$")
]
Limit = Annotated[int, QueryParameter(description="At most so many", ge=1, le=500)]
Before = Annotated[
    str | None,
    QueryParameter(description="next_cursor of the page before", pattern="^[0-9A-Za-z-]{1,64}$"),
]


def check(cursor: str | None, find: Callable[[str], object | None]) -> None:
    """Refuses a cursor that no page has given.

    Args:
        cursor: As it was sent, if it was.
        find: What it stands for; none where there is nothing of that id.

    Raises:
        ProblemDetailsException: It stands for nothing.
    """
    if cursor is not None and find(cursor) is None:
        raise invalid("cursor", "is no next_cursor of a page before")


def page(items: Sequence[_Item], cursor: str, limit: int) -> tuple[list[_Item], str | None]:
    """A page of a list that grows at its end only, and the cursor of the next."""
    end = int(cursor) + limit
    return list(items[int(cursor) : end]), str(end) if end < len(items) else None
