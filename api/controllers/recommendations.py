"""``/v1/recommendations``, ``/v1/pareto-fronts``, ``/v1/predictions``: ask the planner."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from api import idempotency, revisions, verified
from api.examples import Documented, DocumentedFile
from api.exporting import Export, export_of, export_of_stored
from api.files import card_file, plan_file, wants_yaml
from api.idempotency import IdempotencyKey
from api.job_schemas import VerifiedResponse, Verify
from api.problems import not_found, responses
from api.revisions import ETAG, IfMatch
from api.schemas import FrontResponse, PredictionsRequest, PredictionsResponse
from api.services.datasets import check_dataset
from api.services.planning import PlanningService
from api.verified import Answers
from measurements import verification as verifications
from measurements.datasets import NAME
from measurements.settings import Settings
from measurements.store import Store
from models_registry import Plan
from models_registry.languages import language_code
from planner.question import FrontQuestion, Question


class RecommendationController(Controller):
    """Answers to budget questions."""

    path = "/v1/recommendations"
    tags = ["recommendations"]  # noqa: RUF012

    @post(
        operation_id="recommend",
        operation_class=Documented,
        summary="Recommend a configuration for a budget or a target",
        status_code=200,
        response_headers=[ETAG],
        responses=responses(400, 409, 412, 413, 415, 422, 503, 507),
        raises=[],
        sync_to_thread=True,
    )
    def recommend(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[Question],
        answers: NamedDependency[Answers],
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
        language: Annotated[
            str | None,
            QueryParameter(
                description="Language of the data set, by code or name, where it does not say it",
                max_length=100,
            ),
        ] = None,
        dataset_name: Annotated[
            str | None,
            QueryParameter(description="Short name of the data set, not its own", pattern=NAME),
        ] = None,
        limit: Annotated[
            int | None, QueryParameter(description="Utterances at most", ge=1, le=1_000_000)
        ] = None,
        wait_s: Annotated[
            float, QueryParameter(description="Longest wait, in seconds", ge=0, le=600)
        ] = 120.0,
        idempotency_key: IdempotencyKey = None,
        if_match: IfMatch = None,
    ) -> Response[VerifiedResponse]:
        """The best configuration within a budget, or the cheapest that reaches a target.

        The answer carries predictions with intervals, costs, the probability of
        being best and of holding each budget, reasons, alternatives, the Pareto
        front, and whether a real run should come before the decision. One that is being
        verified has an id, under which it is asked for again.
        """
        check_dataset(dataset, answers.settings)
        spoken = None if language is None else language_code(language)
        speech = {"language": spoken, "dataset_name": dataset_name}
        named = [f"{field} {value}" for field, value in speech.items() if value is not None]
        said = data.model_dump_json(), verify, dataset, limit, *named
        identifier = idempotency.identifier_of(
            idempotency_key, idempotency.caller_of(request), *said
        )
        begun = idempotency.begun_with(identifier, answers.store)
        revision = answers.store.revision()
        if begun is None:
            revisions.check(if_match, revision)
        found = answers.answer(
            data,
            verify,
            revision=revision,
            dataset=dataset,
            **speech,
            limit=limit,
            wait_s=wait_s,
            identifier=identifier,
            begun=begun,
        )
        # A verification that was waited for has made another.
        return revisions.answer(found, answers.store.revision() if found.id else revision)

    @get(
        "/{recommendation_id:str}",
        operation_id="getRecommendation",
        operation_class=Documented,
        summary="Ask for a recommendation again",
        responses=responses(400, 404, 422, 503),
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

    @get(
        "/{recommendation_id:str}/plan",
        operation_id="getPlan",
        operation_class=DocumentedFile,
        summary="Export a recommendation as a plan that runs",
        responses=responses(400, 404, 422, 503),
        raises=[],
        sync_to_thread=True,
    )
    def plan(
        self,
        request: Request[Any, Any, Any],
        recommendation_id: FromPath[str],
        planning: NamedDependency[PlanningService],
        store: NamedDependency[Store],
    ) -> Response[Plan]:
        """The answer as it stands, as ``speechplan export`` writes it: JSON, or YAML by Accept.

        Files that were trained for it, a read-out or an adapter, stay where they were trained.
        """
        found = _exported(recommendation_id, planning, store)
        return plan_file(found, as_yaml=wants_yaml(request.accept))

    @get(
        "/{recommendation_id:str}/model-card",
        operation_id="getModelCard",
        operation_class=Documented,
        summary="Write a fragment of a model card for a recommendation",
        media_type="text/markdown",
        responses=responses(400, 404, 422, 503),
        raises=[],
        sync_to_thread=True,
    )
    def model_card(
        self,
        recommendation_id: FromPath[str],
        planning: NamedDependency[PlanningService],
        store: NamedDependency[Store],
    ) -> Response[str]:
        """Markdown with the Hub's metadata: what was measured, what is predicted, what it costs."""
        return card_file(_exported(recommendation_id, planning, store))


