"""CREMA-D (Cao et al. 2014): ``AudioWAV/<actor>_<sentence>_<emotion>_<level>.wav``."""

from __future__ import annotations

import re
from pathlib import Path

from measurements.datasets.base import Dataset
from measurements.datasets.emotions import emotion_dataset, named_clips

EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}

# The corpus has one file whose level is X instead of XX.
_NAME = re.compile(
    r"(?P<speaker>1\d{3})_(?P<sentence>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(LO|MD|HI|XX?)"
)


def read_crema_d(root: Path, subset: str | None = None) -> Dataset:
    """Reads clips, their emotions and actors from the names of the files.

    Args:
        root: Folder that holds ``AudioWAV``.
        subset: ``six-class`` is all of it.

    Raises:
        DatasetError: The folder is missing or empty, or a name is not the corpus's.
    """
    clips = named_clips(root, "AudioWAV/*", "CREMA-D", _NAME, "1001_DFA_ANG_XX", EMOTIONS)
    return emotion_dataset("crema-d", clips, subset, beyond_six=frozenset())
