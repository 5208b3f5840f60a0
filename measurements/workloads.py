"""Workloads from what a user has at hand: a folder of audio, or a file of durations."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

from pydantic import ValidationError

from measurements.audio import (
    AUDIO_ENDINGS,
    START_BYTES,
    AudioFileError,
    duration_s,
    looks_like_audio,
)
from measurements.datasets import DatasetError
from planner.workload import TOKENS_PER_AUDIO_S, Workload

MAX_RECORDINGS = 10_000

NAMED = 3
"""Files that are left out and named; the others are counted."""


def workload_from(path: Path, tokens_per_audio_s: float | None = None) -> Workload:
    """Reads a workload.

    Args:
        path: A folder that is searched for audio; a JSON file with a list of durations, or
            with the fields of :class:`~planner.workload.Workload`; a CSV file with a column
            ``duration_s`` and, if durations occur more than once, ``weight``; or a text file
            with a duration a line, or with all of them in one.
        tokens_per_audio_s: Tokens that transcripts have per second of audio, where the
            path does not say so.

    Raises:
        DatasetError: There is no such thing, no duration in it, or it says other tokens.
    """
    said = TOKENS_PER_AUDIO_S if tokens_per_audio_s is None else tokens_per_audio_s
    if path.is_dir():
        return _of_folder(path, said)
    if not path.is_file():
        raise DatasetError(f"{path}: no such folder or file of a workload")
    try:
        if path.suffix.lower() == ".json":
            return _of_json(path, tokens_per_audio_s)
        return _of_list(path, said) or _of_table(path, said)
    except (ValidationError, ValueError, csv.Error) as error:
        raise DatasetError(f"{path}: not a workload: {_first(error)}") from None


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
    if path.name.startswith("._") or not path.is_file():
        return False
    if path.suffix.lower() in AUDIO_ENDINGS:
        return True
    try:
        with path.open("rb") as stream:
            return looks_like_audio(stream.read(START_BYTES))
    except OSError:
        return False


def _of_json(path: Path, tokens_per_audio_s: float | None) -> Workload:
    stated = json.loads(path.read_bytes())
    if isinstance(stated, list):
        stated = {"durations_s": stated, "source": f"{len(stated)} durations of {path}"}
    if tokens_per_audio_s is not None and isinstance(stated, dict):
        own = stated.setdefault("tokens_per_audio_s", tokens_per_audio_s)
        if own != tokens_per_audio_s:
            raise ValueError(f"it says {own} tokens_per_audio_s, not {tokens_per_audio_s:g}")
    return Workload.model_validate_json(json.dumps(stated))


def _of_list(path: Path, tokens_per_audio_s: float) -> Workload | None:
    """Of a file that holds nothing but numbers, a column or a line of them."""
    lines = [
        line.replace(",", " ").replace(";", " ").split()
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    lines = [line for line in lines if line]
    if len(lines) > 1 and any(len(line) > 1 for line in lines):
        return None
    try:
        durations = tuple(float(text) for line in lines for text in line)
    except ValueError:
        return None
    return Workload(
        durations_s=durations,
        tokens_per_audio_s=tokens_per_audio_s,
        source=f"{len(durations)} durations of {path}",
    )


def _of_table(path: Path, tokens_per_audio_s: float) -> Workload:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or "duration_s" not in rows[0]:
        raise ValueError("a column duration_s is needed")
    weights = tuple(float(row["weight"]) for row in rows) if "weight" in rows[0] else None
    return Workload(
        durations_s=tuple(float(row["duration_s"]) for row in rows),
        weights=weights,
        tokens_per_audio_s=tokens_per_audio_s,
        source=f"{len(rows)} durations of {path}",
    )


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        one = error.errors()[0]
        return ": ".join(filter(None, [".".join(map(str, one["loc"])), one["msg"]]))
    return str(error)
