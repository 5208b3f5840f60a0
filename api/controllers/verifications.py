"""``/v1/verifications`` and ``/v1/calibration``: check predictions by real runs."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from pydantic import Field

from api.problems import not_found, responses
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


class VerificationController(Controller):
    """Real runs of predicted configurations."""

    path = "/v1/verifications"
    tags = ["verifications"]  # noqa: RUF012

    @post(
        operation_id="startVerification",
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
    ) -> Response[VerificationResponse]:
        """Queues a run; follow it at the address in ``Location``."""
        check_dataset(data.dataset, settings)
        verification = verifications.create(
            data.question,
            store,
            configuration=data.configuration,
            dataset=data.dataset,
            subset=data.subset,
            limit=data.limit,
            max_runs=data.max_runs,
            max_seconds=data.max_seconds,
        )
        queue.enqueue_verification(verification.id)
        return Response(
            VerificationResponse(verification=verification),
            status_code=202,
            headers={"Location": f"{self.path}/{verification.id}"},
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
        found = verifications.find(verification_id, store)
        if found is None:
            raise not_found("verification", verification_id)
        return VerificationResponse(verification=found)


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
