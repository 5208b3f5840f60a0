"""``/v1/measurements``: every measurement that is known, and others from elsewhere."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from api import formats, revisions
from api.examples import Documented, DocumentedTables
from api.files import VARIES, measurements_file
from api.formats import RowsRequest
from api.known import find_measurements, measurement_of
from api.paging import Cursor, Limit, page
from api.problems import invalid, not_found, responses
from api.revisions import ETAG, UNCHANGED, IfNoneMatch
from api.schemas import Imported, ImportRequest, MeasurementsPage
from api.strict import TAKES
from measurements import exchange
from measurements.figures import Unit
from measurements.records import Measurement, Source
from measurements.store import Store
from models_registry.configuration import Task


class MeasurementController(Controller):
    """Measurements of all studies."""

    path = "/v1/measurements"
    tags = ["studies"]  # noqa: RUF012

    @get(
        operation_id="findMeasurements",
        operation_class=DocumentedTables,
        summary="Find measurements",
        response_headers=[ETAG],
        responses=responses(400, 406, 422, 503) | UNCHANGED,
        raises=[],
        sync_to_thread=True,
    )
    def find(
        self,
        request: Request[Any, Any, Any],
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
        """Those that every filter lets through, a page at a time; new ones shift no page.

        A file has all of them, by Accept: application/jsonl, which ``POST`` takes in again as
        they were; text/csv or, where it can be written, application/vnd.apache.parquet, tables
        for reading elsewhere.
        """
        media_type = formats.wanted(request.accept)
        revision = store.revision()
        found = find_measurements(store, study=study, model=model, source=source, task=task)
        if media_type != formats.JSON:
            for name in {"cursor", "limit"} & request.query_params.keys():
                raise invalid(name, f"is for pages; {media_type} has all in one")
            return measurements_file(found, media_type, revision, if_none_match)
        items, following = page(found, cursor, limit)
        content = MeasurementsPage(items=items, next_cursor=following)
        return revisions.answer(content, revision, if_none_match, VARIES)

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
        revision = store.revision()
        found = measurement_of(store, key)
        if found is None:
            raise not_found("measurement", key)
        return revisions.answer(found, revision, if_none_match)

    @post(
        operation_id="importMeasurements",
        operation_class=DocumentedTables,
        request_class=RowsRequest,
        opt={"scope": "measure", TAKES: formats.TAKEN},
        summary="Take in measurements that were made elsewhere",
        status_code=200,
        responses=responses(400, 413, 415, 422, 503, 507),
        raises=[],
        sync_to_thread=True,
    )
    def take_in(
        self,
        data: JSONBody[ImportRequest],
        store: NamedDependency[Store],
        unit: Annotated[
            Unit | None,
            QueryParameter(description="Unit of WER, UA, se, lower and upper in all flat rows"),
        ] = None,
    ) -> Imported:
        """All rows are stored, or none: what is wrong is named row by row.

        In JSON, or in a file as ``GET`` answers, by Content-Type; application/x-ndjson and
        application/x-jsonlines are taken as application/jsonl. JSON Lines hold all of a
        measurement, or flat rows as tables do. Whether figures of flat rows are fractions or in
        percent is said by a column ``unit`` or the parameter; it may be left out where all of them
        are fractions below 1.
        """
        found = exchange.from_rows(data.rows, store, unit)
        new, known = exchange.keep(found, store)
        assumed = None if unit else exchange.assumption_of(data.rows, found)
        remarks = (*filter(None, [assumed]), *exchange.remarks_of(found))
        return Imported(stored=new, known=known, remarks=remarks)
