"""Predictions that are saved, and what measurements have shown of them since."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from measurements.scores import PredictedRatio, Score
from models_registry import Configuration
from models_registry.configuration import Task
from planner.answer import Estimate, Prediction
from planner.cost import Convention
from planner.workload import Workload

Quantity = Literal[
    "wer",
    "ua",
    "rtf",
    "latency_p50_s",
    "latency_p95_s",
    "memory_gib",
    "joules_per_audio_second",
    "gflops_per_utterance",
    "gflops_per_audio_second",
]
"""What a measurement tells; money follows from the RTF, parameters from the model."""

PREDICTED = ("interpolated", "extrapolated")
"""Bases of predictions: what was measured or published is none."""


class SavedPredictionsError(ValueError):
    """A file that holds no saved predictions, and why."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SavedPredictions(_Part):
    """Predictions as they were made, to be judged when something was measured.

    Attributes:
        format: Of the file.
        created_at: When they were made; only what was measured later judges them.
        software: Versions that matter.
        revision: Of the store that they were made from.
        task: Task of the configurations.
        study: Study that they are for.
        device: Device that time and energy belong to; none if none was named.
        level: Probability of the intervals.
        convention: How FLOPs are counted.
        workload: Recordings that they are for.
        of_study: Whether these are the study's own, so that its errors are theirs.
        request: What was asked.
        left_out: Costs that could not be said, each with what it takes.
        items: The predictions.
        ratios: Of the items, in their order, errors relative to one that was measured before: of
            each speech that the study was measured on, the one with the fewest errors. A
            measurement on that speech is judged by them.
    """

    format: Literal["speechplan-predictions/1"] = "speechplan-predictions/1"
    created_at: AwareDatetime
    software: dict[str, str]
    revision: int
    task: Task
    study: str
    device: str | None
    level: float
    convention: Convention
    workload: Workload
    of_study: bool
    request: dict[str, Any] = Field(default_factory=dict)
    left_out: dict[str, str] = Field(default_factory=dict)
    items: tuple[Prediction, ...]
    ratios: tuple[tuple[PredictedRatio, ...], ...] = ()


class Judgement(_Part):
    """One quantity of a saved prediction beside what was measured later.

    Attributes:
        key: SHA-256 of the prediction: the same one is counted once, in however many files.
        quantity: What was predicted.
        study: Study that it is of.
        configuration: Of what.
        device: On which device; none of what belongs to none.
        predicted: The prediction.
        predicted_at: When it was made.
        measurement: Key of the measurement.
        measured_at: When that was made.
        measured: What it says, for the recordings that were predicted.
        ratio: ``measured`` over the prediction's mean; of UA that of the errors, 1 - UA.
        inside: Whether what was judged lies in the predicted interval, with the measurement's own
            noise; None of counted costs, whose intervals have no width.
        score: How WER or UA fared: relative to what was measured on the same utterances before,
            or by its level on speech that was not known.
        note: What has to be known of the comparison.
    """

    key: str
    quantity: Quantity
    study: str
    configuration: Configuration
    device: str | None
    predicted: Estimate
    predicted_at: AwareDatetime
    measurement: str
    measured_at: AwareDatetime
    measured: float
    ratio: float
    inside: bool | None
    score: Score | None = None
    note: str | None = None

    @property
    def counts(self) -> bool:
        """Whether it says something of intervals: what was measured before was no prediction."""
        scored = self.score is not None or self.quantity not in ("wer", "ua")
        return scored and self.inside is not None and self.predicted.basis in PREDICTED


def relative_width(predicted: Estimate, quantity: str) -> float:
    """Width of an interval, as a share of the mean; of UA, of the errors, 1 - UA."""
    mean = 1 - predicted.mean if quantity == "ua" else predicted.mean
    return (predicted.upper - predicted.lower) / mean if mean else 0.0


def judgement_key(saved: SavedPredictions, item: Prediction, quantity: str) -> str:
    """SHA-256 of a prediction's content, whenever it was made and whatever file it is in."""
    predicted = item.predictions[quantity]
    parts = [
        saved.study,
        item.configuration.key,
        saved.device,
        quantity,
        saved.convention,
        hashlib.sha256(saved.workload.model_dump_json(exclude={"source"}).encode()).hexdigest(),
        # The last digits are another processor's own.
        *(f"{n:.9g}" for n in (predicted.mean, predicted.lower, predicted.upper, predicted.level)),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def write_predictions(saved: SavedPredictions, path: Path) -> None:
    """Writes predictions to a JSON file.

    Raises:
        SavedPredictionsError: The file can't be written.
    """
    try:
        path.write_text(saved.model_dump_json(indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise SavedPredictionsError(f"{path}: {error.strerror}") from None


def read_predictions(path: Path) -> SavedPredictions:
    """Reads what ``speechplan predict --save`` has written.

    Raises:
        SavedPredictionsError: It is nothing of that kind, or from the future.
        UnknownNameError: A model is not in the registry.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SavedPredictionsError(f"{path}: {error.strerror}") from None
    try:
        found = SavedPredictions.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise SavedPredictionsError(
            f"{path}: holds no saved predictions: {where}: {first['msg']}"
        ) from None
    if found.created_at > datetime.now(UTC):
        raise SavedPredictionsError(
            f"{path}: was made at {found.created_at:%Y-%m-%d %H:%M:%S}, which is yet to come"
        )
    return found
