"""What a speech recogniser is taught: transcripts, or its own full-window output."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import WhisperFeatureExtractor

from measurements.adaptation.records import Hyperparameters
from measurements.datasets import Dataset, DatasetError, Utterance
from models_registry import Configuration
from models_registry.adapters import adapters_dir
from models_registry.architectures import FRAMES_PER_SECOND, WAVEFORM_HZ, WhisperArchitecture
from models_registry.loading.audio import Waveform, cut_at_quiet_places, to_waveform
from models_registry.loading.decoding import DecodingRules
from models_registry.loading.reduction import set_window
from models_registry.loading.whisper import WhisperTranscriber
from planner.cost.training import step_flops

MARGIN_S = 0.5
"""Most silence behind the speech in a tight window, in seconds; drawn evenly from 0 on."""

GRID_S = 0.1
"""Tight windows are rounded up to a multiple of it."""

MOST_HELD_OUT = 32
"""Utterances that decide when to stop; more would only take time."""

_IGNORED = -100
_LABELLED_AT_ONCE = 8


@dataclass(frozen=True)
class Example:
    """A stretch of a recording and what is said in it.

    Attributes:
        utterance: The recording.
        start: First sample at 16 kHz.
        stop: Behind the last.
        tokens: Target, the end of text included; empty before it is known.
    """

    utterance: Utterance
    start: int
    stop: int
    tokens: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        """Unique within the data set."""
        return f"{self.utterance.id}:{self.start}-{self.stop}"

    @property
    def duration_s(self) -> float:
        """Seconds of audio."""
        return (self.stop - self.start) / WAVEFORM_HZ

    def waveform(self) -> Waveform:
        """One channel at 16 kHz."""
        return to_waveform(*self.utterance.audio())[self.start : self.stop]


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
    """Cross-entropy on target tokens, fed in at once (teacher forcing).

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
    """

    def __init__(
        self,
        model: Any,
        configuration: Configuration,
        prompt: Sequence[int],
        training: Sequence[Example],
        held_out: Sequence[Example],
        hyperparameters: Hyperparameters,
    ) -> None:
        architecture = configuration.architecture
        assert isinstance(architecture, WhisperArchitecture)
        self._model, self._configuration = model, configuration
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
        """Sum of the cross-entropy over the target tokens, and their number."""
        model = self._model
        set_window(model.model.encoder, model.config, batch.frames)
        device = model.device
        inputs, targets = self._tokens(batch.examples)
        hidden = model.model(
            input_features=self._features(batch).to(device),
            decoder_input_ids=inputs.to(device),
            use_cache=False,
        ).last_hidden_state
        scores = model.proj_out(hidden[:, len(self._prompt) - 1 :]).float()
        targets = targets.to(device)
        total = functional.cross_entropy(
            scores.flatten(0, 1), targets.flatten(), ignore_index=_IGNORED, reduction="sum"
        )
        return total, int((targets != _IGNORED).sum())

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


def split_by_speaker(
    dataset: Dataset, share: float, seed: int
) -> tuple[list[Utterance], list[Utterance]]:
    """Utterances to train on, and those of other speakers that are held out.

    Speakers are drawn until they have said ``share`` of the utterances, or as many as decide
    when to stop. An utterance without a speaker counts as one of its own.

    Raises:
        DatasetError: There is one speaker only.
    """
    groups: dict[str, list[Utterance]] = {}
    for utterance in dataset.utterances:
        groups.setdefault(utterance.speaker or f"?{utterance.id}", []).append(utterance)
    if len(groups) < 2:
        raise DatasetError(
            f"data set {dataset.name}: training needs two speakers at least, one is held out"
        )
    speakers = sorted(groups)
    random.Random(seed).shuffle(speakers)
    # Talkative speakers last: few words of many voices tell more than many of one.
    speakers.sort(key=lambda speaker: len(groups[speaker]))
    wanted = min(math.ceil(share * len(dataset.utterances)), MOST_HELD_OUT)
    held_out: list[Utterance] = []
    while len(held_out) < wanted and len(speakers) > 1:
        held_out += groups[speakers.pop(0)]
    training = [u for speaker in speakers for u in groups[speaker]]
    return sorted(training, key=lambda u: u.id), sorted(held_out, key=lambda u: u.id)


def transcript_examples(
    utterances: Iterable[Utterance], configuration: Configuration, tokenizer: Any, end_of_text: int
) -> list[Example]:
    """Examples with the transcript as target; audio longer than the window is left out.

    Transcripts in capitals are put in small letters, which the model has tokens for.
    """
    examples = []
    for utterance in utterances:
        samples = round(utterance.duration_s() * WAVEFORM_HZ)
        text = utterance.reference
        text = text.lower() if text.isupper() else text
        tokens = tokenizer.encode(f" {text}", add_special_tokens=False).ids
        if samples <= configuration.window_s * WAVEFORM_HZ:
            examples.append(Example(utterance, 0, samples, (*tokens, end_of_text)))
    return examples


def distilled_examples(
    utterances: Sequence[Utterance],
    configuration: Configuration,
    teacher: WhisperTranscriber,
    labels: Path,
    on_labelled: Callable[[int, int], None],
) -> list[Example]:
    """Examples whose target is what the plain model hears in its full window.

    Audio longer than the configuration's window is cut at quiet places. Where the teacher had
    to be stopped, in a loop or at its limit, the example is left out.

    Args:
        utterances: Recordings; their references are not looked at.
        configuration: What is trained.
        teacher: The plain model in its full window.
        labels: File that keeps targets, so that they are made once.
        on_labelled: Told how many are done, of how many.
    """
    examples = [e for u in utterances for e in _pieces(u, configuration.window_s)]
    known: dict[str, list[int]] = json.loads(labels.read_text()) if labels.exists() else {}
    missing = [example for example in examples if example.id not in known]
    missing.sort(key=lambda example: (-example.duration_s, example.id))
    for first in range(0, len(missing), _LABELLED_AT_ONCE):
        on_labelled(len(examples) - len(missing) + first, len(examples))
        batch = missing[first : first + _LABELLED_AT_ONCE]
        heard = teacher.transcribe_batch([example.waveform() for example in batch])
        for example, transcription in zip(batch, heard, strict=True):
            known[example.id] = [] if transcription.cut_short else list(transcription.tokens[0])
        labels.parent.mkdir(parents=True, exist_ok=True)
        partial = labels.with_suffix(".partial")
        partial.write_text(json.dumps(known))
        partial.replace(labels)
    return [replace(e, tokens=tuple(known[e.id])) for e in examples if known[e.id]]


def labels_file(base_weights: str, fingerprint: str, rules: DecodingRules) -> Path:
    """Where a teacher's targets for a data set are kept."""
    key = hashlib.sha256(json.dumps([base_weights, fingerprint, repr(rules)]).encode())
    return adapters_dir() / "targets" / f"{key.hexdigest()}.json"


def _pieces(utterance: Utterance, window_s: float) -> list[Example]:
    samples = round(utterance.duration_s() * WAVEFORM_HZ)
    if samples <= window_s * WAVEFORM_HZ:
        return [Example(utterance, 0, samples)]
    pieces, start = [], 0
    for piece in cut_at_quiet_places(to_waveform(*utterance.audio()), window_s):
        pieces.append(Example(utterance, start, start + len(piece)))
        start += len(piece)
    return pieces
