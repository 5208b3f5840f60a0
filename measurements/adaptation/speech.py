"""What a speech recogniser is taught: transcripts, or its own full-window output."""

from __future__ import annotations

import copy
import hashlib
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional
from transformers import WhisperFeatureExtractor

from measurements.adaptation.examples import (
    Example,
    distilled_examples,
    labels_file,
    split_by_speaker,
    transcript_examples,
)
from measurements.adaptation.lesson import Prepared, Request
from measurements.adaptation.records import Hyperparameters, TrainingData
from measurements.datasets import DatasetError, Utterance
from measurements.progress import Progress
from models_registry import Configuration
from models_registry.adapters import placement
from models_registry.architectures import FRAMES_PER_SECOND, WAVEFORM_HZ, WhisperArchitecture
from models_registry.loading import load
from models_registry.loading.adapters import AttachedAdapter
from models_registry.loading.reduction import install_reduction, set_window
from models_registry.loading.whisper import WhisperTranscriber
from planner.cost.training import step_flops

PROTOCOL = "asr-adaptation-2"

MARGIN_S = 0.5
"""Most silence behind the speech in a tight window, in seconds; drawn evenly from 0 on."""

GRID_S = 0.1
"""Tight windows are rounded up to a multiple of it."""

_IGNORED = -100

_LIKELIEST = 64
"""Tokens whose probability the teacher hands down at each position; the rest are too rare."""


@dataclass(frozen=True)
class SpeechBatch:
    """Examples that run together.

    Attributes:
        examples: Similar in length.
        frames: Encoder frames of their window.
    """

    examples: tuple[Example, ...]
    frames: int

    @property
    def output_tokens(self) -> int:
        """Tokens of the longest target."""
        return max(len(example.tokens) for example in self.examples)


