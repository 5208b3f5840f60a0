"""What a trainer is given: the same for every task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from measurements.adaptation.records import Hyperparameters, TrainingData
from measurements.datasets import Dataset
from measurements.progress import Progress
from models_registry import Configuration, WeightsSource

Batch = Any
"""Whatever a lesson gives and takes; the trainer doesn't look inside."""


class Lesson(Protocol):
    """What is learnt: batches, and how wrong the model is on one."""

    @property
    def held_out(self) -> Sequence[Batch]:
        """Batches that decide when to stop, of speakers who are never trained on."""

    def batch(self, step: int) -> Batch:
        """The batch of a step, the same whenever it is asked for."""

    def loss(self, batch: Batch) -> tuple[Tensor, int]:
        """The sum of the loss over a batch's targets, and how many these are."""

    def flops(self, batch: Batch) -> tuple[int, int]:
        """FLOPs of a step on a batch: forward, backward."""


@dataclass(frozen=True)
class Request:
    """What is to be trained.

    Attributes:
        configuration: What to train for.
        dataset: What to learn from.
        fingerprint: Its identity.
        hyperparameters: How.
        device: Where.
        source: Where the base weights come from.
        base: Folder they are in.
        base_weights: SHA-256 of them.
    """

    configuration: Configuration
    dataset: Dataset
    fingerprint: str
    hyperparameters: Hyperparameters
    device: torch.device
    source: WeightsSource
    base: Path
    base_weights: str


@dataclass(frozen=True)
class Prepared:
    """A model with its adapter on, and what it is to learn.

    Attributes:
        parameters: What is trained, by name.
        lesson: What is learnt.
        data: What the lesson is made of.
        save: Writes the adapter's files into a folder.
    """

    parameters: Mapping[str, nn.Parameter]
    lesson: Lesson
    data: TrainingData
    save: Callable[[Path], None]


@dataclass(frozen=True)
class Task:
    """How adapters of one task are trained.

    Attributes:
        protocol: Part of an adapter's key: raised when the same settings would train another.
        prepare: Makes ready; the progress of making targets is told.
    """

    protocol: str
    prepare: Callable[[Request, Callable[[Progress], None]], Prepared]
