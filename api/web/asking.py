"""``/``: a budget question and its answer."""

from __future__ import annotations

import math
from typing import Any

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.response import Template

from api import problems
from api.exporting import export_of
from api.files import plan_file
from api.security import has_keys
from api.services.devices import list_devices
from api.services.models import list_models
from api.services.planning import PlanningService
from api.services.studies import list_studies
from api.web import answers, fields
from api.web.site import AnyRequest, page
from api.web.snippets import snippets
from measurements.settings import Settings
from measurements.store import Store
from measurements.studies import DEFAULT_STUDY
from models_registry import UnknownNameError
from planner.errors import PlannerError
from planner.question import Question

_FIELD_OF = {"study": "study", "device": "device", "model": "model"}
"""Field that a name of some kind is given in."""

_OFFERED = 3
"""Other studies or models that are offered in place of one that can't answer."""


class AskController(Controller):
    """The question and its answer."""

    path = "/"

    @get(sync_to_thread=True)
    def ask(
        self,
        request: AnyRequest,
        planning: NamedDependency[PlanningService],
        store: NamedDependency[Store],
        settings: NamedDependency[Settings],
    ) -> Template:
        """The form, and the answer to what the address asks."""
        asked = fields.ask(request.query_params.multi_items(), planning.study_workload)
        return answered(request, asked, planning, store, settings)

    @get("/plan.yaml", sync_to_thread=True)
    def plan(
        self,
        request: AnyRequest,
        planning: NamedDependency[PlanningService],
        store: NamedDependency[Store],
    ) -> Response[Any]:
        """The answer as a file that runs."""
        found = export_of(_asked(request, planning), planning, store)
        return plan_file(found, as_yaml=True)


def _asked(request: AnyRequest, planning: PlanningService) -> Question:
    """The question that an address asks; it has to be one."""
    asked = fields.ask(request.query_params.multi_items(), planning.study_workload)
    if asked.question is None:
        said = "; ".join(f"{k}: {v}" if k else v for k, v in asked.errors.items())
        raise problems.problem(
            400, "invalid-request", "The request is not valid", said or "nothing is asked"
        )
    return asked.question


def answered(
    request: AnyRequest,
    asked: fields.Asked,
    planning: PlanningService,
    store: Store,
    settings: Settings,
    *,
    refused: Exception | None = None,
) -> Template:
    """The form with what came of it.

    Args:
        request: What is answered.
        asked: What its address asks.
        planning: Answers it.
        store: Where studies and devices are.
        settings: Of the service.
        refused: Why the verification that was asked for as well is not begun.
    """
    status, view, problem, ways, other = 200, None, None, [], []
    base_url, keyed = str(request.base_url).rstrip("/"), has_keys(store, settings)
    if asked.errors:
        status = 400
    elif asked.question is not None:
        try:
            found = planning.recommend(asked.question)
            view = answers.view(
                found,
                asked.question,
                planning,
                base_url=base_url,
                keyed=keyed,
                asked=asked,
            )
        except (PlannerError, UnknownNameError) as error:
            problem = problems.of(error)
            status, ways = problem.status_code, _ways_out(error, asked)
            other = snippets(asked.question, base_url, keyed=keyed)
    if refused is not None:
        status = problems.of(refused).status_code
    return page(
        request,
        "ask",
        status=status,
        asked=asked,
        view=view,
        problem=problem,
        ways=ways,
        snippets=other,
        refused=None if refused is None else problems.of(refused),
        budgets=list(fields.BUDGETS.values()),
        often=fields.OFTEN,
        studies=list_studies(store),
        default_studies=DEFAULT_STUDY,
        devices=list_devices(store).items,
        models=list_models(),
    )


def _ways_out(error: PlannerError | UnknownNameError, asked: fields.Asked) -> list[dict[str, Any]]:
    """Questions close to one without an answer, each with its address."""
    if isinstance(error, UnknownNameError):
        name = _FIELD_OF.get(error.kind)
        if name is None:
            return []
        return [
            {"text": f"{error.kind} {other}", "link": asked.link(**{name: other})}
            for other in error.suggestions
        ]
    ways = [
        {"text": f"{name} {other}", "link": asked.link(**{name: other})}
        for name, several in (("study", "studies"), ("model", "models"))
        for other in error.details.get(several, [])[:_OFFERED]
    ]
    if needed := error.details.get("needed"):
        bounds = {
            fields.BUDGETS[cost].name: f"{_rounded_up(bound):g}" for cost, bound in needed.items()
        }
        said = ", ".join(
            f"{fields.BUDGETS[cost].label} {bounds[fields.BUDGETS[cost].name]}"
            f" {fields.BUDGETS[cost].unit}"
            for cost in needed
        )
        ways.append({"text": f"Allow what it needs: {said}", "link": asked.link(**bounds)})
        if asked.question is not None and len(asked.question.budget.bounds()) > len(needed):
            without = dict.fromkeys(bounds)
            ways.append({"text": "Leave that budget out", "link": asked.link(**without)})
    for metric, reach in error.details.get("reachable", {}).items():
        target = _reachable(metric, reach)
        ways.append(
            {
                "text": f"Ask for {metric.upper()} {100 * target:g} %",
                "link": asked.link(**{f"target_{metric}": f"{100 * target:g}%"}),
            }
        )
    return ways


def _rounded_up(value: float) -> float:
    """To three digits, never below."""
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{math.ceil(value / step * (1 - 1e-12)) * step:.6g}")


def _reachable(metric: str, reach: dict[str, float]) -> float:
    """A target that the best that there is reaches surely, to a tenth of a percent."""
    if metric == "ua":
        return math.floor(1000 * reach["lower"]) / 1000
    return math.ceil(1000 * reach["upper"]) / 1000
