"""LibriSpeech in its OpenSLR layout: ``<subset>/<speaker>/<chapter>/*.flac``."""

from __future__ import annotations

from pathlib import Path

from measurements.cells import lines_of
from measurements.datasets.base import (
    Dataset,
    DatasetError,
    Utterance,
    inside,
    sorted_utterances,
    text_of,
)
from models_registry.files import is_system_file


def read_librispeech(root: Path, subset: str | None = None) -> Dataset:
    """Reads utterances and the corpus's own transcripts.

    Args:
        root: Folder that holds the subsets.
        subset: One of them, for example ``test-other``; needed where there are several.

    Raises:
        DatasetError: A folder, a transcript or an audio file is missing, or lies elsewhere.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    subsets = sorted(child.name for child in root.iterdir() if _transcripts(child))
    if not subsets:
        raise DatasetError(f"{root}: holds no LibriSpeech subset (no */*/*/*.trans.txt)")
    if subset is None:
        if len(subsets) > 1:
            raise DatasetError(f"{root}: name one of the subsets {', '.join(subsets)}")
        subset = subsets[0]
    if subset not in subsets:
        raise DatasetError(f"{root}: no subset {subset!r}, there are {', '.join(subsets)}")
    utterances = []
    for transcripts in _transcripts(root / subset):
        utterances += _chapter(root, transcripts)
    return Dataset(
        name=f"{root.resolve().name}-{subset}".lower(),
        task="asr",
        language="en",
        utterances=sorted_utterances(utterances),
    )


def _transcripts(folder: Path) -> list[Path]:
    return sorted(f for f in folder.glob("*/*/*.trans.txt") if not is_system_file(f))


def _chapter(root: Path, transcripts: Path) -> list[Utterance]:
    utterances = []
    text = text_of(inside(root, transcripts))
    for number, line in enumerate(lines_of(text), 1):
        if not line.strip():
            continue
        identifier, _, spoken = line.strip().partition(" ")
        if not spoken:
            raise DatasetError(f"{transcripts}:{number}: {identifier} has no transcript")
        audio = inside(root, transcripts.parent / f"{identifier}.flac")
        if not audio.is_file():
            raise DatasetError(f"{audio}: named in {transcripts.name}, but not there")
        speaker = transcripts.parent.parent.name
        utterances.append(Utterance(identifier, audio, spoken, speaker))
    return utterances
