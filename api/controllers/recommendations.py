"""``POST /v1/recommendations``: ask for a configuration."""

from __future__ import annotations

from litestar import Controller, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from api.problems import responses
from api.schemas import RecommendationResponse
from api.services import PlanningService
from planner.question import Question


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
        self, data: JSONBody[Question], planning: NamedDependency[PlanningService]
    ) -> RecommendationResponse:
        """The best configuration within a budget, or the cheapest that reaches a target.

        The answer carries predictions with intervals, costs, the probability of
        being best and of holding each budget, reasons, alternatives, the Pareto
        front, and whether a real run should come before the decision.
        """
        return planning.recommend(data)
