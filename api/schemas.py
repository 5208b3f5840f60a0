"""Shapes of requests and responses that are not the planner's own."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from measurements.coverage import Covered
from measurements.datasets import NAME
from measurements.measured_curves import MeasuredCurve
from measurements.profiles import DeviceProfile
from measurements.records import Measurement
from models_registry import Configuration
from models_registry.configuration import Task
from models_registry.languages import known_language
from planner.answer import ComponentFlops, Front, Prediction, Recommendation, StudySummary
from planner.cost import Convention
from planner.curves.along import FittedCurve
from planner.curves.summary import FitSummary
from planner.question import Setting
from planner.ranges import Chance, Price, Seed, Utilisation, Watts
from planner.workload import Workload


class Schema(BaseModel):
    """Base: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class RecommendationResponse(Schema):
    """An answer and the study that it is for."""

    recommendation: Recommendation
    study: StudySummary


class FrontResponse(Schema):
    """A Pareto front and the study that it is for."""

    front: Front
    study: StudySummary


class CostResponse(Schema):
    """FLOPs and memory of one forward pass.

    Attributes:
        gflops: FLOPs in units of 1e9.
        convention: How they were counted.
        breakdown: FLOPs by component.
        memory_bytes: Of a process on a CPU that serves the configuration with torch: the
            runtime, weights, caches, activations and what loading takes beyond them.
        memory_breakdown: The same by part.
        output_tokens: Tokens decoded (ASR).
        configuration: What was counted.
        source: Where the figures come from.
    """

    gflops: float
    convention: str
    breakdown: list[ComponentFlops]
    memory_bytes: int
    memory_breakdown: dict[str, int]
    output_tokens: int | None
    configuration: Configuration
    source: str = "closed form"


class ModelInfo(Schema):
    """A model of the registry.

    Attributes:
        name: Name to ask for it by.
        family: ``whisper`` or ``speech-encoder``.
        tasks: Tasks it serves.
        parameters: How many it has.
        encoder_layers: Layers of its encoder.
        max_window_s: The longest window it can see.
        hub_id: Repository on the hub.
        weights: ``installed`` if they are on this machine, ``hub`` otherwise.
    """

    name: str
    family: Literal["whisper", "speech-encoder"]
    tasks: list[str]
    parameters: int
    encoder_layers: int
    max_window_s: float
    hub_id: str
    weights: Literal["installed", "hub"]


class ModelsResponse(Schema):
    """A page of the models of the registry, and the cursor of the next."""

    items: list[ModelInfo]
    next_cursor: str | None = None


class ListedDevice(Schema):
    """A device that time, energy and money can be asked for.

    Attributes:
        name: Name to ask for it by.
        kind: ``cpu`` or ``cuda``.
        source: What its rates are known from.
        local: Whether it is the one that the service runs on.
        profile: What was timed on it; none if it never was.
    """

    name: str
    kind: str
    source: str
    local: bool
    profile: DeviceProfile | None


class DevicesResponse(Schema):
    """A page of the devices, and the name of the one that ``local`` means."""

    items: list[ListedDevice]
    local: str
    next_cursor: str | None = None


class PredictionsRequest(Schema):
    """Configurations that everything known of is asked for.

    Attributes:
        configurations: All of one task.
        study: Study to predict for; the task's default when left out.
        without_studies: Other studies of the task whose measurements are not used.
        dataset: Data set whose study is meant, instead of its name.
        subset: Part of the data set.
        language: Language of the data set's speech, by code or name, if the data does not say it.
        dataset_name: Short name of the data set, and so of its study, instead of its own.
        device: Device that time, energy and money belong to; ``local`` is this machine. They are
            left out without one.
        usd_per_device_hour: Price of the device.
        device_watts: Power that it draws while it computes; what is known of it when left out.
        max_utilisation: Share of its time that a device may be busy, where the workload says
            how often recordings come.
        workload: What is served; the study's recordings when left out. How many run together a
            configuration says itself.
        convention: How FLOPs are counted.
        level: Probability of the intervals.
        risk: Tolerated probability that more devices are needed than are paid for.
        seed: Seed of the fit.
    """

    configurations: Annotated[list[Configuration], Field(min_length=1, max_length=1000)]
    study: str | None = None
    without_studies: tuple[str, ...] = ()
    dataset: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    subset: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    language: Annotated[str, Field(max_length=100), AfterValidator(known_language)] | None = None
    dataset_name: Annotated[str, Field(pattern=NAME)] | None = None
    device: str | None = None
    usd_per_device_hour: Price | None = None
    device_watts: Watts | None = None
    max_utilisation: Utilisation = 0.7
    workload: Workload | None = None
    convention: Convention = "counted-1"
    level: Chance = 0.90
    risk: Chance = 0.10
    seed: Seed = 0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        task = self.configurations[0].task
        others = [
            InitErrorDetails(
                type=PydanticCustomError(
                    "other_task", "{own}, the first is {first}", {"own": one.task, "first": task}
                ),
                loc=("configurations", place, "task"),
                input=one.task,
            )
            for place, one in enumerate(self.configurations)
            if one.task != task
        ]
        if others:
            raise ValidationError.from_exception_data(type(self).__name__, others)
        of_dataset = ("subset", "language", "dataset_name")
        stated = [name for name in of_dataset if getattr(self, name) is not None]
        if stated and self.dataset is None:
            raise ValueError(f"{' and '.join(stated)} is of a data set: name that")
        self.setting()
        return self

    def setting(self) -> Setting:
        """The setting that the configurations are predicted in.

        Raises:
            ValidationError: It is none.
        """
        own = {name: getattr(self, name) for name in Setting.model_fields if hasattr(self, name)}
        return Setting(task=self.configurations[0].task, **own)


