"""What all pages have in common: their frame, and what is said when one fails."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Request, Response
from litestar.exceptions import HTTPException, NotAuthorizedException
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.plugins.problem_details import ProblemDetailsException
from litestar.response import Template
from litestar.template import TemplateConfig

from api import problems
from api.web import fields, wording
from api.web.assets import Assets
from measurements.verification import MAX_RUNS

AnyRequest = Request[Any, Any, Any]

PAGES = (
    ("/", "Ask"),
    ("/studies", "Studies"),
    ("/sweeps", "Sweeps"),
    ("/verifications", "Verifications"),
    ("/calibration", "Calibration"),
    ("/models", "Models"),
    ("/devices", "Devices"),
)

ASSETS = Assets()


def templates() -> TemplateConfig[JinjaTemplateEngine]:
    """The pages' templates: everything is escaped, and a name that is not there is an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= wording.FILTERS
    environment.globals |= {
        "asset": ASSETS.path,
        "called": fields.CALLED,
        "costs": fields.BUDGETS,
        "drawing": ASSETS,
        "explained": wording.EXPLAINED,
        "max_runs": MAX_RUNS,
        "pages": PAGES,
        "version": version("speechplan"),
    }
    return TemplateConfig(instance=JinjaTemplateEngine.from_environment(environment))


def page(request: AnyRequest, name: str, *, status: int = 200, **context: Any) -> Template:
    """A page.

    Args:
        request: What it answers.
        name: Template.
        status: HTTP status.
        context: What the template is about.
    """
    path = request.url.path
    current = next((p for p, _ in reversed(PAGES) if path == p or path.startswith(p + "/")), None)
    frame = {"current": current, "signed_in": "speechplan_key" in request.cookies}
    return Template(
        f"{name}.html",
        context=frame | context,
        status_code=status,
        media_type="text/html",
        headers={"Cache-Control": "no-store"},
    )


def failed(request: AnyRequest, error: Exception) -> Response[Any]:
    """A problem as a page, with the status that it has over the API."""
    if isinstance(error, NotAuthorizedException):
        return sign_in(request, status=401)
    found = problems.of(error)
    shown = page(request, "problem", status=found.status_code, problem=found, title=found.title)
    shown.headers.update(found.headers or {})
    return shown


def sign_in(
    request: AnyRequest,
    *,
    status: int = 200,
    wrong: bool = False,
    to: str | None = None,
) -> Template:
    """The form that takes a key."""
    if to is None:
        to = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return page(request, "sign_in", status=status, to=to, wrong=wrong)


HANDLERS: dict[int | type[Exception], Callable[[AnyRequest, Any], Response[Any]]] = dict.fromkeys(
    (*problems.CONVERTERS, HTTPException, ProblemDetailsException), failed
)
"""Every kind of error that the API turns into a problem."""
