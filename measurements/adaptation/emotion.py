"""What an emotion recogniser is taught: labels of clips, its read-out learning along."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from measurements.adaptation.examples import split_by_speaker
from measurements.adaptation.lesson import Prepared, Request
from measurements.adaptation.records import Hyperparameters, TrainingData
from measurements.datasets import DatasetError, Utterance
from measurements.evaluation.readout_training import train_linear
from measurements.progress import Progress
from models_registry.adapters import placement
from models_registry.architectures import WhisperArchitecture
from models_registry.loading.adapters import AttachedAdapter
from models_registry.loading.audio import to_waveform
from models_registry.loading.clock import PhaseClock
from models_registry.loading.encoders import EmotionEncoder, Features, encoder_from_folder
from models_registry.loading.readouts import Readout, save_readout
from models_registry.readouts import ReadoutInfo
from planner.cost.training import encoder_step_flops

_CLIPS_AT_ONCE = 16


@dataclass(frozen=True)
class Clip:
    """A clip and the class of its emotion."""

    utterance: Utterance
    label: int


class EmotionLesson:
    """How far the read-out is from the labels, every class weighing the same.

    Args:
        encoder: An encoder with its adapter on.
        readout: Linear, trained along.
        training: Clips to learn from.
        held_out: Clips of other speakers, who decide when to stop.
        hyperparameters: Batch size and seed.
    """

    def __init__(
        self,
        encoder: EmotionEncoder,
        readout: Readout,
        training: Sequence[Clip],
        held_out: Sequence[Clip],
        hyperparameters: Hyperparameters,
    ) -> None:
        self._encoder, self._readout = encoder, readout
        self._training, self._exam = tuple(training), tuple(held_out)
        self._size, self._seed = hyperparameters.batch_size, hyperparameters.seed
        self._heard: dict[str, Features] = {}
        counts = np.bincount([clip.label for clip in training])
        present = counts > 0
        weights = np.zeros(len(counts))
        weights[present] = len(training) / (present.sum() * counts[present])
        self._weights = torch.tensor(weights, dtype=torch.float32, device=encoder.device)

    def batch(self, step: int) -> tuple[Clip, ...]:
        """The clips of a step; an epoch takes every clip about once, in a new order."""
        steps = max(1, len(self._training) // self._size)
        epoch, place = divmod(step, steps)
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._training))
        chosen = order[place * self._size : (place + 1) * self._size]
        return tuple(self._training[i] for i in chosen)

    @cached_property
    def held_out(self) -> list[tuple[Clip, ...]]:
        """Held-out clips, some at a time."""
        return [
            self._exam[first : first + _CLIPS_AT_ONCE]
            for first in range(0, len(self._exam), _CLIPS_AT_ONCE)
        ]

    def loss(self, batch: Sequence[Clip]) -> tuple[Tensor, int]:
        """Sum of the weighted cross-entropy over the clips, and their number."""
        features = _joined([self._features(clip.utterance) for clip in batch])
        scores = self._readout(self._encoder.forward(features))
        labels = torch.tensor([clip.label for clip in batch], device=scores.device)
        weighted = nn.functional.cross_entropy(scores, labels, reduction="none")
        return (weighted * self._weights[labels]).sum(), len(batch)

    def flops(self, batch: Sequence[Clip]) -> tuple[int, int]:
        """FLOPs of a step under ``training-counted-1``: forward, backward."""
        counted = encoder_step_flops(
            self._encoder.configuration, rows=len(batch), classes=len(self._weights)
        )
        return counted.forward, counted.backward

    def _features(self, utterance: Utterance) -> Features:
        if utterance.id not in self._heard:
            waveform = to_waveform(*utterance.audio())
            clock = PhaseClock(self._encoder.device)
            self._heard[utterance.id] = self._encoder.features([waveform], clock)
        return self._heard[utterance.id]


def prepare(request: Request, report: Callable[[Progress], None]) -> Prepared:
    """Loads the encoder, trains a read-out on it as it is, and puts the adapter on.

    Raises:
        DatasetError: The data set can't be read, or has no speakers to hold out.
        WeightsError: The base weights can't be had.
    """
    c, dataset, h = request.configuration, request.dataset, request.hyperparameters
    if any(utterance.speaker is None for utterance in dataset.utterances):
        raise DatasetError(f"data set {dataset.name}: training needs the speaker of every clip")
    plain = c.model_copy(
        update={"adapter": "none", "rank": None, "unfrozen_layers": 0, "recipe": None}
    )
    encoder = encoder_from_folder(request.base, plain, request.device)
    training, held_out = split_by_speaker(dataset, h.held_out_share, h.seed)
    labels = tuple(sorted({utterance.reference for utterance in dataset.utterances}))
    clips, exam = (
        [Clip(u, labels.index(u.reference)) for u in part] for part in (training, held_out)
    )
    readout = _first_readout(encoder, clips, len(labels), report)
    random.seed(h.seed)
    torch.manual_seed(h.seed)
    layers = "layers" if isinstance(c.architecture, WhisperArchitecture) else "encoder.layers"
    encoder.configuration = c
    adapter = AttachedAdapter(
        encoder.model,
        placement(c),
        scaling=h.scaling,
        svd=c.adapter == "dama",
        stacks={"encoder": layers, "decoder": ""},
        base_name=c.architecture.hub_id,
    )
    parameters: Mapping[str, nn.Parameter] = {
        **adapter.parameters,
        **{f"readout.{name}": p for name, p in readout.named_parameters()},
    }

    def save(folder: Path) -> None:
        adapter.save(folder)
        info = ReadoutInfo(
            kind="linear",
            width=encoder.width,
            labels=labels,
            study=dataset.study,
            measurement="",
            weights_sha256=encoder.weights_sha256,
            provenance="trained with the adapter beside it",
        )
        save_readout(readout, info, folder)

    data = TrainingData(
        name=dataset.name,
        fingerprint=request.fingerprint,
        utterances=len(training),
        audio_s=sum(utterance.duration_s() for utterance in training),
        held_out_utterances=len(held_out),
        held_out_speakers=tuple(sorted({u.speaker or "" for u in held_out})),
    )
    lesson = EmotionLesson(encoder, readout, clips, exam, h)
    return Prepared(parameters, lesson, data, save)


def _first_readout(
    encoder: EmotionEncoder,
    clips: Sequence[Clip],
    classes: int,
    report: Callable[[Progress], None],
) -> Readout:
    """A linear read-out on the encoder as it is: where the training begins."""
    means = []
    for first in range(0, len(clips), _CLIPS_AT_ONCE):
        report(Progress("listening", first, len(clips), metric="loss"))
        batch = [to_waveform(*c.utterance.audio()) for c in clips[first : first + _CLIPS_AT_ONCE]]
        clock = PhaseClock(encoder.device)
        means.append(encoder.encode(encoder.features(batch, clock), clock).mean().cpu())
    labels = torch.tensor([clip.label for clip in clips])
    speakers = [clip.utterance.speaker or "" for clip in clips]
    # Inference tensors can't be trained on.
    with torch.inference_mode(False):
        readout = train_linear(torch.cat(means).clone(), labels, speakers, classes)
    return readout.to(encoder.device)


def _joined(parts: Sequence[Features]) -> Features:
    masks = [part.mask for part in parts if part.mask is not None]
    return Features(
        torch.cat([part.values for part in parts]),
        torch.cat(masks) if masks else None,
        tuple(frames for part in parts for frames in part.frames),
    )
