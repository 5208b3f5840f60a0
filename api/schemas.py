"""Shapes of requests and responses that are not the planner's own."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from measurements.coverage import Covered
from measurements.records import Measurement
from models_registry import Configuration
from planner.answer import ComponentFlops, Front, Recommendation, StudySummary


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
        memory_bytes: Weights, caches and activations together.
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
    """Every model of the registry."""

    items: list[ModelInfo]


class StudyInfo(Schema):
    """A study and how much is known in it."""

    id: str
    task: str
    measured: int
    published: int


class StudiesResponse(Schema):
    """Every study."""

    items: list[StudyInfo]


class CoverageResponse(Schema):
    """How often what was predicted came true.

    Attributes:
        items: All of the record, then by basis, then by study, for each level.
    """

    items: list[Covered]


class MeasurementsPage(Schema):
    """A page of measurements.

    Attributes:
        items: Measurements, oldest first.
        next_cursor: Cursor of the next page; none on the last.
    """

    items: list[Measurement]
    next_cursor: str | None


class Health(Schema):
    """That the service is up and its store answers."""

    status: Literal["ok"] = "ok"
    version: str
