"""CREMA-D (Cao et al. 2014): ``AudioWAV/<actor>_<sentence>_<emotion>_<level>.wav``."""

from __future__ import annotations

import re
from pathlib import Path

from measurements.datasets.base import Dataset, DatasetError, Utterance
from measurements.datasets.emotions import audio_files, code_of, emotion_dataset

EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}

# The corpus has one file whose level is X instead of XX.
_NAME = re.compile(r"(?P<actor>1\d{3})_(?P<sentence>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(LO|MD|HI|XX?)")


def read_crema_d(root: Path, subset: str | None = None) -> Dataset:
    """Reads clips, their emotions and actors from the names of the files.

    Args:
        root: Folder that holds ``AudioWAV``.
        subset: ``six-class`` is all of it.

    Raises:
        DatasetError: The folder is missing or empty, or a name is not the corpus's.
    """
    clips = []
    for file in audio_files(root, "AudioWAV/*", "CREMA-D"):
        parts = _NAME.fullmatch(file.stem)
        if parts is None:
            raise DatasetError(f"{file}: not named like 1001_DFA_ANG_XX")
        emotion = code_of(EMOTIONS, parts["emotion"], "emotion", file)
        clips.append(Utterance(file.stem, file, emotion, parts["actor"]))
    return emotion_dataset("crema-d", clips, subset, beyond_six=frozenset())
