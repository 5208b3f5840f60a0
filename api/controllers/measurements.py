"""``/v1/measurements``: every measurement that is known, and others from elsewhere."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from api import revisions
from api.examples import Documented
from api.known import find_measurements, measurement_of
from api.paging import Cursor, Limit
from api.problems import not_found, responses
from api.revisions import ETAG, UNCHANGED, IfNoneMatch
from api.schemas import Imported, ImportRequest, MeasurementsPage
from measurements import exchange
from measurements.records import Measurement, Source
from measurements.store import Store
from models_registry.configuration import Task


class MeasurementController(Controller):
    """Measurements of all studies."""

    path = "/v1/measurements"
    tags = ["studies"]  # noqa: RUF012

    @get(
        operation_id="findMeasurements",
        operation_class=Documented,
        summary="Find measurements",
        response_headers=[ETAG],
        responses=responses(400, 422, 503) | UNCHANGED,
        raises=[],
        sync_to_thread=True,
    )
    def find(
        self,
        store: NamedDependency[Store],
        study: Annotated[
            str | None, QueryParameter(description="Only of this study", max_length=200)
        ] = None,
        model: Annotated[
            str | None, QueryParameter(description="Only of this model", max_length=200)
        ] = None,
        source: Annotated[
            Source | None, QueryParameter(description="Only measured or published ones")
        ] = None,
        task: Annotated[Task | None, QueryParameter(description="Only of this task")] = None,
        cursor: Cursor = "0",
        limit: Limit = 50,
        if_none_match: IfNoneMatch = None,
    ) -> Response[MeasurementsPage]:
        """Those that every filter lets through, a page at a time; new ones shift no page."""
        if revisions.holds(if_none_match, revision := store.revision()):
            return revisions.unchanged(revision)
        found = find_measurements(
            store, study=study, model=model, source=source, task=task, cursor=cursor, limit=limit
        )
        return revisions.answer(found, revision)

    @get(
        "/{key:str}",
        operation_id="getMeasurement",
        operation_class=Documented,
        summary="Show a measurement",
        response_headers=[ETAG],
        responses=responses(400, 404, 503) | UNCHANGED,
        raises=[],
        sync_to_thread=True,
    )
    def show(
        self,
        key: FromPath[str],
        store: NamedDependency[Store],
        if_none_match: IfNoneMatch = None,
    ) -> Response[Measurement]:
        """What was run, on what speech, and what came out."""
        if revisions.holds(if_none_match, revision := store.revision()):
            return revisions.unchanged(revision)
        found = measurement_of(store, key)
        if found is None:
            raise not_found("measurement", key)
        return revisions.answer(found, revision)

    @post(
        operation_id="importMeasurements",
        operation_class=Documented,
        opt={"scope": "measure"},
        summary="Take in measurements that were made elsewhere",
        status_code=200,
        responses=responses(400, 413, 422, 503, 507),
        raises=[],
        sync_to_thread=True,
    )
    def take_in(self, data: JSONBody[ImportRequest], store: NamedDependency[Store]) -> Imported:
        """All rows are stored, or none: what is wrong is named row by row."""
        found = exchange.from_rows(data.rows)
        new = store.add_measurements(found)
        return Imported(stored=new, known=len(found) - new)
