"""A request as its operation's signature describes it, and what is made of the response."""

from __future__ import annotations

import inspect
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import quote

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from api.client.errors import ClientError, ProblemError, UnexpectedAnswerError, error_of
from api.schemas import Problem

Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)

KEY_HEADER = "Idempotency-Key"

_PASSING = frozenset({429, 502, 503, 504})
"""Statuses of what may be over soon."""


@dataclass(frozen=True)
class Header:
    """Marks a parameter that is sent as a header.

    Attributes:
        name: The header's name.
    """

    name: str


@dataclass(frozen=True)
class Call(Generic[Result_co]):
    """One request that is ready to be sent, any number of times.

    Attributes:
        method: HTTP method.
        path: Its path, parameters filled in.
        query: Query parameters, those left out being absent.
        headers: Headers of its own.
        body: The body, a file's content or a document; none where there is none.
        result: What the response's body is read as.
        kept: Whether the answer is kept, to be asked whether it still holds.
        wait_s: How long the service was asked to wait before it answers.
        file: Whether the answer's body is returned as it comes.
    """

    method: str
    path: str
    result: TypeAdapter[Result_co]
    kept: bool = False
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: BaseModel | bytes | None = None
    wait_s: float = 0.0
    file: bool = False

    def request(self, http: httpx.Client | httpx.AsyncClient, timeout_s: float) -> httpx.Request:
        """As httpx sends it."""
        content: str | bytes | None = None
        headers = dict(self.headers)
        if isinstance(self.body, bytes):
            content = self.body
        elif self.body is not None:
            content = self.body.model_dump_json(exclude_defaults=True)
            headers["Content-Type"] = "application/json"
        return http.build_request(
            self.method,
            self.path,
            params=self.query,
            headers=headers,
            content=content,
            timeout=timeout_s + self.wait_s,
        )

    def read(self, response: httpx.Response) -> Any:
        """What the service answered.

        Raises:
            ProblemError: A problem.
            UnexpectedAnswerError: Something that is not of the expected shape.
        """
        if not response.is_success:
            raise problem_of(response)
        if self.file:
            return response.content
        media_type = response.headers.get("content-type", "")
        return self.parsed(
            json.dumps(response.text) if media_type.startswith("text/") else response.content
        )

    def parsed(self, content: bytes | str) -> Result_co:
        """A document of the response; what a later version adds to it is let be.

        Raises:
            UnexpectedAnswerError: It is of another shape.
        """
        try:
            return self.result.validate_json(content, extra="ignore")
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the body"
            raise UnexpectedAnswerError(
                f"{self.method} {self.path}: {where}: {first['msg']}"
            ) from None

    def at(self, cursor: str) -> Call[Result_co]:
        """The same for a later page."""
        return replace(self, query={**self.query, "cursor": cursor})


def may_pass(error: BaseException) -> bool:
    """Whether what went wrong may be over soon.

    Every call may be sent again: what begins work carries a key that makes one of many, and
    what stores measurements names them by their content.
    """
    if isinstance(error, ProblemError):
        return error.status in _PASSING
    return isinstance(error, httpx.TransportError)


def problem_of(response: httpx.Response) -> ClientError:
    """The exception for a response that is no success."""
    retry_after_s = _retry_after_s(response.headers.get("retry-after"))
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        # A proxy's own page, perhaps.
        said = response.reason_phrase or "Error"
        problem = Problem(
            title=said, status=response.status_code, detail=f"{response.status_code} {said}"
        )
    return error_of(problem, retry_after_s)


def _retry_after_s(said: str | None) -> float | None:
    """Seconds of a ``Retry-After`` header, which is a number or a date."""
    if said is None:
        return None
    try:
        return max(float(said), 0.0)
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(said)
    except ValueError:
        return None
    return max((when - datetime.now(UTC)).total_seconds(), 0.0)


@dataclass(frozen=True)
class Route(Generic[Result]):
    """An operation of the service: the signature of a method is its description.

    Parameters named in the path go there, one that is a pydantic model is the body, those
    marked with :class:`Header` are headers, and all others belong to the query.

    Attributes:
        described: A function with that signature, ``self`` first.
        method: HTTP method.
        path: Template of the path.
        kept: Whether the last answer is kept, to be asked whether it still holds.
    """

    described: Callable[..., Result]
    method: str
    path: str
    kept: bool = False

    @cached_property
    def signature(self) -> inspect.Signature:
        """The method's, without ``self`` and with its types as such."""
        hints = get_type_hints(self.described, include_extras=True)
        _, *parameters = inspect.signature(self.described).parameters.values()
        return inspect.Signature(
            [one.replace(annotation=hints[one.name]) for one in parameters],
            return_annotation=hints["return"],
        )

    @cached_property
    def headers(self) -> dict[str, str]:
        """Name of the header by parameter."""
        return {
            name: mark.name
            for name, one in self.signature.parameters.items()
            if get_origin(one.annotation) is Annotated
            for mark in get_args(one.annotation)[1:]
            if isinstance(mark, Header)
        }

    @cached_property
    def body(self) -> str | None:
        """The parameter that is the body."""
        found = (
            name
            for name, one in self.signature.parameters.items()
            if isinstance(one.annotation, type) and issubclass(one.annotation, BaseModel)
        )
        return next(found, None)

    @cached_property
    def _result(self) -> TypeAdapter[Result]:
        return TypeAdapter(self.signature.return_annotation)

    def call(self, *arguments: Any, **named: Any) -> Call[Result]:
        """The request for some arguments.

        Raises:
            TypeError: They are not the operation's.
        """
        bound = self.signature.bind(*arguments, **named)
        bound.apply_defaults()
        given = dict(bound.arguments)
        wait_s = float(given.get("wait_s") or 0)
        body = given.pop(self.body) if self.body else None
        headers = {name: given.pop(parameter) for parameter, name in self.headers.items()}
        if KEY_HEADER in headers:
            headers[KEY_HEADER] = headers[KEY_HEADER] or str(uuid.uuid4())
        places = {name: given.pop(name) for name in list(given) if f"{{{name}}}" in self.path}
        return Call(
            method=self.method,
            path=self.path.format_map({k: quote(str(v), safe="") for k, v in places.items()}),
            result=self._result,
            kept=self.kept,
            query={k: _text(v) for k, v in given.items() if v is not None},
            headers={k: v for k, v in headers.items() if v is not None},
            body=body,
            wait_s=wait_s,
        )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
