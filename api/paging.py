"""Parameters of lists that come page by page."""

from __future__ import annotations

from typing import Annotated

from litestar.params import QueryParameter

Cursor = Annotated[
    str, QueryParameter(description="next_cursor of the page before", pattern="^[0-9]{1,9}$")
]
Limit = Annotated[int, QueryParameter(description="At most so many", ge=1, le=500)]
Before = Annotated[
    str | None,
    QueryParameter(description="next_cursor of the page before", pattern="^[0-9A-Za-z-]{1,64}$"),
]
