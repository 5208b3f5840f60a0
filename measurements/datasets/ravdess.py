"""RAVDESS speech (Livingstone and Russo 2018): ``Actor_NN/03-01-<emotion>-...-<actor>.wav``."""

from __future__ import annotations

import re
from pathlib import Path

from measurements.datasets.base import Dataset, DatasetError, Utterance
from measurements.datasets.emotions import audio_files, code_of, emotion_dataset

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
_NAME = re.compile(r"03-01-(?P<emotion>\d\d)-0[12]-0[12]-0[12]-(?P<actor>\d\d)")


def read_ravdess(root: Path, subset: str | None = None) -> Dataset:
    """Reads clips, their emotions and actors from the names of the files.

    Args:
        root: Folder that holds ``Actor_01`` and so on.
        subset: ``six-class`` leaves calm and surprised out.

    Raises:
        DatasetError: The folder is missing or empty, a name is not the corpus's, or an
            actor differs from the folder.
    """
    clips = []
    for file in audio_files(root, "Actor_*/*", "RAVDESS"):
        parts = _NAME.fullmatch(file.stem)
        if parts is None:
            raise DatasetError(f"{file}: not named like 03-01-05-01-02-01-16 (audio-only speech)")
        if file.parent.name != f"Actor_{parts['actor']}":
            raise DatasetError(f"{file}: actor {parts['actor']} lies in {file.parent.name}")
        emotion = code_of(EMOTIONS, parts["emotion"], "emotion", file)
        clips.append(Utterance(file.stem, file, emotion, parts["actor"]))
    return emotion_dataset("ravdess", clips, subset, beyond_six=frozenset({"calm", "surprised"}))
