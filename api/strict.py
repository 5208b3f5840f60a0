"""What requests are refused for: fields, parameters and media types that nobody knows.

Of fields the OpenAPI document says so. Answers may have more of them one day, so theirs are
left open.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any

from litestar import MediaType
from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler
from litestar.openapi.spec import Schema
from litestar.params import QueryParameter
from litestar.plugins.pydantic import PydanticSchemaPlugin
from litestar.typing import FieldDefinition

from api import problems
from api.job_schemas import VerificationRequest
from api.schemas import ImportRequest, PredictionsRequest
from measurements.sweeps.spec import Speech, SweepSpec
from models_registry import Configuration, UnknownNameError
from planner.question import Budget, FrontQuestion, Question
from planner.workload import Workload

_ASKED = frozenset(
    {
        Budget,
        Configuration,
        FrontQuestion,
        ImportRequest,
        PredictionsRequest,
        Question,
        Speech,
        SweepSpec,
        VerificationRequest,
        Workload,
    }
)


TAKES = "takes"
"""Option of a route: the media types of its body, where they are others than JSON."""


class RequestSchemas(PydanticSchemaPlugin):
    """Describes models as the framework does, and those of requests as closed."""

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:
        """The schema of a model or a type."""
        schema = super().to_openapi_schema(field_definition, schema_creator)
        if field_definition.annotation in _ASKED:
            schema.additional_properties = False
        return schema


async def known_parameters(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Refuses a query that an answer would pass over: a name misspelt, or given twice.

    Raises:
        ProblemDetailsException: It has one.
    """
    if not connection.scope["query_string"] or not connection.scope["path"].startswith("/v1/"):
        return
    known = _parameters(handler)
    for name, times in Counter(name for name, _ in connection.query_params.multi_items()).items():
        if name not in known:
            raise problems.invalid(name, str(UnknownNameError("parameter", name, list(known))))
        if times > 1:
            raise problems.invalid(name, f"given {times} times")


async def known_media_type(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Refuses a body that says it is of another format than it would be read as.

    One that says nothing is taken for JSON.

    Raises:
        ProblemDetailsException: It does.
    """
    said = connection.headers.get("content-type")
    if said is None or not connection.scope["path"].startswith("/v1/"):
        return
    field = handler.parsed_data_field
    taken = handler.opt.get(TAKES, (MediaType.JSON.value,))
    media_type = said.partition(";")[0].strip().lower()
    if field is not None and media_type not in taken:
        raise problems.problem(
            415,
            "unsupported-media-type",
            "The body's media type is not taken",
            f"{media_type!r} is not taken: send {', '.join(taken)}",
            {"taken": list(taken)},
        )


@lru_cache(maxsize=256)
def _parameters(handler: BaseRouteHandler) -> tuple[str, ...]:
    fields = handler.parsed_fn_signature.parameters.items()
    return tuple(
        name for name, field in fields if isinstance(field.kwarg_definition, QueryParameter)
    )
