"""Revisions of what is known: entity tags of what is read, conditions of what is asked.

Studies inform one another's curves, so that a measurement that is stored for any of them is a
new revision of all. What was installed with the service is a part of it, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Annotated, Any

from litestar import Response
from litestar.datastructures import ResponseHeader
from litestar.enums import MediaType
from litestar.openapi import ResponseSpec
from litestar.params import HeaderParameter
from pydantic import BaseModel

from api.problems import problem

IfNoneMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-None-Match",
        description="ETags of answers that are at hand: 304 where one of them still holds",
        max_length=1000,
    ),
]
IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        description="ETag of the revision that is to be answered from: 412 where new measurements"
        " have come in since",
        max_length=1000,
    ),
]
ETAG = ResponseHeader(
    name="ETag", documentation_only=True, description="Revision of what is known", required=True
)
UNCHANGED = {304: ResponseSpec(None, description="What the client has still holds.")}


def tag_of(revision: int) -> str:
    """The entity tag of what was known then; a strong one."""
    return f'"{_version()}-{revision}"'


def holds(condition: str | None, revision: int) -> bool:
    """Whether a list of entity tags names that of a revision, or any (RFC 9110, section 13.1)."""
    given = {one.strip().removeprefix("W/") for one in (condition or "").split(",")}
    return bool(given & {tag_of(revision), "*"})


def check(condition: str | None, revision: int) -> None:
    """Refuses to answer from another revision than a client's.

    Raises:
        ProblemDetailsException: New measurements came in.
    """
    if condition is not None and not holds(condition, revision):
        tag = tag_of(revision)
        raise problem(
            412,
            "stale-revision",
            "New measurements came in",
            f"the revision is {tag} now, the request's is {condition}",
            {"revision": tag},
        )


def answer(
    content: BaseModel,
    revision: int,
    if_none_match: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response[Any]:
    """An answer and the revision that it was given from; 304 to who has it already."""
    headers = {"ETag": tag_of(revision), **(headers or {})}
    if holds(if_none_match, revision):
        return Response(None, status_code=304, headers=headers, media_type=MediaType.JSON)
    # Written by the model itself: half the time of what the framework takes.
    body = content.model_dump_json().encode()
    return Response(body, media_type=MediaType.JSON, headers=headers)


@cache
def _version() -> str:
    return version("speechplan")
