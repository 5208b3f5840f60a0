"""What is known: studies with their curves, models, devices, the coverage record."""

from __future__ import annotations

import threading

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Template

from api import charts
from api.fitted_chart import fitted_axis_chart
from api.paging import Cursor
from api.problems import not_found
from api.schemas import CurvesResponse, ScalingResponse
from api.services.devices import list_devices
from api.services.measurements import measurements_page
from api.services.models import list_models
from api.services.planning import PlanningService
from api.services.studies import list_studies, study_curves
from api.web.site import ASSETS, AnyRequest, page
from measurements.coverage import coverage, verified
from measurements.measured_curves import MeasuredCurve
from measurements.store import Store
from measurements.studies import study_of
from models_registry import UnknownNameError
from planner.errors import PlannerError

ROWS = 500
"""Measurements on a page."""

_VERIFIED_SHOWN = 200


class BrowseController(Controller):
    """Pages that only show."""

    path = "/"

    @get("/studies", sync_to_thread=True)
    def studies(self, request: AnyRequest, store: NamedDependency[Store]) -> Template:
        """Every study and how much is known in it."""
        return page(request, "studies", studies=list_studies(store))

    @get("/studies/{study_id:str}", sync_to_thread=True)
    def study(
        self,
        request: AnyRequest,
        study_id: FromPath[str],
        store: NamedDependency[Store],
        planning: NamedDependency[PlanningService],
        cursor: Cursor = "0",
    ) -> Template:
        """A study: its curves, measured and fitted, each axis with its points; its measurements."""
        try:
            study = study_of(store, study_id)
        except UnknownNameError as error:
            raise not_found("study", error.name) from None
        rows = measurements_page(store, study_id, cursor, ROWS)
        found = _CURVES.of(store, study_id).items if cursor == "0" else []
        by_axis: dict[str, list[MeasuredCurve]] = {}
        for curve in found:
            by_axis.setdefault(curve.axis, []).append(curve)
        overview, panels = None, {}
        if ASSETS.charts and study.measurements and cursor == "0":
            overview = charts.measurements_chart(study.measurements, width="container")
            panels = {
                axis: charts.axis_chart(curves, width="container")
                for axis, curves in by_axis.items()
            }
        scaling = _scaling(planning, study_id) if cursor == "0" else None
        fitted = {}
        if ASSETS.charts and scaling is not None:
            fitted = {
                curve.axis: fitted_axis_chart(
                    curve, name=scaling.error.upper(), percent=True, width="container"
                )
                for curve in scaling.curves
            }
        return page(
            request,
            "study",
            study=study,
            curves=by_axis,
            panels=panels,
            overview=overview,
            scaling=scaling,
            fitted=fitted,
            rows=rows.items,
            first=int(cursor),
            next_cursor=rows.next_cursor,
        )

    @get("/models", sync_to_thread=True)
    def models(self, request: AnyRequest) -> Template:
        """Every model of the registry."""
        return page(request, "models", models=list_models())

    @get("/devices", sync_to_thread=True)
    def devices(self, request: AnyRequest, store: NamedDependency[Store]) -> Template:
        """Every device, and what was timed on it."""
        return page(request, "devices", devices=list_devices(store).items)

    @get("/calibration", sync_to_thread=True)
    def calibration(self, request: AnyRequest, store: NamedDependency[Store]) -> Template:
        """How often what was predicted came true."""
        runs = verified(store)
        chart = None
        if runs and ASSETS.charts:
            chart = charts.verified_chart(runs, width="container")
        return page(
            request,
            "calibration",
            covered=coverage(store),
            runs=runs[::-1][:_VERIFIED_SHOWN],
            total=len(runs),
            chart=chart,
        )


def _scaling(planning: PlanningService, study: str) -> ScalingResponse | None:
    """The fitted curves of a study; none where too little is known for any."""
    try:
        return planning.scaling(study, level=0.90)
    except PlannerError:
        return None


class _Curves:
    """Curves of studies: comparing all of a study's points in pairs takes up to seconds."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], tuple[int, CurvesResponse]] = {}
        self._lock = threading.Lock()

    def of(self, store: Store, study: str) -> CurvesResponse:
        """The curves of a study as it is now."""
        revision, key = store.revision(), (store.url, study)
        with self._lock:
            if key not in self._found or self._found[key][0] != revision:
                self._found[key] = (revision, study_curves(store, study, None, 0))
            return self._found[key][1]


_CURVES = _Curves()
