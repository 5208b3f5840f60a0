"""RFC 9457 problem details for everything that can go wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Example
from litestar.plugins.problem_details import (
    ProblemDetailsConfig,
    ProblemDetailsException,
    ProblemDetailsPlugin,
)
from pydantic import ValidationError
from sqlalchemy.exc import DataError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from api.schemas import Problem
from measurements.datasets import DatasetError
from measurements.exchange import RowsError
from measurements.logs import get_logger
from measurements.store import StoreError
from measurements.store.engine import is_busy, is_full
from measurements.sweeps.spec import SweepError
from models_registry import UnknownNameError, WeightsError
from models_registry.adapters import AdapterError
from planner.errors import (
    InsufficientDataError,
    InvalidConfigurationsError,
    NoFeasibleConfigurationError,
    PlannerError,
)

_log = get_logger("api")

TYPE_PREFIX = "https://speechplan.dev/problems/"

RETRY_AFTER_S = 2
"""When to ask again that could not reach its database."""


def problem(
    status: int, code: str, title: str, detail: str, extra: dict[str, Any] | None = None
) -> ProblemDetailsException:
    """A problem ready to be raised."""
    return ProblemDetailsException(
        detail=detail,
        status_code=status,
        extra=extra,
        type_=TYPE_PREFIX + code,
        title=title,
    )


def invalid(field: str, message: str, line: int | None = None) -> ProblemDetailsException:
    """A request with a field, a parameter or a line of its body that is not valid."""
    error: dict[str, Any] = {"field": field, "message": message}
    detail = _said(error)
    if line is not None:
        error["line"], detail = line, f"line {line}: {detail}"
    return problem(400, *_NAMES[400], detail, {"errors": [error]})


def not_found(what: str, identifier: str) -> ProblemDetailsException:
    """A resource that is not there."""
    return problem(404, "not-found", "Not found", f"there is no {what} {identifier!r}")


@contextmanager
def named_in_path(kind: str) -> Iterator[None]:
    """Where the path names a model, a device or a study.

    Raises:
        ProblemDetailsException: There is none of that name; with those that are like it.
    """
    try:
        yield
    except UnknownNameError as error:
        if error.kind != kind:
            raise
        raise problem(404, *_NAMES[404], str(error), _named(error)) from None


PLANNER_TITLES = {
    NoFeasibleConfigurationError.code: "No feasible configuration",
    InsufficientDataError.code: "Too little data",
    "nothing-to-verify": "Nothing to verify",
}


def _from_planner(error: PlannerError) -> ProblemDetailsException:
    title = PLANNER_TITLES.get(error.code, "The question can't be answered")
    return problem(422, error.code, title, str(error), error.details)


def _from_configurations(error: InvalidConfigurationsError) -> ProblemDetailsException:
    return problem(400, *_NAMES[400], str(error), error.details)


def _from_unknown_name(error: UnknownNameError) -> ProblemDetailsException:
    return problem(
        422,
        "unknown-name",
        f"Unknown {error.kind}",
        str(error),
        _named(error),
    )


def _named(error: UnknownNameError) -> dict[str, Any]:
    return {"kind": error.kind, "name": error.name, "suggestions": error.suggestions}


def _from_validation(error: ValidationException) -> ProblemDetailsException:
    extra = error.extra if isinstance(error.extra, list) else []
    errors = [_field_error(item) for item in extra if isinstance(item, dict)]
    detail = "; ".join(_said(item) for item in errors) or error.detail
    return problem(400, "invalid-request", "The request is not valid", detail, {"errors": errors})


def _from_pydantic(error: ValidationError) -> ProblemDetailsException:
    errors = [
        {"field": ".".join(map(str, item["loc"])), "message": item["msg"]}
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    detail = "; ".join(_said(item) for item in errors)
    return problem(400, "invalid-request", "The request is not valid", detail, {"errors": errors})


def _field_error(item: dict[str, Any]) -> dict[str, str]:
    return {
        "field": str(item.get("key", "")),
        "message": str(item.get("message", "not valid")),
    }


def _said(item: dict[str, str]) -> str:
    return f"{item['field']}: {item['message']}" if item["field"] else item["message"]


def _from_dataset(error: DatasetError) -> ProblemDetailsException:
    return problem(422, "dataset", "The data set can't be used", str(error))


def _from_rows(error: RowsError) -> ProblemDetailsException:
    errors = [
        {name: said for name, said in asdict(wrong).items() if said is not None}
        for wrong in error.errors[:100]
    ]
    return problem(
        422, "rows", "Rows are no measurements; none was stored", str(error), {"errors": errors}
    )


def _from_sweep(error: SweepError) -> ProblemDetailsException:
    return problem(422, "sweep", "The sweep can't be begun", str(error))


def _from_weights(error: WeightsError) -> ProblemDetailsException:
    return problem(422, "weights", "The weights can't be had", str(error))


def _from_adapter(error: AdapterError) -> ProblemDetailsException:
    return problem(422, "adapter", "The adapter can't be had", str(error))


def _from_store(error: StoreError) -> ProblemDetailsException:
    found = problem(503, *_NAMES[503], str(error))
    found.headers = {"Retry-After": str(RETRY_AFTER_S)}
    return found


def _from_database(error: SQLAlchemyError) -> ProblemDetailsException:
    _log.error("database_unavailable", error=str(error))
    if is_full(error):
        detail = "the database's disk is full: nothing was stored; make room and ask again"
        return problem(507, "disk-full", _NAMES[507][1], detail)
    if isinstance(error, DataError):
        detail = "it holds a character that the database has not, such as NUL"
        return problem(400, *_NAMES[400], detail)
    code, title = _NAMES[503]
    if is_busy(error) or isinstance(error, PoolTimeoutError):
        code, title = "store-busy", "The store is busy"
        detail = "somebody else has locked the database; ask again"
    else:
        detail = "the database does not answer; try again later"
    found = problem(503, code, title, detail)
    found.headers = {"Retry-After": str(RETRY_AFTER_S)}
    return found


def _from_anything(error: Exception) -> ProblemDetailsException:
    _log.error("unexpected_error", exc_info=error)
    detail = "the service made a mistake; its log says which"
    return problem(500, "internal", "Internal error", detail)


_NAMES = {
    400: ("invalid-request", "The request is not valid"),
    401: ("unauthorised", "A key is needed"),
    403: ("forbidden", "The key does not reach that far"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "Method not allowed"),
    406: ("not-acceptable", "No such format"),
    409: ("conflict", "That is over already"),
    412: ("stale-revision", "New measurements came in"),
    413: ("body-too-large", "The body is too large"),
    415: ("unsupported-media-type", "The body's media type is not taken"),
    429: ("too-many-requests", "Too many requests"),
    503: ("store-unavailable", "The store can't be reached"),
    507: ("disk-full", "The disk is full"),
}


def _from_http(error: HTTPException) -> ProblemDetailsException:
    code, title = _NAMES.get(error.status_code, ("error", "Error"))
    converted = problem(error.status_code, code, title, error.detail or title)
    converted.headers = error.headers
    return converted


CONVERTERS: dict[type[Exception], Callable[[Any], ProblemDetailsException]] = {
    HTTPException: _from_http,
    ValidationException: _from_validation,
    ValidationError: _from_pydantic,
    PlannerError: _from_planner,
    InvalidConfigurationsError: _from_configurations,
    UnknownNameError: _from_unknown_name,
    DatasetError: _from_dataset,
    RowsError: _from_rows,
    SweepError: _from_sweep,
    WeightsError: _from_weights,
    AdapterError: _from_adapter,
    StoreError: _from_store,
    SQLAlchemyError: _from_database,
    Exception: _from_anything,
}
"""What becomes of each kind of error."""


def of(error: Exception) -> ProblemDetailsException:
    """The problem that an error is told as."""
    if isinstance(error, ProblemDetailsException):
        return error
    return next(CONVERTERS[kind](error) for kind in type(error).__mro__ if kind in CONVERTERS)


def plugin() -> ProblemDetailsPlugin:
    """Turns every known exception into a problem."""
    return ProblemDetailsPlugin(
        ProblemDetailsConfig(exception_to_problem_detail_map=dict(CONVERTERS))
    )


_DESCRIPTIONS = {
    400: "The request is not valid: the fields that are wrong are named.",
    401: "The service was started with a key and the request does not carry it.",
    403: "The request's key is of another scope, or another site's page has sent it.",
    404: "There is no such resource.",
    409: "It has ended already, or a request with the same idempotency key is under way.",
    406: "It can't be had in a format that Accept names: those that it can are named.",
    413: "The body is too large.",
    415: "The body's media type is not taken: those that are are named.",
    422: (
        "The request is valid but has no answer: no feasible configuration, too little data,"
        " an unknown name (with suggestions), a data set, an adapter or weights that can't be"
        " used; or its idempotency key has begun other work."
    ),
    412: "New measurements came in since the revision that If-Match names.",
    429: "Too many requests: Retry-After says in how many seconds there is room again.",
    503: "The store can't be reached, or somebody has locked it: Retry-After says when to ask.",
    507: "The store's disk is full: nothing was stored.",
}


def responses(*statuses: int, guarded: bool = True) -> dict[int, ResponseSpec]:
    """Documentation of the problems that a route answers with.

    Args:
        statuses: Its own.
        guarded: Whether it may need a key and counts for limits.
    """
    shown = (401, 403, *statuses, 429) if guarded else statuses
    return {
        status: ResponseSpec(
            data_container=Problem,
            description=_DESCRIPTIONS[status],
            media_type="application/problem+json",
            examples=[Example(value=_example(status))],
        )
        for status in shown
    }


def _example(status: int) -> dict[str, Any]:
    if status == 422:
        code, title = NoFeasibleConfigurationError.code, "No feasible configuration"
        detail = "no configuration holds 1 GFLOPs"
    else:
        code, title = _NAMES.get(status, ("store-unavailable", "The store can't be reached"))
        detail = _DESCRIPTIONS[status]
    return {"type": TYPE_PREFIX + code, "title": title, "status": status, "detail": detail}