def _exported(identifier: str, planning: PlanningService, store: Store) -> Export:
    if verifications.find(identifier, store) is None:
        raise not_found("recommendation that is being verified", identifier)
    return export_of_stored(identifier, planning, store)


class PlanController(Controller):
    """Plans that run."""

    path = "/v1/plans"
    tags = ["recommendations"]  # noqa: RUF012

    @post(
        operation_id="makePlan",
        operation_class=DocumentedFile,
        summary="Answer a question with a plan that runs",
        status_code=200,
        response_headers=[ETAG],
        responses=responses(400, 412, 413, 415, 422, 503),
        raises=[],
        sync_to_thread=True,
    )
    def make(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[Question],
        planning: NamedDependency[PlanningService],
        store: NamedDependency[Store],
        if_match: IfMatch = None,
    ) -> Response[Plan]:
        """The answer to a question as ``speechplan export`` writes it: JSON, or YAML by Accept.

        Nothing is kept, and nothing verified: the same question to ``/v1/recommendations`` says
        whether a real run should come before. Files that were trained for it, a read-out or an
        adapter, stay where they were trained.
        """
        revisions.check(if_match, revision := planning.revision())
        found = export_of(data, planning, store, revision)
        return plan_file(found, as_yaml=wants_yaml(request.accept), revision=revision)


class FrontController(Controller):
    """Pareto fronts."""

    path = "/v1/pareto-fronts"
    tags = ["recommendations"]  # noqa: RUF012

    @post(
        operation_id="drawFront",
        operation_class=Documented,
        summary="Find what no other configuration beats on two axes",
        status_code=200,
        response_headers=[ETAG],
        responses=responses(400, 412, 413, 415, 422, 503),
        raises=[],
        sync_to_thread=True,
    )
    def front(
        self,
        data: JSONBody[FrontQuestion],
        planning: NamedDependency[PlanningService],
        if_match: IfMatch = None,
    ) -> Response[FrontResponse]:
        """The Pareto front over any two of quality and the costs, within the budgets named.

        With intervals, its knee, and the share of the box of all candidates that it
        dominates.
        """
        revisions.check(if_match, revision := planning.revision())
        return revisions.answer(planning.front(data, revision), revision)


class PredictionController(Controller):
    """Predictions of configurations that are named."""

    path = "/v1/predictions"
    tags = ["recommendations"]  # noqa: RUF012

    @post(
        operation_id="predict",
        operation_class=Documented,
        summary="Predict what configurations will do",
        status_code=200,
        response_headers=[ETAG],
        responses=responses(400, 412, 413, 415, 422, 503),
        raises=[],
        sync_to_thread=True,
    )
    def predict(
        self,
        data: JSONBody[PredictionsRequest],
        planning: NamedDependency[PlanningService],
        settings: NamedDependency[Settings],
        if_match: IfMatch = None,
    ) -> Response[PredictionsResponse]:
        """Everything that a recommendation of each would say, with intervals and what they rest on.

        WER or unweighted accuracy, FLOPs and memory; on a device RTF, latency, energy and money.
        A configuration that the study has measured, or the device has timed, is answered as
        measured. What can't be said without more is named in ``left_out``.
        """
        check_dataset(data.dataset, settings)
        revisions.check(if_match, revision := planning.revision())
        return revisions.answer(planning.predict(data, revision), revision)