class PredictionsResponse(Schema):
    """What is known of configurations.

    Attributes:
        items: In the order that was asked for.
        study: Study that they are predicted for.
        workload: What costs are for, in words.
        device: Device that time, energy and money belong to.
        level: Probability of the intervals.
        left_out: Costs that can't be said, each with what it takes.
    """

    items: list[Prediction]
    study: str
    workload: str
    device: str | None
    level: float
    left_out: dict[str, str]


class CurvesResponse(Schema):
    """A page of what was measured along each axis, and the cursor of the next."""

    items: list[MeasuredCurve]
    next_cursor: str | None = None


class ScalingResponse(Schema):
    """The fitted curves that a study's answers come from.

    All studies of its task meet in them, through an offset each.

    Attributes:
        study: The study.
        task: Its task.
        error: What the curves are of, a fraction: ``wer``, or ``1 - ua``.
        level: Probability of the bands.
        held: Label of each group that the curves are drawn for.
        fit: Form, terms, floor, elasticities, offsets, and what held-out points say.
        curves: Along each axis, with the study's own observations.
    """

    study: str
    task: Task
    error: Literal["wer", "1 - ua"]
    level: float
    held: dict[str, str]
    fit: FitSummary
    curves: list[FittedCurve]


class StudyInfo(Schema):
    """A study and how much is known in it."""

    id: str
    task: str
    measured: int
    published: int


class StudyCurves(Schema):
    """Where the curves of a study are.

    Attributes:
        study: The study.
        task: Its task.
        measured: Path of what was measured along each axis.
        fitted: Path of the curves that its answers come from.
    """

    study: str
    task: str
    measured: str
    fitted: str


class CurvesIndex(Schema):
    """A page of the studies' curves, and the cursor of the next."""

    items: list[StudyCurves]
    next_cursor: str | None = None


class StudiesResponse(Schema):
    """A page of the studies, and the cursor of the next."""

    items: list[StudyInfo]
    next_cursor: str | None = None


class CoverageResponse(Schema):
    """How often what was predicted came true.

    Attributes:
        items: All of the record, then by basis, then by study, for each level.
        next_cursor: Cursor of the next page; none on the last.
    """

    items: list[Covered]
    next_cursor: str | None = None


class MeasurementsPage(Schema):
    """A page of measurements.

    Attributes:
        items: Measurements, oldest first.
        next_cursor: Cursor of the next page; none on the last.
    """

    items: list[Measurement]
    next_cursor: str | None


MOST_ROWS = 10_000
"""Of measurements in a request."""


class ImportRequest(Schema):
    """Measurements that were made elsewhere, as flat rows or as whole records.

    Attributes:
        rows: A flat row names ``study``, ``dataset``, ``provenance``, ``wer`` or ``ua``, their
            ``unit`` (``fraction`` or ``percent``, unless the parameter ``unit`` says it of all
            rows; fractions if neither does and all figures are below 1), and the fields of its
            configuration. A row of a known ``key``, flat or whole, has to say what is known
            under it.
    """

    rows: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MOST_ROWS)]


class Imported(Schema):
    """What became of imported rows.

    Attributes:
        stored: Rows that were new.
        known: Rows that were there already.
        remarks: What to know of them, such as a WER above 100 %; left out if there is nothing.
    """

    stored: int
    known: int
    remarks: tuple[str, ...] = ()

    @model_serializer(mode="wrap")
    def _without_nothing(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = serialise(self)
        return found if self.remarks else {k: v for k, v in found.items() if k != "remarks"}


class Health(Schema):
    """That the service is up and its store answers."""

    status: Literal["ok"] = "ok"
    version: str


class Problem(BaseModel):
    """A problem as RFC 9457 describes it; further members depend on its type.

    Attributes:
        type: Identifies the kind of problem.
        title: The kind in words.
        status: The HTTP status.
        detail: What is wrong with this request.
    """

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
