"""RAVDESS speech (Livingstone and Russo 2018): ``Actor_NN/03-01-<emotion>-...-<actor>.wav``."""

from __future__ import annotations

import re
from pathlib import Path

from measurements.datasets.base import Dataset, DatasetError
from measurements.datasets.emotions import emotion_dataset, named_clips

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}

# Modality (audio only), channel (speech), emotion, intensity, statement, repetition, actor.
_NAME = re.compile(r"03-01-(?P<emotion>\d\d)-0[12]-0[12]-0[12]-(?P<speaker>\d\d)")


def read_ravdess(root: Path, subset: str | None = None) -> Dataset:
    """Reads clips, their emotions and actors from the names of the files.

    Args:
        root: Folder that holds ``Actor_01`` and so on.
        subset: ``six-class`` leaves calm and surprised out.

    Raises:
        DatasetError: The folder is missing or empty, a name is not the corpus's, or an
            actor differs from the folder.
    """
    example = "03-01-05-01-02-01-16 (audio-only speech)"
    clips = named_clips(root, "Actor_*/*", "RAVDESS", _NAME, example, EMOTIONS)
    for clip in clips:
        if clip.path.parent.name != f"Actor_{clip.speaker}":
            raise DatasetError(f"{clip.path}: actor {clip.speaker} lies in {clip.path.parent.name}")
    return emotion_dataset("ravdess", clips, subset, beyond_six=frozenset({"calm", "surprised"}))
