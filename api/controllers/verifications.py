"""``/v1/verifications`` and ``/v1/calibration``: check predictions by real runs."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Annotated

from litestar import Controller, Response, delete, get, post
from litestar.concurrency import sync_to_thread
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage
from pydantic import Field

from api.problems import not_found, problem, responses
from api.schemas import CoverageResponse, Schema
from api.services import check_dataset
from measurements import verification as verifications
from measurements.coverage import coverage
from measurements.jobs.queue import JobQueue
from measurements.settings import Settings
from measurements.store import Store
from measurements.verification import Verification
from models_registry import Configuration
from planner.question import Question

_NAMESPACE = uuid.UUID("6f1d7c0e-5c2b-5b0e-9a53-2d7a41c8f5b9")
_KEY = r"^[\x21-\x7e]+$"
_POLL_S = 0.5


class VerificationRequest(Schema):
    """What to verify.

    Attributes:
        question: The question whose answer is to be verified.
        configuration: What to run; the first of the answer's plan that can be
            run here when left out.
        dataset: Data set to run on; the study's own when left out.
        subset: Part of the data set.
        limit: Utterances at most.
        max_runs: Real runs at most; one of a configuration that is named, otherwise three.
        max_seconds: Seconds after which no other run is begun.
    """

    question: Question
    configuration: Configuration | None = None
    dataset: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    subset: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    max_runs: Annotated[int, Field(ge=1, le=100)] | None = None
    max_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class VerificationResponse(Schema):
    """A verification as it stands."""

    verification: Verification


class VerificationsPage(Schema):
    """A page of verifications.

    Attributes:
        items: Verifications, newest first.
        next_cursor: Cursor of the next page; none on the last.
    """

    items: list[Verification]
    next_cursor: str | None


def _identifier(key: str, request: VerificationRequest) -> str:
    """An id that the same key and request have in common."""
    return str(uuid.uuid5(_NAMESPACE, f"{key}\0{request.model_dump_json()}"))


def _found(identifier: str, store: Store) -> Verification:
    found = verifications.find(identifier, store)
    if found is None:
        raise not_found("verification", identifier)
    return found


async def _changes(identifier: str, store: Store) -> AsyncIterator[ServerSentEventMessage]:
    last = None
    while True:
        found = await sync_to_thread(_found, identifier, store)
        document = VerificationResponse(verification=found).model_dump_json()
        if document != last:
            last = document
            yield ServerSentEventMessage(event="verification", data=document)
        if found.finished_at is not None:
            return
        await asyncio.sleep(_POLL_S)


class VerificationController(Controller):
    """Real runs of predicted configurations."""

    path = "/v1/verifications"
    tags = ["verifications"]  # noqa: RUF012

    @post(
        operation_id="startVerification",
        opt={"scope": "measure"},
        summary="Verify a prediction by a real run",
        status_code=202,
        responses=responses(400, 413, 422, 503),
        raises=[],
        sync_to_thread=True,
    )
    def start(
        self,
        data: JSONBody[VerificationRequest],
        store: NamedDependency[Store],
        queue: NamedDependency[JobQueue],
        settings: NamedDependency[Settings],
        idempotency_key: Annotated[
            str | None,
            HeaderParameter(
                name="Idempotency-Key",
                description="The same key with the same request starts one verification",
                pattern=_KEY,
                max_length=200,
            ),
        ] = None,
    ) -> Response[VerificationResponse]:
        """Queues a run; follow it at the address in ``Location``."""
        check_dataset(data.dataset, settings)
        identifier = None if idempotency_key is None else _identifier(idempotency_key, data)
        verification = None if identifier is None else verifications.find(identifier, store)
        if verification is None:
            verification = verifications.create(
                data.question,
                store,
                configuration=data.configuration,
                dataset=data.dataset,
                subset=data.subset,
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
        cursor: Annotated[
            str, QueryParameter(description="Where to go on", pattern="^[0-9]{1,9}$")
        ] = "0",
        limit: Annotated[int, QueryParameter(description="At most so many", ge=1, le=100)] = 20,
    ) -> VerificationsPage:
        """Verifications, newest first, a page at a time."""
        found, first = verifications.find_all(store, study=study), int(cursor)
        return VerificationsPage(
            items=found[first : first + limit],
            next_cursor=str(first + limit) if first + limit < len(found) else None,
        )

    @get(
        "/{verification_id:str}",
        operation_id="getVerification",
        summary="Follow a verification",
        responses=responses(404, 503),
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
        opt={"scope": "measure"},
        summary="Cancel a verification",
        status_code=200,
        responses=responses(404, 409, 503),
        raises=[],
        sync_to_thread=True,
    )
    def cancel(
        self, verification_id: FromPath[str], store: NamedDependency[Store]
    ) -> VerificationResponse:
        """Ends it behind the batch under way; what was measured stays."""
        found = _found(verification_id, store)
        if found.finished_at is not None:
            raise problem(
                409, "conflict", "That is over already", f"the verification has {found.status}"
            )
        return VerificationResponse(verification=verifications.cancel(found, store))

    @get(
        "/{verification_id:str}/events",
        operation_id="followVerification",
        summary="Follow a verification as server-sent events",
        media_type="text/event-stream",
        responses=responses(404, 503),
        raises=[],
    )
    async def events(
        self, verification_id: FromPath[str], store: NamedDependency[Store]
    ) -> ServerSentEvent:
        """An event ``verification`` whenever something has changed; the stream ends with it."""
        await sync_to_thread(_found, verification_id, store)
        return ServerSentEvent(_changes(verification_id, store))


class CalibrationController(Controller):
    """How well predictions are calibrated."""

    path = "/v1/calibration"
    tags = ["verifications"]  # noqa: RUF012

    @get(
        operation_id="getCoverage",
        summary="Show the coverage record",
        responses=responses(503),
        raises=[],
        sync_to_thread=True,
    )
    def record(self, store: NamedDependency[Store]) -> CoverageResponse:
        """Of all verified predictions, how many came out inside of their interval."""
        return CoverageResponse(items=coverage(store))
