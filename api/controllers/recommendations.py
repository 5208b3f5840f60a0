"""``/v1/recommendations`` and ``/v1/pareto-fronts``: ask the planner."""

from __future__ import annotations

from litestar import Controller, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from api.problems import responses
from api.schemas import FrontResponse, RecommendationResponse
from api.services import PlanningService
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
        self, data: JSONBody[Question], planning: NamedDependency[PlanningService]
    ) -> RecommendationResponse:
        """The best configuration within a budget, or the cheapest that reaches a target.

        The answer carries predictions with intervals, costs, the probability of
        being best and of holding each budget, reasons, alternatives, the Pareto
        front, and whether a real run should come before the decision.
        """
        return planning.recommend(data)


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
