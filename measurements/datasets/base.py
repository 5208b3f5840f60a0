"""What a data set is to a measurement: utterances with a reference, and an identity."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from measurements import audio
from measurements.cells import TableError, decoded
from models_registry.files import lfs_pointer
from models_registry.languages import assumed_text


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
        start_s: Where it begins in the file, in seconds.
        end_s: Where it ends; with the file if None.
    """

    id: str
    path: Path
    reference: str
    speaker: str | None = None
    start_s: float = 0.0
    end_s: float | None = None

    def duration_s(self) -> float:
        """Duration in seconds: the header's where it can be trusted, else of what is decoded.

        Raises:
            DatasetError: The file can't be read.
        """
        if self.end_s is not None:
            return self.end_s - self.start_s
        try:
            return audio.duration_s(self.path) - self.start_s
        except audio.AudioFileError as error:
            raise DatasetError(str(error)) from None

    def audio(self) -> tuple[NDArray[np.float32], int]:
        """Samples, shape ``(samples,)`` or ``(samples, channels)``, and their rate.

        Raises:
            DatasetError: The file is corrupt, cut short, of no format that is read, too long,
                or holds no audio, its channels cancel out, or a segment goes beyond its end.
        """
        try:
            return audio.read(self.path, self.start_s, self.end_s)
        except audio.AudioFileError as error:
            raise DatasetError(str(error)) from None

    def content(self) -> str:
        """SHA-256 of the audio file, in hexadecimal.

        Raises:
            DatasetError: The file can't be read, or Git LFS has not fetched it.
        """
        try:
            if pointer := lfs_pointer(self.path):
                raise DatasetError(f"{self.path}: {pointer}")
            with self.path.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise DatasetError(f"{self.path}: {error.strerror}") from None


@dataclass(frozen=True)
class Dataset:
    """Named utterances that are evaluated together.

    Attributes:
        name: Short name; part of the study's id.
        task: What the references are for.
        language: Language code of the speech.
        utterances: In order of their ids.
        synthetic: Whether the speech was made by a synthesiser.
        language_assumed: Whether nothing says which language it is.
        notes: What a user should know of how it was read, such as files left out.
        drawn_from: All utterances of the data set, where these are some of them.
        place: What it was opened by, as ``manifest:FILE``.
    """

    name: str
    task: Literal["asr", "ser"]
    language: str
    utterances: tuple[Utterance, ...]
    synthetic: bool = False
    language_assumed: bool = False
    notes: tuple[str, ...] = ()
    drawn_from: tuple[Utterance, ...] = ()
    place: str = ""

    def __post_init__(self) -> None:
        if not self.utterances:
            raise DatasetError(f"data set {self.name} has no utterances")

    @property
    def study(self) -> str:
        """Id of the study that measurements on it belong to."""
        suffix = "" if self.language == "en" else f"-{self.language}"
        return f"{self.task}-{self.name}{suffix}"

    @property
    def whole(self) -> tuple[Utterance, ...]:
        """All utterances of the data set, drawn or not."""
        return self.drawn_from or self.utterances

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a user should be told before it is measured, a sentence each."""
        if not self.language_assumed or self.task != "asr":
            return self.notes
        return (assumed_text(self.language), *self.notes)

    def limited(self, limit: int | None, seed: int = 0) -> Dataset:
        """At most ``limit`` utterances, drawn at random.

        The draw is nested: for one seed, a smaller limit's utterances are among
        a larger one's, so measuring more adds to what is known. Limiting a limited data set draws
        in the same order as limiting the whole one.
        """
        if limit is None or limit >= len(self.utterances):
            return self
        order = list(self.whole)
        random.Random(seed).shuffle(order)
        own = {utterance.id for utterance in self.utterances}
        drawn = [utterance for utterance in order if utterance.id in own]
        kept = tuple(sorted(drawn[:limit], key=lambda utterance: utterance.id))
        return replace(self, utterances=kept, drawn_from=self.whole)

    @property
    def speakers(self) -> set[str]:
        """Everyone who speaks, as far as it is known."""
        return {u.speaker for u in self.utterances if u.speaker is not None}

    def speakers_of(self, utterances: Sequence[str]) -> tuple[str, ...]:
        """Speakers of utterances named by their ids; none at all where one is not known."""
        known = {u.id: u.speaker for u in self.utterances}
        speakers = [known[identifier] for identifier in utterances]
        return tuple(s for s in speakers if s is not None) if all(speakers) else ()

    @cached_property
    def contents(self) -> dict[str, str]:
        """SHA-256 of each utterance's audio file, by the utterance's id.

        Raises:
            DatasetError: An audio file can't be read.
        """
        files = {utterance.path: utterance for utterance in self.utterances}
        found = {path: utterance.content() for path, utterance in files.items()}
        return {utterance.id: found[utterance.path] for utterance in self.utterances}

    def fingerprint(self) -> str:
        """SHA-256 over ids, references, audio files and segments; it changes when any does.

        In SER also over the speakers, which decide who is tested on what.

        Raises:
            DatasetError: An audio file can't be read.
        """
        digest = hashlib.sha256()
        for utterance in self.utterances:
            line = f"{utterance.id}\0{utterance.reference}\0{self.contents[utterance.id]}"
            if utterance.start_s or utterance.end_s is not None:
                line += f"\0{utterance.start_s!r}\0{utterance.end_s!r}"
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


def content_of(path: Path) -> bytes:
    """What a file holds.

    Raises:
        DatasetError: It can't be read, or Git LFS has not fetched it.
    """
    try:
        if pointer := lfs_pointer(path):
            raise DatasetError(f"{path}: {pointer}")
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from None


def text_of(path: Path) -> str:
    """What a text file holds.

    Raises:
        DatasetError: It can't be read, or is not UTF-8.
    """
    try:
        return decoded(content_of(path))
    except TableError as error:
        raise DatasetError(error.of(path)) from None


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
