"""``/v1/recommendations``, ``/v1/pareto-fronts``, ``/v1/predictions``: ask the planner."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from api import verified
from api.problems import not_found, responses
from api.schemas import FrontResponse, PredictionsRequest, PredictionsResponse
from api.services import PlanningService, check_dataset
from api.verified import VerifiedResponse, Verify
from measurements import verification as verifications
from measurements.jobs.queue import JobQueue
from measurements.settings import Settings
from measurements.store import Store
from planner.question import FrontQuestion, Question


class RecommendationController(Controller):
    """Answers to budget questions."""

    path = "/v1/recommendations"
    tags = ["recommendations"]  # noqa: RUF012

    @post(
        operation_id="recommend",
        summary="Recommend a configuration for a budget or a target",
        status_code=200,
        responses=responses(400, 413, 422, 503),
        raises=[],
        sync_to_thread=True,
    )
    def recommend(
        self,
        data: JSONBody[Question],
        planning: NamedDependency[PlanningService],
        store: NamedDependency[Store],
        queue: NamedDependency[JobQueue],
        settings: NamedDependency[Settings],
        verify: Annotated[
            Verify,
            QueryParameter(
                description="Whether to check the answer by real runs: never; auto, where the"
                " decision is at risk and something can be run; always, or it is an error; wait,"
                " like auto, and the answer comes when they are over"
            ),
        ] = "never",
        dataset: Annotated[
            str | None,
            QueryParameter(description="Data set of the runs; the study's own", max_length=1000),
        ] = None,
        limit: Annotated[
            int | None, QueryParameter(description="Utterances at most", ge=1, le=1_000_000)
        ] = None,
        wait_s: Annotated[
            float, QueryParameter(description="Longest wait, in seconds", ge=0, le=600)
        ] = 120.0,
    ) -> VerifiedResponse:
        """The best configuration within a budget, or the cheapest that reaches a target.

        The answer carries predictions with intervals, costs, the probability of
        being best and of holding each budget, reasons, alternatives, the Pareto
        front, and whether a real run should come before the decision. One that is being
        verified has an id, under which it is asked for again.
        """
        check_dataset(dataset, settings)
        return verified.answer(
            data, verify, planning, store, queue, dataset=dataset, limit=limit, wait_s=wait_s
        )

    @get(
        "/{recommendation_id:str}",
        operation_id="getRecommendation",
        summary="Ask for a recommendation again",
        responses=responses(404, 422, 503),
        raises=[],
        sync_to_thread=True,
    )
    def show(
        self,
        recommendation_id: FromPath[str],
        planning: NamedDependency[PlanningService],
        store: NamedDependency[Store],
    ) -> VerifiedResponse:
        """The answer as it stands, what has changed since it was given, and its verification."""
        found = verifications.find(recommendation_id, store)
        if found is None:
            raise not_found("recommendation that is being verified", recommendation_id)
        return verified.response(found, planning)


class FrontController(Controller):
    """Pareto fronts."""

    path = "/v1/pareto-fronts"
    tags = ["recommendations"]  # noqa: RUF012

    @post(
        operation_id="drawFront",
        summary="Find what no other configuration beats on two axes",
        status_code=200,
        responses=responses(400, 413, 422, 503),
        raises=[],
        sync_to_thread=True,
    )
    def front(
        self, data: JSONBody[FrontQuestion], planning: NamedDependency[PlanningService]
    ) -> FrontResponse:
        """The Pareto front over any two of quality and the costs, within the budgets named.

        With intervals, its knee, and the share of the box of all candidates that it
        dominates.
        """
        return planning.front(data)


class PredictionController(Controller):
    """Predictions of configurations that are named."""

    path = "/v1/predictions"
    tags = ["recommendations"]  # noqa: RUF012

    @post(
        operation_id="predict",
        summary="Predict the quality of configurations",
        status_code=200,
        responses=responses(400, 413, 422, 503),
        raises=[],
        sync_to_thread=True,
    )
    def predict(
        self, data: JSONBody[PredictionsRequest], planning: NamedDependency[PlanningService]
    ) -> PredictionsResponse:
        """WER or unweighted accuracy of each, with its interval and what it rests on.

        A configuration that the study has measured is answered as measured.
        """
        return planning.predict(data)
