"""``/v1/studies`` and ``/v1/curves``: what is known, as measurements and as curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from pydantic import BaseModel

from api import revisions
from api.examples import Documented
from api.paging import Cursor, Limit, page
from api.problems import named_in_path, responses
from api.revisions import ETAG, UNCHANGED, IfNoneMatch
from api.schemas import (
    CurvesIndex,
    CurvesResponse,
    MeasurementsPage,
    ScalingResponse,
    StudiesResponse,
    StudyCurves,
    StudyInfo,
)
from api.services.measurements import measurements_page
from api.services.planning import PlanningService
from api.services.studies import list_studies, study_curves, study_info
from measurements.store import Store
from measurements.studies import study_of


class StudyController(Controller):
    """Studies and their measurements."""

    path = "/v1/studies"
    tags = ["studies"]  # noqa: RUF012

    @get(
        operation_id="listStudies",
        operation_class=Documented,
        summary="List the studies",
        response_headers=[ETAG],
        responses=responses(400, 503) | UNCHANGED,
        raises=[],
        sync_to_thread=True,
    )
    def studies(
        self,
        store: NamedDependency[Store],
        cursor: Cursor = "0",
        limit: Limit = 100,
        if_none_match: IfNoneMatch = None,
    ) -> Response[StudiesResponse]:
        """Every study and how much is known in it."""
        revision = store.revision()
        found = page(list_studies(store), cursor, limit)
        return _answer(StudiesResponse, found, revision, if_none_match)

    @get(
        "/{study_id:str}",
        operation_id="getStudy",
        operation_class=Documented,
        summary="Show a study",
        response_headers=[ETAG],
        responses=responses(400, 404, 503) | UNCHANGED,
        raises=[],
        sync_to_thread=True,
    )
    def show(
        self,
        study_id: FromPath[str],
        store: NamedDependency[Store],
        if_none_match: IfNoneMatch = None,
    ) -> Response[StudyInfo]:
        """Its task, and how much is known in it."""
        revision = store.revision()
        with named_in_path("study"):
            found = study_info(study_of(store, study_id))
        return revisions.answer(found, revision, if_none_match)

    @get(
        "/{study_id:str}/curves",
        operation_id="listCurves",
        operation_class=Documented,
        summary="Show a study's measured curves",
        response_headers=[ETAG],
        responses=responses(400, 404, 422, 503) | UNCHANGED,
        raises=[],
        sync_to_thread=True,
    )
    def curves(
        self,
        study_id: FromPath[str],
        store: NamedDependency[Store],
        model: Annotated[
            str | None, QueryParameter(description="Only of this model", max_length=200)
        ] = None,
        seed: Annotated[int, QueryParameter(description="Seed of intervals", ge=0, lt=2**32)] = 0,
        cursor: Cursor = "0",
        limit: Limit = 100,
        if_none_match: IfNoneMatch = None,
    ) -> Response[CurvesResponse]:
        """The metric along each axis, compared in pairs with the study's centre."""
        revision = store.revision()
        with named_in_path("study"):
            found = study_curves(store, study_id, model, seed)
        shown = page(found.items, cursor, limit)
        return _answer(CurvesResponse, shown, revision, if_none_match)

    @get(
        "/{study_id:str}/scaling",
        operation_id="getScaling",
        operation_class=Documented,
        summary="Show a study's fitted curves",
        response_headers=[ETAG],
        responses=responses(400, 404, 422, 503) | UNCHANGED,
        raises=[],
        sync_to_thread=True,
    )
    def scaling(
        self,
        study_id: FromPath[str],
        store: NamedDependency[Store],
        planning: NamedDependency[PlanningService],
        level: Annotated[
            float,
            QueryParameter(description="Probability of the bands", ge=1e-6, le=0.999_999),
        ] = 0.90,
        if_none_match: IfNoneMatch = None,
    ) -> Response[ScalingResponse]:
        """The curves that its answers come from: form, floor, elasticities, bands by axis."""
        revision = store.revision()
        with named_in_path("study"):
            found = planning.scaling(study_id, level)
        return revisions.answer(found, revision, if_none_match)

    @get(
        "/{study_id:str}/measurements",
        operation_id="listMeasurements",
        operation_class=Documented,
        summary="List a study's measurements",
        response_headers=[ETAG],
        responses=responses(400, 404, 503) | UNCHANGED,
        raises=[],
        sync_to_thread=True,
    )
    def measurements(
        self,
        study_id: FromPath[str],
        store: NamedDependency[Store],
        cursor: Cursor = "0",
        limit: Limit = 50,
        if_none_match: IfNoneMatch = None,
    ) -> Response[MeasurementsPage]:
        """Measured and published configurations, a page at a time."""
        revision = store.revision()
        with named_in_path("study"):
            found = measurements_page(store, study_id, cursor, limit)
        return revisions.answer(found, revision, if_none_match)


class CurveController(Controller):
    """Curves of all studies."""

    path = "/v1/curves"
    tags = ["studies"]  # noqa: RUF012

    @get(
        operation_id="indexCurves",
        operation_class=Documented,
        summary="List where the curves of each study are",
        response_headers=[ETAG],
        responses=responses(400, 503) | UNCHANGED,
        raises=[],
        sync_to_thread=True,
    )
    def index(
        self,
        store: NamedDependency[Store],
        cursor: Cursor = "0",
        limit: Limit = 100,
        if_none_match: IfNoneMatch = None,
    ) -> Response[CurvesIndex]:
        """Paths of the measured and of the fitted curves, study by study."""
        revision = store.revision()
        found = page([_curves_of(one) for one in list_studies(store)], cursor, limit)
        return _answer(CurvesIndex, found, revision, if_none_match)


def _answer(
    kind: type[BaseModel],
    found: tuple[Sequence[Any], str | None],
    revision: int,
    if_none_match: str | None,
) -> Response[Any]:
    """A page of a list, as a body of such a kind."""
    items, following = found
    return revisions.answer(kind(items=items, next_cursor=following), revision, if_none_match)


def _curves_of(study: StudyInfo) -> StudyCurves:
    path = f"{StudyController.path}/{quote(study.id, safe='')}"
    return StudyCurves(
        study=study.id, task=study.task, measured=f"{path}/curves", fitted=f"{path}/scaling"
    )
