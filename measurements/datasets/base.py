"""What a data set is to a measurement: utterances with a reference, and an identity."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from measurements import audio


class DatasetError(ValueError):
    """A data set that can't be used; the message names the file."""


@dataclass(frozen=True)
class Utterance:
    """One recording and what is known of it.

    Attributes:
        id: Unique within the data set.
        path: The audio file.
        reference: Transcript (ASR) or emotion label (SER).
        speaker: Who speaks, where known.
    """

    id: str
    path: Path
    reference: str
    speaker: str | None = None

    def duration_s(self) -> float:
        """Duration in seconds: the header's where it can be trusted, else of what is decoded.

        Raises:
            DatasetError: The file can't be read.
        """
        try:
            return audio.duration_s(self.path)
        except audio.AudioFileError as error:
            raise DatasetError(str(error)) from None

    def audio(self) -> tuple[NDArray[np.float32], int]:
        """Samples, shape ``(samples,)`` or ``(samples, channels)``, and their rate.

        Raises:
            DatasetError: The file is corrupt, cut short, of no format that is read, too long,
                or holds no audio, or its channels cancel out.
        """
        try:
            return audio.read(self.path)
        except audio.AudioFileError as error:
            raise DatasetError(str(error)) from None


@dataclass(frozen=True)
class Dataset:
    """Named utterances that are evaluated together.

    Attributes:
        name: Short name; part of the study's id.
        task: What the references are for.
        language: Language code of the speech.
        utterances: In order of their ids.
        synthetic: Whether the speech was made by a synthesiser.
    """

    name: str
    task: Literal["asr", "ser"]
    language: str
    utterances: tuple[Utterance, ...]
    synthetic: bool = False

    def __post_init__(self) -> None:
        if not self.utterances:
            raise DatasetError(f"data set {self.name} has no utterances")

    @property
    def study(self) -> str:
        """Id of the study that measurements on it belong to."""
        suffix = "" if self.language == "en" else f"-{self.language}"
        return f"{self.task}-{self.name}{suffix}"

    def limited(self, limit: int | None, seed: int = 0) -> Dataset:
        """At most ``limit`` utterances, drawn at random.

        The draw is nested: for one seed, a smaller limit's utterances are among
        a larger one's, so measuring more adds to what is known.
        """
        if limit is None or limit >= len(self.utterances):
            return self
        drawn = list(self.utterances)
        random.Random(seed).shuffle(drawn)
        kept = tuple(sorted(drawn[:limit], key=lambda utterance: utterance.id))
        return replace(self, utterances=kept)

    def speakers_of(self, utterances: Sequence[str]) -> tuple[str, ...]:
        """Speakers of utterances named by their ids; none at all where one is not known."""
        known = {u.id: u.speaker for u in self.utterances}
        speakers = [known[identifier] for identifier in utterances]
        return tuple(s for s in speakers if s is not None) if all(speakers) else ()

    def fingerprint(self) -> str:
        """SHA-256 over ids, references and audio files; it changes when any does.

        In SER also over the speakers, which decide who is tested on what.

        Raises:
            DatasetError: An audio file can't be read.
        """
        digest = hashlib.sha256()
        for utterance in self.utterances:
            try:
                with utterance.path.open("rb") as stream:
                    sound = hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError as error:
                raise DatasetError(f"{utterance.path}: {error.strerror}") from None
            line = f"{utterance.id}\0{utterance.reference}\0{sound}"
            if self.task == "ser":
                line += f"\0{utterance.speaker or ''}"
            digest.update(f"{line}\n".encode())
        return digest.hexdigest()


def sorted_utterances(utterances: Sequence[Utterance]) -> tuple[Utterance, ...]:
    """Utterances in order of their ids.

    Raises:
        DatasetError: Two share an id.
    """
    ordered = sorted(utterances, key=lambda utterance: utterance.id)
    for one, other in itertools.pairwise(ordered):
        if one.id == other.id:
            raise DatasetError(f"{other.path}: id {one.id!r} occurs twice")
    return tuple(ordered)


def text_of(path: Path) -> str:
    """What a text file holds.

    Raises:
        DatasetError: It can't be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: not UTF-8: {error}") from None
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from None


def inside(root: Path, path: Path) -> Path:
    """A path that must lie in ``root``, links followed.

    Raises:
        DatasetError: It does not, or can't be followed.
    """
    try:
        resolved = path.resolve()
        within = resolved.is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError) as error:
        raise DatasetError(f"{str(path)!r}: {error}") from None
    if not within:
        raise DatasetError(f"{path}: lies outside {root}")
    return resolved
