"""Examples of the OpenAPI document: what is asked, and what was answered to it once.

``python -m tests.api.record_examples`` asks anew and writes the answers down; lists are cut to
their first item.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from litestar.openapi.spec import (
    Example,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    Parameter,
    Schema,
)

PLACE = Path(__file__).with_name("examples.json")


class _Null(Enum):
    """A null that the framework writes down; it drops members that are None."""

    null = None


@dataclass
class Documented(Operation):
    """An operation with examples of its parameters, its body and its answer."""

    def __post_init__(self) -> None:
        known = _known()
        for parameter in self.parameters or []:
            if isinstance(parameter, Parameter) and parameter.name in known["parameters"]:
                parameter.example = known["parameters"][parameter.name]
        body = getattr(self.request_body, "content", {})
        _fill(body, known["requests"].get(self.operation_id))
        for status, response in (self.responses or {}).items():
            if status.startswith("2"):
                content = getattr(response, "content", None) or {}
                _fill(content, known["responses"].get(self.operation_id))


@dataclass
class DocumentedFile(Documented):
    """An operation whose answer is written in YAML, too, where that is asked for."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for status, response in (self.responses or {}).items():
            content = getattr(response, "content", None)
            if status.startswith("2") and content:
                content["application/yaml"] = content["application/json"]


@dataclass
class DocumentedTables(Documented):
    """An operation about measurements, which come and go in files, too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        contents = [getattr(self.request_body, "content", None)]
        if not contents[0]:
            contents = [
                getattr(response, "content", None)
                for status, response in (self.responses or {}).items()
                if status.startswith("2")
            ]
        texts = _known()["texts"].get(self.operation_id, {})
        for content in filter(None, contents):
            for media_type in _TABLES:
                binary = None if media_type in texts else OpenAPIFormat.BINARY
                schema = Schema(type=OpenAPIType.STRING, format=binary)
                content[media_type] = OpenAPIMediaType(schema=schema)
                _fill({media_type: content[media_type]}, texts.get(media_type))


_TABLES = ("application/jsonl", "text/csv", "application/vnd.apache.parquet")


def _fill(content: dict[str, OpenAPIMediaType], value: Any) -> None:
    for media_type in content.values():
        if value is not None:
            media_type.examples = {"example": Example(value=_with_nulls(value))}


def _with_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_nulls(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_with_nulls(one) for one in value]
    return _Null.null if value is None else value


@cache
def _known() -> dict[str, Any]:
    known: dict[str, Any] = json.loads(PLACE.read_text(encoding="utf-8"))
    return known
