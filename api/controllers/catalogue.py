"""``/v1/models``, ``/v1/costs`` and ``/v1/studies``: what is known."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from api.problems import not_found, problem, responses
from api.schemas import CostResponse, MeasurementsPage, ModelsResponse, StudiesResponse
from api.services import cost_of, list_models, list_studies, measurements_page
from measurements.store import Store
from models_registry import Configuration, UnknownNameError
from models_registry.configuration import Precision, Reduction, Task, WindowPolicy
from planner.cost import Convention
from planner.cost.whisper import SEED_OUTPUT_TOKENS


class ModelController(Controller):
    """Models and what they cost."""

    path = "/v1"
    tags = ["models"]  # noqa: RUF012

    @get(
        "/models",
        operation_id="listModels",
        summary="List the models",
        responses=responses(503),
        raises=[],
        sync_to_thread=True,
    )
    def models(self) -> ModelsResponse:
        """Every model of the registry, and whether its weights are on this machine."""
        return ModelsResponse(items=list_models())

    @get(
        "/costs",
        operation_id="getCost",
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
            precision=precision,
            batch_size=batch_size,
        )
        try:
            return cost_of(configuration, convention=convention, output_tokens=output_tokens)
        except ValueError as error:
            raise problem(422, "not-counted", "Not counted", str(error)) from None


class StudyController(Controller):
    """Studies and their measurements."""

    path = "/v1/studies"
    tags = ["studies"]  # noqa: RUF012

    @get(
        operation_id="listStudies",
        summary="List the studies",
        responses=responses(503),
        raises=[],
        sync_to_thread=True,
    )
    def studies(self, store: NamedDependency[Store]) -> StudiesResponse:
        """Every study and how much is known in it."""
        return StudiesResponse(items=list_studies(store))

    @get(
        "/{study_id:str}/measurements",
        operation_id="listMeasurements",
        summary="List a study's measurements",
        responses=responses(400, 404, 503),
        raises=[],
        sync_to_thread=True,
    )
    def measurements(
        self,
        study_id: FromPath[str],
        store: NamedDependency[Store],
        cursor: Annotated[
            str, QueryParameter(description="Where to go on", pattern="^[0-9]{1,9}$")
        ] = "0",
        limit: Annotated[int, QueryParameter(description="At most so many", ge=1, le=500)] = 50,
    ) -> MeasurementsPage:
        """Measured and published configurations, a page at a time."""
        try:
            return measurements_page(store, study_id, int(cursor), limit)
        except UnknownNameError as error:
            raise not_found("study", error.name) from None
