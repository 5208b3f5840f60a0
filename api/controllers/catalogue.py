"""``/v1/models``, ``/v1/devices``, ``/v1/costs`` and ``/v1/studies``: what is known."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from api.problems import not_found, problem, responses
from api.schemas import (
    CostResponse,
    CurvesResponse,
    DevicesResponse,
    Imported,
    ImportRequest,
    MeasurementsPage,
    ModelsResponse,
    StudiesResponse,
)
from api.services import (
    cost_of,
    list_devices,
    list_models,
    list_studies,
    measurements_page,
    study_curves,
)
from measurements import exchange
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
        "/devices",
        operation_id="listDevices",
        summary="List the devices",
        responses=responses(503),
        raises=[],
        sync_to_thread=True,
    )
    def devices(self, store: NamedDependency[Store]) -> DevicesResponse:
        """Devices that time, energy and money can be asked for, and what was timed on them."""
        return list_devices(store)

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
        "/{study_id:str}/curves",
        operation_id="listCurves",
        summary="Show a study's measured curves",
        responses=responses(400, 404, 422, 503),
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
    ) -> CurvesResponse:
        """The metric along each axis, compared in pairs with the study's centre."""
        try:
            return study_curves(store, study_id, model, seed)
        except UnknownNameError as error:
            if error.kind == "study":
                raise not_found("study", error.name) from None
            raise

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


class MeasurementController(Controller):
    """Measurements from elsewhere."""

    path = "/v1/measurements"
    tags = ["studies"]  # noqa: RUF012

    @post(
        operation_id="importMeasurements",
        opt={"scope": "measure"},
        summary="Take in measurements that were made elsewhere",
        status_code=200,
        responses=responses(400, 413, 422, 503),
        raises=[],
        sync_to_thread=True,
    )
    def take_in(self, data: JSONBody[ImportRequest], store: NamedDependency[Store]) -> Imported:
        """All rows are stored, or none: what is wrong is named row by row."""
        found = exchange.from_rows(data.rows)
        new = store.add_measurements(found)
        return Imported(stored=new, known=len(found) - new)
