"""Answers as files to download: the plan that runs, and a fragment of a model card."""

from __future__ import annotations

from typing import Any

from litestar import MediaType, Response
from litestar.datastructures.headers import Accept

from api.exporting import Export
from api.model_card import CardError, model_card
from api.problems import problem
from models_registry.plans import plan_text

YAML = "application/yaml"
_YAMLS = (YAML, "application/x-yaml", "text/yaml")


def wants_yaml(accept: Accept) -> bool:
    """Whether a client would rather have YAML than JSON."""
    return accept.best_match([MediaType.JSON, *_YAMLS]) in _YAMLS


def plan_file(export: Export, *, as_yaml: bool) -> Response[Any]:
    """The plan in YAML or JSON."""
    text = plan_text(export.plan, as_json=not as_yaml)
    return _file(text, "plan.yaml" if as_yaml else "plan.json", YAML if as_yaml else MediaType.JSON)


def card_file(export: Export) -> Response[str]:
    """The model card in Markdown.

    Raises:
        ProblemDetailsException: What writes its metadata is not installed here.
    """
    try:
        return _file(model_card(export), "README.md", "text/markdown")
    except CardError as error:
        raise problem(404, "not-found", "Not found", str(error)) from None


def _file(text: str, name: str, media_type: str) -> Response[Any]:
    disposition = f'attachment; filename="{name}"'
    return Response(
        text.encode(), media_type=media_type, headers={"Content-Disposition": disposition}
    )
