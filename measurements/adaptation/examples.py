"""Stretches of speech with the tokens that a recogniser is to say for them."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from measurements.datasets import Dataset, DatasetError, Utterance
from models_registry import Configuration
from models_registry.adapters import adapters_dir
from models_registry.architectures import WAVEFORM_HZ
from models_registry.loading.audio import Waveform, cut_at_quiet_places, to_waveform
from models_registry.loading.decoding import DecodingRules
from models_registry.loading.whisper import WhisperTranscriber

MOST_HELD_OUT = 32
"""Utterances that decide when to stop; more would only take time."""

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

    Transcripts in capitals are put in small letters, which the model has tokens for; line breaks
    in them are blanks.
    """
    examples = []
    for utterance in utterances:
        samples = round(utterance.duration_s() * WAVEFORM_HZ)
        text = " ".join(utterance.reference.split())
        text = text.lower() if text.isupper() else text
        tokens = tokenizer.encode(f" {text}" if text else "", add_special_tokens=False).ids
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
    pieces, stop = [], 0
    for piece in cut_at_quiet_places(to_waveform(*utterance.audio()), window_s):
        start = stop - round(piece.overlap_s * WAVEFORM_HZ)
        stop = start + len(piece.waveform)
        pieces.append(Example(utterance, start, stop))
    return pieces
