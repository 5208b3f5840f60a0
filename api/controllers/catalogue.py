"""``/v1/models``, ``/v1/devices``, ``/v1/costs`` and ``/v1/studies``: what is known."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from api import revisions
from api.examples import Documented
from api.paging import Cursor, Limit
from api.problems import not_found, problem, responses
from api.revisions import ETAG, UNCHANGED, IfNoneMatch
from api.schemas import (
    CostResponse,
    CurvesResponse,
    DevicesResponse,
    MeasurementsPage,
    ModelsResponse,
    ScalingResponse,
    StudiesResponse,
)
from api.services import (
    PlanningService,
    cost_of,
    list_devices,
    list_models,
    list_studies,
    measurements_page,
    page,
    study_curves,
)
from measurements.store import Store
from models_registry import Configuration, UnknownNameError
from models_registry.configuration import (
    AdapterKind,
    Precision,
    Readout,
    Reduction,
    Task,
    WindowPolicy,
)
from planner.cost import Convention
from planner.cost.whisper import SEED_OUTPUT_TOKENS


class ModelController(Controller):
    """Models and what they cost."""

    path = "/v1"
    tags = ["models"]  # noqa: RUF012

    @get(
        "/models",
        operation_id="listModels",
        operation_class=Documented,
        summary="List the models",
        responses=responses(400, 503),
        raises=[],
        sync_to_thread=True,
    )
    def models(self, cursor: Cursor = "0", limit: Limit = 100) -> ModelsResponse:
        """Every model of the registry, and whether its weights are on this machine."""
        items, following = page(list_models(), cursor, limit)
        return ModelsResponse(items=items, next_cursor=following)

    @get(
        "/devices",
        operation_id="listDevices",
        operation_class=Documented,
        summary="List the devices",
        response_headers=[ETAG],
        responses=responses(400, 503) | UNCHANGED,
        raises=[],
        sync_to_thread=True,
    )
    def devices(
        self,
        store: NamedDependency[Store],
        cursor: Cursor = "0",
        limit: Limit = 100,
        if_none_match: IfNoneMatch = None,
    ) -> Response[DevicesResponse]:
        """Devices that time, energy and money can be asked for, and what was timed on them."""
        if revisions.holds(if_none_match, revision := store.revision()):
            return revisions.unchanged(revision)
        found = list_devices(store)
        items, following = page(found.items, cursor, limit)
        update = {"items": items, "next_cursor": following}
        return revisions.answer(found.model_copy(update=update), revision)

    @get(
        "/costs",
        operation_id="getCost",
        operation_class=Documented,
        summary="Count FLOPs and memory",
        responses=responses(400, 422),
        raises=[],
        sync_to_thread=True,
    )
    def cost(
        self,
        model: Annotated[str, QueryParameter(description="Model", min_length=1, max_length=200)],
        task: Annotated[Task, QueryParameter(description="Task")] = "asr",
        window_s: Annotated[
            float, QueryParameter(description="Window in seconds", gt=0, le=30)
        ] = 30.0,
        window_policy: Annotated[
            WindowPolicy, QueryParameter(description="What happens to longer audio")
        ] = "chunk",
        token_stride: Annotated[
            float, QueryParameter(description="Encoder tokens merged into one", ge=1, le=1500)
        ] = 1.0,
        reduction_layer: Annotated[
            int | None, QueryParameter(description="Layer after which they are", ge=0, le=100)
        ] = None,
        reduction: Annotated[Reduction, QueryParameter(description="Mean or pick")] = "mean",
        exit_layer: Annotated[
            int | None, QueryParameter(description="Last layer that runs (SER)", ge=1, le=100)
        ] = None,
        readout: Annotated[
            Readout, QueryParameter(description="How emotions are read off (SER)")
        ] = "linear",
        classes: Annotated[
            int, QueryParameter(description="Classes of the read-out (SER)", ge=0, le=1000)
        ] = 0,
        adapter: Annotated[AdapterKind, QueryParameter(description="Kind of adapter")] = "none",
        rank: Annotated[int | None, QueryParameter(description="Its rank", ge=1, le=4096)] = None,
        merged: Annotated[
            bool, QueryParameter(description="Whether it is merged and costs nothing")
        ] = True,
        precision: Annotated[Precision, QueryParameter(description="Number format")] = "fp32",
        batch_size: Annotated[
            int, QueryParameter(description="Windows run together, for memory", ge=1, le=4096)
        ] = 1,
        output_tokens: Annotated[
            int, QueryParameter(description="Tokens decoded, end of text included", ge=1, le=448)
        ] = SEED_OUTPUT_TOKENS,
        convention: Annotated[
            Convention, QueryParameter(description="How FLOPs are counted")
        ] = "counted-1",
    ) -> CostResponse:
        """One forward pass over a full window, in closed form."""
        configuration = Configuration(
            task=task,
            model=model,
            window_s=window_s,
            window_policy=window_policy,
            token_stride=token_stride,
            reduction_layer=reduction_layer,
            reduction=reduction,
            exit_layer=exit_layer,
            readout=readout,
            adapter=adapter,
            rank=rank,
            precision=precision,
            batch_size=batch_size,
        )
        try:
            return cost_of(
                configuration,
                convention=convention,
                output_tokens=output_tokens,
                classes=classes,
                merged=merged,
            )
        except ValueError as error:
            raise problem(422, "not-counted", "Not counted", str(error)) from None


class StudyController(Controller):
    """Studies and their measurements."""

    path = "/v1/studies"
    tags = ["studies"]  # noqa: RUF012

    @get(
        operation_id="listStudies",
        operation_class=Documented,
        summary="List the studies",
        response_headers=[ETAG],
        responses=responses(400, 503) | UNCHANGED,
        raises=[],
        sync_to_thread=True,
    )
    def studies(
        self,
        store: NamedDependency[Store],
        cursor: Cursor = "0",
        limit: Limit = 100,
        if_none_match: IfNoneMatch = None,
    ) -> Response[StudiesResponse]:
        """Every study and how much is known in it."""
        if revisions.holds(if_none_match, revision := store.revision()):
            return revisions.unchanged(revision)
        items, following = page(list_studies(store), cursor, limit)
        return revisions.answer(StudiesResponse(items=items, next_cursor=following), revision)

    @get(
        "/{study_id:str}/curves",
        operation_id="listCurves",
        operation_class=Documented,
        summary="Show a study's measured curves",
        response_headers=[ETAG],
        responses=responses(400, 404, 422, 503) | UNCHANGED,
        raises=[],
        sync_to_thread=True,
    )
    def curves(
        self,
        study_id: FromPath[str],
        store: NamedDependency[Store],
        model: Annotated[
            str | None, QueryParameter(description="Only of this model", max_length=200)
        ] = None,
        seed: Annotated[int, QueryParameter(description="Seed of intervals", ge=0)] = 0,
        cursor: Cursor = "0",
        limit: Limit = 100,
        if_none_match: IfNoneMatch = None,
    ) -> Response[CurvesResponse]:
        """The metric along each axis, compared in pairs with the study's centre."""
        if revisions.holds(if_none_match, revision := store.revision()):
            return revisions.unchanged(revision)
        try:
            found = study_curves(store, study_id, model, seed)
        except UnknownNameError as error:
            if error.kind == "study":
                raise not_found("study", error.name) from None
            raise
        items, following = page(found.items, cursor, limit)
        return revisions.answer(CurvesResponse(items=items, next_cursor=following), revision)

    @get(
        "/{study_id:str}/scaling",
        operation_id="getScaling",
        operation_class=Documented,
        summary="Show a study's fitted curves",
        response_headers=[ETAG],
        responses=responses(400, 404, 422, 503) | UNCHANGED,
        raises=[],
        sync_to_thread=True,
    )
    def scaling(
        self,
        study_id: FromPath[str],
        store: NamedDependency[Store],
        planning: NamedDependency[PlanningService],
        level: Annotated[
            float,
            QueryParameter(description="Probability of the bands", ge=1e-6, le=0.999_999),
        ] = 0.90,
        if_none_match: IfNoneMatch = None,
    ) -> Response[ScalingResponse]:
        """The curves that its answers come from: form, floor, elasticities, bands by axis."""
        if revisions.holds(if_none_match, revision := store.revision()):
            return revisions.unchanged(revision)
        try:
            found = planning.scaling(study_id, level)
        except UnknownNameError as error:
            raise not_found("study", error.name) from None
        return revisions.answer(found, revision)

    @get(
        "/{study_id:str}/measurements",
        operation_id="listMeasurements",
        operation_class=Documented,
        summary="List a study's measurements",
        response_headers=[ETAG],
        responses=responses(400, 404, 503) | UNCHANGED,
        raises=[],
        sync_to_thread=True,
    )
    def measurements(
        self,
        study_id: FromPath[str],
        store: NamedDependency[Store],
        cursor: Cursor = "0",
        limit: Limit = 50,
        if_none_match: IfNoneMatch = None,
    ) -> Response[MeasurementsPage]:
        """Measured and published configurations, a page at a time."""
        if revisions.holds(if_none_match, revision := store.revision()):
            return revisions.unchanged(revision)
        try:
            found = measurements_page(store, study_id, cursor, limit)
        except UnknownNameError as error:
            raise not_found("study", error.name) from None
        return revisions.answer(found, revision)