class SpeechLesson:
    """How far the model is from target tokens, fed in at once (teacher forcing).

    The loss is cross-entropy on the tokens or, with a teacher, the divergence (Kullback-Leibler)
    from the probabilities that it gives in its full window: on few utterances these teach
    far more than the tokens alone.

    With recipe ``self-distilled`` every batch runs in a tight window: its longest example, a
    random margin of at most 0.5 s, rounded up to 0.1 s. With ``supervised`` it runs in the
    configuration's own.

    Args:
        model: A Whisper model, its adapter and its reduction on it.
        configuration: What is trained.
        prompt: Token ids before the first target.
        training: Examples to learn from.
        held_out: Examples that decide when to stop.
        hyperparameters: Batch size and seed.
        teacher: The plain model, apart from the one that is trained; its passes are in no
            count of FLOPs.
        notes: Folder that keeps what the teacher says of each example, for other adapters.
    """

    def __init__(
        self,
        model: Any,
        configuration: Configuration,
        prompt: Sequence[int],
        training: Sequence[Example],
        held_out: Sequence[Example],
        hyperparameters: Hyperparameters,
        teacher: Any = None,
        notes: Path | None = None,
    ) -> None:
        architecture = configuration.architecture
        assert isinstance(architecture, WhisperArchitecture)
        self._model, self._configuration = model, configuration
        self._teacher, self._full_frames = teacher, architecture.max_frames
        self._notes = notes
        self._taught: dict[str, tuple[Tensor, Tensor]] = {}
        self._prompt = tuple(prompt)
        self._training, self._held_out_examples = tuple(training), tuple(held_out)
        self._size, self._seed = hyperparameters.batch_size, hyperparameters.seed
        self._extractor = WhisperFeatureExtractor(feature_size=architecture.mel_bins)

    def batch(self, step: int) -> SpeechBatch:
        """The batch of a step; an epoch takes every example about once, in a new order."""
        count = math.ceil(len(self._training) / self._size)
        epoch, place = divmod(step, count)
        draw = np.random.default_rng([self._seed, epoch])
        # Neighbours in a shuffled order sorted by length are similar, not always the same.
        order = draw.permutation(len(self._training))
        jitter = draw.uniform(0.9, 1.1, len(self._training))
        ranked = sorted(order, key=lambda i: self._training[i].duration_s * jitter[i])
        groups = [ranked[i : i + self._size] for i in range(0, len(ranked), self._size)]
        chosen = groups[draw.permutation(count)[place]]
        margin_s = np.random.default_rng([self._seed, epoch, place]).uniform(0, MARGIN_S)
        return self._batch([self._training[i] for i in chosen], margin_s)

    @cached_property
    def held_out(self) -> list[SpeechBatch]:
        """Held-out examples by length, half the margin behind the longest of each batch."""
        ranked = sorted(self._held_out_examples, key=lambda e: (e.duration_s, e.id))
        groups = [ranked[i : i + self._size] for i in range(0, len(ranked), self._size)]
        return [self._batch(group, MARGIN_S / 2) for group in groups]

    def loss(self, batch: SpeechBatch) -> tuple[Tensor, int]:
        """Sum of the loss over the target tokens, and their number."""
        model = self._model
        set_window(model.model.encoder, model.config, batch.frames)
        inputs, targets = self._tokens(batch.examples)
        scores = self._scores(model, self._features(batch), inputs)
        count = sum(len(example.tokens) for example in batch.examples)
        if self._teacher is not None:
            rows = zip(batch.examples, scores.log_softmax(-1), strict=True)
            return sum((self._divergence(e, row) for e, row in rows), scores.new_zeros(())), count
        total = functional.cross_entropy(
            scores.flatten(0, 1),
            targets.to(scores.device).flatten(),
            ignore_index=_IGNORED,
            reduction="sum",
        )
        return total, count

    def _divergence(self, example: Example, found: Tensor) -> Tensor:
        """Divergence of log-probabilities ``(tokens, vocabulary)`` from the teacher's."""
        if example.id not in self._taught:
            self._taught[example.id] = self._listen(example)
        likely, tokens = (tensor.to(found.device) for tensor in self._taught[example.id])
        own = found[: len(example.tokens)].gather(-1, tokens)
        return (likely.exp() * (likely - own)).sum()

    @torch.no_grad()
    def _listen(self, example: Example) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the teacher's likeliest tokens at each position, and these."""
        noted = None
        if self._notes is not None:
            noted = self._notes / f"{hashlib.sha256(example.id.encode()).hexdigest()}.safetensors"
            if noted.exists():
                known = load_file(noted)
                return known["likely"], known["tokens"]
        alone = SpeechBatch((example,), self._full_frames)
        inputs, _ = self._tokens(alone.examples)
        scores = self._scores(self._teacher, self._features(alone), inputs)[0]
        likely = scores.topk(min(_LIKELIEST, scores.shape[-1]))
        found = {"likely": likely.values.log_softmax(-1).cpu(), "tokens": likely.indices.cpu()}
        if noted is not None:
            noted.parent.mkdir(parents=True, exist_ok=True)
            partial = noted.with_suffix(".partial")
            save_file(found, partial)
            partial.replace(noted)
        return found["likely"], found["tokens"]

    def _scores(self, model: Any, features: Tensor, inputs: Tensor) -> Tensor:
        hidden = model.model(
            input_features=features.to(model.device),
            decoder_input_ids=inputs.to(model.device),
            use_cache=False,
        ).last_hidden_state
        scores: Tensor = model.proj_out(hidden[:, len(self._prompt) - 1 :]).float()
        return scores

    def flops(self, batch: SpeechBatch) -> tuple[int, int]:
        """FLOPs of a step under ``training-counted-1``: forward, backward."""
        counted = step_flops(
            self._configuration,
            frames=batch.frames,
            output_tokens=batch.output_tokens,
            rows=len(batch.examples),
        )
        return counted.forward, counted.backward

    def _batch(self, examples: Sequence[Example], margin_s: float) -> SpeechBatch:
        frames = self._configuration.frames
        if self._configuration.recipe == "self-distilled":
            longest_s = max(example.duration_s for example in examples) + margin_s
            tight_s = math.ceil(longest_s / GRID_S - 1e-9) * GRID_S
            frames = min(frames, round(tight_s * FRAMES_PER_SECOND))
        return SpeechBatch(tuple(examples), frames)

    def _features(self, batch: SpeechBatch) -> Tensor:
        extracted = self._extractor(
            [example.waveform() for example in batch.examples],
            sampling_rate=WAVEFORM_HZ,
            padding="max_length",
            max_length=batch.frames * 2 * self._extractor.hop_length,
            return_tensors="pt",
        )
        features: Tensor = extracted.input_features
        return features

    def _tokens(self, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
        """Inputs ``(rows, P + T - 1)`` and targets ``(rows, T)``, what is behind an end ignored."""
        longest = max(len(example.tokens) for example in examples)
        ends = [example.tokens[-1] for example in examples]
        inputs = [
            [*self._prompt, *e.tokens[:-1], *[end] * (longest - len(e.tokens))]
            for e, end in zip(examples, ends, strict=True)
        ]
        targets = [[*e.tokens, *[_IGNORED] * (longest - len(e.tokens))] for e in examples]
        return torch.tensor(inputs), torch.tensor(targets)


def prepare(request: Request, report: Callable[[Progress], None]) -> Prepared:
    """Loads the model, makes targets by the configuration's recipe and puts the adapter on.

    Raises:
        DatasetError: The data set can't be read, or leaves nothing to train on.
        WeightsError: The base weights can't be had.
    """
    c, dataset, h = request.configuration, request.dataset, request.hyperparameters
    plain = load(
        Configuration(model=c.model),
        device=str(request.device),
        weights=request.source,
        language=dataset.language,
    )
    assert isinstance(plain, WhisperTranscriber)
    training, held_out = split_by_speaker(dataset, h.held_out_share, h.seed)
    wanted = h.steps * h.batch_size
    if len(training) > wanted:
        random.Random(h.seed).shuffle(training)
    chosen = [*training[:wanted], *held_out]
    labels = labels_file(request.base_weights, request.fingerprint, plain.rules)
    found = _examples(request, plain, chosen, labels, report)
    apart = {utterance.id for utterance in held_out}
    examples = [e for e in found if e.utterance.id not in apart]
    exam = [e for e in found if e.utterance.id in apart]
    if not examples or not exam:
        raise DatasetError(
            f"data set {dataset.name}: no utterance with a usable target within"
            f" {c.window_s:g} s to {'hold out' if examples else 'train on'}"
        )
    model = plain.model
    teacher = copy.deepcopy(model) if c.recipe == "self-distilled" else None
    install_reduction(model.model.encoder.layers, model.model.encoder.layer_norm, c)
    torch.manual_seed(h.seed)
    adapter = AttachedAdapter(
        model,
        placement(c),
        scaling=h.scaling,
        svd=c.adapter == "dama",
        base_name=c.architecture.hub_id,
    )
    data = TrainingData(
        name=dataset.name,
        fingerprint=request.fingerprint,
        utterances=len({e.utterance.id for e in examples}),
        audio_s=sum(e.duration_s for e in examples),
        held_out_utterances=len({e.utterance.id for e in exam}),
        held_out_speakers=tuple(sorted({e.utterance.speaker or "" for e in exam})),
        left_out_utterances=len(chosen) - len({e.utterance.id for e in found}),
    )
    lesson = SpeechLesson(
        model, c, plain.rules.prompt, examples, exam, h, teacher, labels.with_suffix("")
    )
    return Prepared(adapter.parameters, lesson, data, adapter.save)


def _examples(
    request: Request,
    plain: WhisperTranscriber,
    utterances: Sequence[Utterance],
    labels: Path,
    report: Callable[[Progress], None],
) -> list[Example]:
    ordered = sorted(utterances, key=lambda utterance: utterance.id)
    if request.configuration.recipe == "self-distilled":
        return distilled_examples(
            ordered,
            request.configuration,
            plain,
            labels,
            lambda done, total: report(Progress("listening", done, total)),
        )
    tokenizer = Tokenizer.from_file(str(request.base / "tokenizer.json"))
    return transcript_examples(ordered, request.configuration, tokenizer, plain.rules.end_of_text)
