"""Answers as files to download: plans that run, fragments of model cards, measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from litestar import MediaType, Response
from litestar.datastructures.headers import Accept

from api.exporting import Export
from api.formats import suffix_of
from api.model_card import CardError, model_card
from api.problems import problem
from api.revisions import holds, tag_of
from measurements.exchange import content_of
from measurements.records import Measurement
from models_registry.plans import plan_text

VARIES = {"Vary": "Accept"}
YAML = "application/yaml"
_YAMLS = (YAML, "application/x-yaml", "text/yaml")


def wants_yaml(accept: Accept) -> bool:
    """Whether a client would rather have YAML than JSON."""
    return accept.best_match([MediaType.JSON, *_YAMLS]) in _YAMLS


def plan_file(export: Export, *, as_yaml: bool, revision: int | None = None) -> Response[Any]:
    """The plan in YAML or JSON, and the revision that it was made from."""
    text = plan_text(export.plan, as_json=not as_yaml)
    name, media_type = ("plan.yaml", YAML) if as_yaml else ("plan.json", MediaType.JSON)
    headers = VARIES if revision is None else VARIES | {"ETag": tag_of(revision)}
    return _file(text.encode(), name, media_type, headers)


def card_file(export: Export) -> Response[str]:
    """The model card in Markdown.

    Raises:
        ProblemDetailsException: What writes its metadata is not installed here.
    """
    try:
        return _file(model_card(export).encode(), "README.md", "text/markdown")
    except CardError as error:
        raise problem(404, "not-found", "Not found", str(error)) from None


def measurements_file(
    found: Sequence[Measurement], media_type: str, revision: int, if_none_match: str | None
) -> Response[Any]:
    """Measurements in one of the formats that they are exchanged in; 304 to who has them."""
    headers = VARIES | {"ETag": tag_of(revision)}
    if holds(if_none_match, revision):
        return Response(None, status_code=304, headers=headers, media_type=MediaType.JSON)
    suffix = suffix_of(media_type)
    return _file(content_of(found, suffix), f"measurements{suffix}", media_type, headers)


def _file(
    content: bytes, name: str, media_type: str, headers: Mapping[str, str] | None = None
) -> Response[Any]:
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers={**disposition, **(headers or {})})
