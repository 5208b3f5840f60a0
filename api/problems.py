"""RFC 9457 problem details for everything that can go wrong."""

from __future__ import annotations

import logging
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
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from measurements.datasets import DatasetError
from measurements.exchange import RowsError
from measurements.store import StoreError
from measurements.sweeps.spec import SweepError
from models_registry import UnknownNameError, WeightsError
from planner.errors import (
    InsufficientDataError,
    NoFeasibleConfigurationError,
    PlannerError,
)

_log = logging.getLogger("speechplan.api")

TYPE_PREFIX = "https://speechplan.dev/problems/"


class Problem(BaseModel):
    """A problem as RFC 9457 describes it; further members depend on its type.

    Attributes:
        type: Identifies the kind of problem.
        title: The kind in words.
        status: The HTTP status.
        detail: What is wrong with this request.
    """

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str


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


def not_found(what: str, identifier: str) -> ProblemDetailsException:
    """A resource that is not there."""
    return problem(404, "not-found", "Not found", f"there is no {what} {identifier!r}")


PLANNER_TITLES = {
    NoFeasibleConfigurationError.code: "No feasible configuration",
    InsufficientDataError.code: "Too little data",
    "nothing-to-verify": "Nothing to verify",
}


def _from_planner(error: PlannerError) -> ProblemDetailsException:
    title = PLANNER_TITLES.get(error.code, "The question can't be answered")
    return problem(422, error.code, title, str(error), error.details)


def _from_unknown_name(error: UnknownNameError) -> ProblemDetailsException:
    return problem(
        422,
        "unknown-name",
        f"Unknown {error.kind}",
        str(error),
        {"kind": error.kind, "name": error.name, "suggestions": error.suggestions},
    )


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
    errors = [asdict(wrong) for wrong in error.errors[:100]]
    return problem(
        422, "rows", "Rows are no measurements; none was stored", str(error), {"errors": errors}
    )


def _from_sweep(error: SweepError) -> ProblemDetailsException:
    return problem(422, "sweep", "The sweep can't be begun", str(error))


def _from_weights(error: WeightsError) -> ProblemDetailsException:
    return problem(422, "weights", "The weights can't be had", str(error))


def _from_store(error: StoreError) -> ProblemDetailsException:
    return problem(503, "store-unavailable", "The store can't be reached", str(error))


def _from_database(error: SQLAlchemyError) -> ProblemDetailsException:
    _log.error("database: %s", error)
    detail = "the database does not answer; try again later"
    return problem(503, "store-unavailable", "The store can't be reached", detail)


def _from_anything(error: Exception) -> ProblemDetailsException:
    _log.exception("unexpected error", exc_info=error)
    detail = "the service made a mistake; its log says which"
    return problem(500, "internal", "Internal error", detail)


_NAMES = {
    400: ("invalid-request", "The request is not valid"),
    401: ("unauthorised", "A key is needed"),
    403: ("forbidden", "The key does not reach that far"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "Method not allowed"),
    409: ("conflict", "That is over already"),
    413: ("body-too-large", "The body is too large"),
}


def _from_http(error: HTTPException) -> ProblemDetailsException:
    code, title = _NAMES.get(error.status_code, ("error", "Error"))
    converted = problem(error.status_code, code, title, error.detail or title)
    converted.headers = error.headers
    return converted


def plugin() -> ProblemDetailsPlugin:
    """Turns every known exception into a problem."""
    return ProblemDetailsPlugin(
        ProblemDetailsConfig(
            exception_to_problem_detail_map={
                HTTPException: _from_http,
                ValidationException: _from_validation,
                ValidationError: _from_pydantic,
                PlannerError: _from_planner,
                UnknownNameError: _from_unknown_name,
                DatasetError: _from_dataset,
                RowsError: _from_rows,
                SweepError: _from_sweep,
                WeightsError: _from_weights,
                StoreError: _from_store,
                SQLAlchemyError: _from_database,
                Exception: _from_anything,
            }
        )
    )


_DESCRIPTIONS = {
    400: "The request is not valid: the fields that are wrong are named.",
    401: "The service was started with a key and the request does not carry it.",
    403: "The request's key is of another scope.",
    404: "There is no such resource.",
    409: "It has ended already, so that nothing is left to cancel.",
    413: "The body is too large.",
    422: (
        "The request is valid but has no answer: no feasible configuration, too little data,"
        " an unknown name (with suggestions), a data set or weights that can't be used."
    ),
    503: "The store can't be reached.",
}


def responses(*statuses: int) -> dict[int, ResponseSpec]:
    """Documentation of the problems that a route answers with."""
    return {
        status: ResponseSpec(
            data_container=Problem,
            description=_DESCRIPTIONS[status],
            media_type="application/problem+json",
            examples=[Example(value=_example(status))],
        )
        for status in (401, 403, *statuses)
    }


def _example(status: int) -> dict[str, Any]:
    if status == 422:
        code, title = NoFeasibleConfigurationError.code, "No feasible configuration"
        detail = "no configuration holds 1 GFLOPs"
    else:
        code, title = _NAMES.get(status, ("store-unavailable", "The store can't be reached"))
        detail = _DESCRIPTIONS[status]
    return {"type": TYPE_PREFIX + code, "title": title, "status": status, "detail": detail}
