"""What is kept of a training; ``training.json`` beside the adapter's weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from measurements.records import AdapterInfo, DeviceInfo, Record
from models_registry import Configuration
from models_registry.adapters import RECORD_FILE, AdapterError, adapters, trained_form
from models_registry.configuration import AdapterKind
from models_registry.languages import ENGLISH

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

EMOTION_PROTOCOL = "ser-adaptation-1"
"""Part of the key of an adapter for emotion: raised when the same settings train another."""

_LEARNING_RATES: dict[AdapterKind, float] = {
    "lora": 1e-3,
    "dama": 1e-3,
    "partial": 1e-4,
    "full": 1e-5,
}

_DISTILLING_RATE = 2e-4
"""For low-rank adapters that learn from a teacher's probabilities: at 1e-3 they forget
more than they learn."""


def peak_learning_rate(configuration: Configuration) -> float:
    """The peak rate by kind and recipe: the fewer the parameters, the larger the steps."""
    rate = _LEARNING_RATES.get(configuration.adapter, _LEARNING_RATES["lora"])
    return min(rate, _DISTILLING_RATE) if configuration.recipe == "self-distilled" else rate


class Hyperparameters(Record):
    """How an adapter is trained.

    Attributes:
        steps: Most optimiser steps; early stopping may end before.
        learning_rate: Peak of the rate, which rises linearly and falls linearly to 0.
        batch_size: Utterances of a step.
        warmup_share: Part of the steps over which the rate rises.
        scaling: The LoRA's alpha over its rank.
        weight_decay: Of AdamW.
        max_gradient_norm: Gradients are clipped to it.
        held_out_share: Part of the utterances that is held out, whole speakers.
        evaluate_every: Steps between evaluations on what is held out.
        patience: Evaluations without improvement after which training stops.
        seed: Seed of everything random.
    """

    steps: Annotated[int, Field(ge=1)] = 60
    learning_rate: Positive = 1e-3
    batch_size: Annotated[int, Field(ge=1)] = 8
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.1
    scaling: Positive = 2.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_gradient_norm: Positive = 1.0
    held_out_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    evaluate_every: Annotated[int, Field(ge=1)] = 10
    patience: Annotated[int, Field(ge=1)] = 3
    seed: Annotated[int, Field(ge=0)] = 0


class TrainingData(Record):
    """What an adapter learnt from.

    Attributes:
        name: Name of the data set.
        fingerprint: SHA-256 over all of it; see ``Dataset.fingerprint``.
        utterances: Trained on, each counted once.
        audio_s: Their duration together.
        held_out_utterances: Those that decided when to stop.
        held_out_speakers: Who speaks them; nobody of them is trained on.
        left_out_utterances: Not used: too long for the window, or without a usable target.
    """

    name: str
    fingerprint: str
    utterances: int
    audio_s: float
    held_out_utterances: int
    held_out_speakers: tuple[str, ...]
    left_out_utterances: int = 0


class LossPoint(Record):
    """Losses at one evaluation.

    Attributes:
        step: Optimiser steps done.
        training: Mean over the steps since the evaluation before; none at step 0.
        held_out: On what is held out.
    """

    step: int
    training: float | None
    held_out: float


class TrainingRecord(Record):
    """A finished training.

    Attributes:
        key: SHA-256 of configuration, base weights, data and hyper-parameters.
        configuration: What it was trained for; precision and batch size are left out.
        base_weights: SHA-256 of the weights it goes onto.
        data: What it learnt from.
        hyperparameters: How.
        trainable_parameters: Counted on the model.
        training_flops: Of all steps, forward and backward, in closed form.
        held_out_flops: Of the evaluations on what is held out.
        convention: How FLOPs were counted.
        training_s: Wall seconds of steps and evaluations, over all tries.
        target_s: Wall seconds of making the targets; 0 where they were there.
        losses: At every evaluation.
        best_step: The one whose weights were kept.
        device: Where.
        software: Versions that matter.
        command: What repeats it.
        created_at: When it was finished.
    """

    key: str
    configuration: Configuration
    base_weights: str
    data: TrainingData
    hyperparameters: Hyperparameters
    trainable_parameters: int
    training_flops: int
    held_out_flops: int
    convention: Literal["training-counted-1"]
    training_s: float
    target_s: float
    losses: tuple[LossPoint, ...]
    best_step: int
    device: DeviceInfo
    software: dict[str, str]
    command: str
    created_at: datetime

    def info(self) -> AdapterInfo:
        """What a measurement keeps of it."""
        return AdapterInfo(
            key=self.key,
            trainable_parameters=self.trainable_parameters,
            training_flops=self.training_flops,
            training_s=self.training_s,
            command=self.command if self.configuration.task == "asr" and self.command else None,
        )


def adapter_key(
    configuration: Configuration,
    base_weights: str,
    fingerprint: str,
    hyperparameters: Hyperparameters,
    protocol: str,
    *,
    language: str | None = None,
    speakers: Mapping[str, str | None] | None = None,
) -> str:
    """Key of an adapter by what it is trained from and how.

    Args:
        configuration: What it is trained for.
        base_weights: SHA-256 of the weights it goes onto.
        fingerprint: Of the data.
        hyperparameters: How.
        protocol: Of its task.
        language: What the model is told to hear, unless that is English; none in SER.
        speakers: Who speaks, by utterance, where an adapter of the same data was trained before
            this was known.
    """
    document: list[object] = [
        trained_form(configuration).key,
        base_weights,
        fingerprint,
        hyperparameters.model_dump(mode="json"),
        protocol,
    ]
    if language is not None and language != ENGLISH:
        document.append({"language": language})
    if speakers is not None:
        document.append({"speakers": dict(speakers)})
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def read_record(folder: Path) -> TrainingRecord:
    """The record of the adapter in a folder.

    Raises:
        AdapterError: It is not there, or not a record.
    """
    path = folder / RECORD_FILE
    try:
        return TrainingRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise AdapterError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise AdapterError(f"{path}: not a record of a trained adapter") from None


def records() -> list[TrainingRecord]:
    """Records of all finished adapters, the newest last."""
    found = [read_record(adapter.folder) for adapter in adapters()]
    return sorted(found, key=lambda record: record.created_at)
