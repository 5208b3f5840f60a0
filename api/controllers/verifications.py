"""``/v1/verifications`` and ``/v1/calibration``: check predictions by real runs."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from litestar import Controller, Request, Response, delete, get, post
from litestar.concurrency import sync_to_thread
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.response import ServerSentEvent

from api import events, idempotency, paging, revisions
from api.examples import Documented
from api.idempotency import IdempotencyKey
from api.job_schemas import VerificationRequest, VerificationResponse, VerificationsPage
from api.paging import Before, Cursor, Limit, page
from api.problems import not_found, problem, responses
from api.revisions import IfMatch
from api.schemas import CoverageResponse
from api.services.datasets import check_dataset
from api.stopping import Stopping
from measurements import verification as verifications
from measurements.coverage import coverage
from measurements.jobs.queue import JobQueue
from measurements.settings import Settings
from measurements.store import Store
from measurements.verification_records import Verification


def _found(identifier: str, store: Store) -> Verification:
    found = verifications.find(identifier, store)
    if found is None:
        raise not_found("verification", identifier)
    return found


def _look(identifier: str, store: Store) -> tuple[str, bool]:
    found = _found(identifier, store)
    document = VerificationResponse(verification=found).model_dump_json()
    return document, found.finished_at is not None


class VerificationController(Controller):
    """Real runs of predicted configurations."""

    path = "/v1/verifications"
    tags = ["verifications"]  # noqa: RUF012

    @post(
        operation_id="startVerification",
        operation_class=Documented,
        opt={"scope": "measure"},
        summary="Verify a prediction by a real run",
        status_code=202,
        responses=responses(400, 409, 412, 413, 415, 422, 503, 507),
        raises=[],
        sync_to_thread=True,
    )
    def start(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[VerificationRequest],
        store: NamedDependency[Store],
        queue: NamedDependency[JobQueue],
        settings: NamedDependency[Settings],
        idempotency_key: IdempotencyKey = None,
        if_match: IfMatch = None,
    ) -> Response[VerificationResponse]:
        """Queues a run; follow it at the address in ``Location``."""
        check_dataset(data.dataset, settings)
        identifier = idempotency.identifier_of(
            idempotency_key, idempotency.caller_of(request), data.model_dump_json()
        )
        verification = idempotency.begun_with(identifier, store)
        if verification is None:
            revisions.check(if_match, store.revision())
            with idempotency.alone(identifier, store):
                verification = idempotency.begun_with(identifier, store) or verifications.create(
                    data.question,
                    store,
                    configuration=data.configuration,
                    dataset=data.dataset,
                    subset=data.subset,
                    language=data.language,
                    dataset_name=data.dataset_name,
                    limit=data.limit,
                    max_runs=data.max_runs,
                    max_seconds=data.max_seconds,
                    identifier=identifier,
                )
        # A job of the same id is there once, also where a service died in between.
        queue.enqueue_verification(verification.id)
        return Response(
            VerificationResponse(verification=verification),
            status_code=202,
            headers={"Location": f"{self.path}/{verification.id}"},
        )

    @get(
        operation_id="listVerifications",
        operation_class=Documented,
        summary="List the verifications",
        responses=responses(400, 503),
        raises=[],
        sync_to_thread=True,
    )
    def index(
        self,
        store: NamedDependency[Store],
        study: Annotated[
            str | None, QueryParameter(description="Only of this study", max_length=200)
        ] = None,
        cursor: Before = None,
        limit: Annotated[int, QueryParameter(description="At most so many", ge=1, le=100)] = 20,
    ) -> VerificationsPage:
        """Verifications, newest first, a page at a time; new ones shift no page."""
        paging.check(cursor, store.verification)
        found = verifications.find_all(store, study=study, before=cursor, limit=limit + 1)
        more = len(found) > limit
        return VerificationsPage(
            items=found[:limit], next_cursor=found[limit - 1].id if more else None
        )

    @get(
        "/{verification_id:str}",
        operation_id="getVerification",
        operation_class=Documented,
        summary="Follow a verification",
        responses=responses(400, 404, 503),
        raises=[],
        sync_to_thread=True,
    )
    def show(
        self, verification_id: FromPath[str], store: NamedDependency[Store]
    ) -> VerificationResponse:
        """Its status and progress; at the end, the verdict and the new answer."""
        return VerificationResponse(verification=_found(verification_id, store))

    @delete(
        "/{verification_id:str}",
        operation_id="cancelVerification",
        operation_class=Documented,
        opt={"scope": "measure"},
        summary="Cancel a verification",
        status_code=200,
        responses=responses(400, 404, 409, 503, 507),
        raises=[],
        sync_to_thread=True,
    )
    def cancel(
        self, verification_id: FromPath[str], store: NamedDependency[Store]
    ) -> VerificationResponse:
        """Ends it behind the batch under way; what was measured stays.

        One that was cancelled before stays so.
        """
        found = _found(verification_id, store)
        if found.finished_at is not None and found.status != "cancelled":
            raise problem(
                409, "conflict", "That is over already", f"the verification has {found.status}"
            )
        return VerificationResponse(verification=verifications.cancel(found, store))

    @get(
        "/{verification_id:str}/events",
        operation_id="followVerification",
        operation_class=Documented,
        summary="Follow a verification as server-sent events",
        media_type="text/event-stream",
        responses=responses(400, 404, 503),
        raises=[],
    )
    async def follow(
        self,
        request: Request[Any, Any, Any],
        verification_id: FromPath[str],
        store: NamedDependency[Store],
        stopping: NamedDependency[Stopping],
    ) -> ServerSentEvent:
        """An event ``verification`` whenever something has changed; the stream ends with it.

        Or with the service: ask again then, with the last event's id in ``Last-Event-ID`` to be
        told of what has changed since. Comments keep the line open while nothing does.
        """
        await sync_to_thread(_found, verification_id, store)
        look = partial(_look, verification_id, store)
        known = request.headers.get("last-event-id")
        return ServerSentEvent(
            events.changes("verification", look, lambda: stopping.asked, known=known)
        )


class CalibrationController(Controller):
    """How well predictions are calibrated."""

    path = "/v1/calibration"
    tags = ["verifications"]  # noqa: RUF012

    @get(
        operation_id="getCoverage",
        operation_class=Documented,
        summary="Show the coverage record",
        responses=responses(400, 503),
        raises=[],
        sync_to_thread=True,
    )
    def record(
        self, store: NamedDependency[Store], cursor: Cursor = "0", limit: Limit = 100
    ) -> CoverageResponse:
        """Of all verified predictions, how many came out inside of their interval."""
        items, following = page(coverage(store), cursor, limit)
        return CoverageResponse(items=items, next_cursor=following)
