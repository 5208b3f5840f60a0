"""Workloads from what a user has at hand: a folder of audio, or a file of durations."""

from __future__ import annotations

import os
from pathlib import Path

from measurements.audio import (
    AUDIO_ENDINGS,
    START_BYTES,
    AudioFileError,
    duration_s,
    looks_like_audio,
)
from measurements.datasets import DatasetError
from measurements.workload_files import workload_of_file
from models_registry.files import is_system_file
from planner.workload import TOKENS_PER_AUDIO_S, Workload

MAX_RECORDINGS = 10_000

NAMED = 3
"""Files that are left out and named; the others are counted."""


def workload_from(path: Path, tokens_per_audio_s: float | None = None) -> Workload:
    """Reads a workload.

    Args:
        path: A folder that is searched for audio; a JSON file with a list of durations, or
            with the fields of :class:`~planner.workload.Workload`; a CSV file with a column
            ``duration_s`` and, if durations occur more than once, ``weight``, and no other; or a
            text file with a duration a line, or with all of them in one.
        tokens_per_audio_s: Tokens that transcripts have per second of audio, where the
            path does not say so.

    Raises:
        DatasetError: There is no such thing, no duration in it, or it says other tokens.
    """
    if path.is_dir():
        said = TOKENS_PER_AUDIO_S if tokens_per_audio_s is None else tokens_per_audio_s
        return _of_folder(path, said)
    if not path.is_file():
        raise DatasetError(f"{path}: no such folder or file of a workload")
    return workload_of_file(path, tokens_per_audio_s)


def _of_folder(folder: Path, tokens_per_audio_s: float) -> Workload:
    files = sorted(p for p in folder.rglob("*") if _is_heard(p))
    if not files:
        raise DatasetError(f"{folder}: no audio in it")
    # Every so many of a large collection stand for all of it.
    chosen = files[:: -(-len(files) // MAX_RECORDINGS)]
    durations, left_out = [], []
    for file in chosen:
        try:
            durations.append(duration_s(file))
        except AudioFileError as error:
            left_out.append(str(error).replace(f"{folder}{os.sep}", "", 1))
    if not durations:
        raise DatasetError(
            f"{folder}: none of {len(chosen)} audio files can be read: {left_out[0]}"
        )
    source = f"{len(durations)} recordings in {folder}"
    if left_out:
        named = "; ".join(left_out[:NAMED])
        more = f"; and {len(left_out) - NAMED} more" if len(left_out) > NAMED else ""
        source += f", {len(left_out)} left out: {named}{more}"
    return Workload(
        durations_s=tuple(durations), tokens_per_audio_s=tokens_per_audio_s, source=source
    )


def _is_heard(path: Path) -> bool:
    """Whether a file is audio by its name or its content, what macOS keeps beside one aside."""
    if is_system_file(path) or not path.is_file():
        return False
    if path.suffix.lower() in AUDIO_ENDINGS:
        return True
    try:
        with path.open("rb") as stream:
            return looks_like_audio(stream.read(START_BYTES))
    except OSError:
        return False
