"""Says in the OpenAPI document what requests refuse: fields that nobody knows.

Answers may have more fields one day, so theirs are left open.
"""

from __future__ import annotations

from typing import Any

from litestar.openapi.spec import Schema
from litestar.plugins.pydantic import PydanticSchemaPlugin
from litestar.typing import FieldDefinition

from api.job_schemas import VerificationRequest
from api.schemas import ImportRequest, PredictionsRequest
from measurements.sweeps.spec import Speech, SweepSpec
from models_registry import Configuration
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


class RequestSchemas(PydanticSchemaPlugin):
    """Describes models as the framework does, and those of requests as closed."""

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:
        """The schema of a model or a type."""
        schema = super().to_openapi_schema(field_definition, schema_creator)
        if field_definition.annotation in _ASKED:
            schema.additional_properties = False
        return schema
