"""Workloads from what a user has at hand: a folder of audio, or a file of durations."""

from __future__ import annotations

from pathlib import Path

import soundfile

from measurements.datasets import DatasetError
from measurements.workload_files import workload_of_file
from models_registry.files import is_system_file, lfs_pointer
from planner.workload import TOKENS_PER_AUDIO_S, Workload

AUDIO = (".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav")
MAX_RECORDINGS = 10_000


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
    files = sorted(
        p
        for p in folder.rglob("*")
        if p.suffix.lower() in AUDIO and p.is_file() and not is_system_file(p)
    )
    if not files:
        raise DatasetError(f"{folder}: no audio in it ({', '.join(AUDIO)})")
    # Every so many of a large collection stand for all of it.
    chosen = files[:: -(-len(files) // MAX_RECORDINGS)]
    durations, unread = [], 0
    for file in chosen:
        try:
            durations.append(soundfile.info(str(file)).duration)
        except (soundfile.LibsndfileError, OSError):
            unread += 1
    durations = [d for d in durations if d > 0]
    if not durations:
        why = lfs_pointer(chosen[0])
        raise DatasetError(
            f"{folder}: none of {len(chosen)} audio files could be read"
            + ("" if why is None else f": {chosen[0].name} is {why}")
        )
    source = f"{len(durations)} recordings in {folder}"
    if unread:
        source += f", {unread} that could not be read left out"
    return Workload(
        durations_s=tuple(durations), tokens_per_audio_s=tokens_per_audio_s, source=source
    )
