"""EmoDB, German (Burkhardt et al. 2005): ``wav/<speaker><text><emotion><version>.wav``."""

from __future__ import annotations

import re
from pathlib import Path

from measurements.datasets.base import Dataset
from measurements.datasets.emotions import emotion_dataset, named_clips

EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "N": "neutral",
    "T": "sadness",
}

_NAME = re.compile(r"(?P<speaker>\d\d)(?P<text>[ab]\d\d)(?P<emotion>[A-Z])(?P<version>[a-z])")


def read_emodb(root: Path, subset: str | None = None) -> Dataset:
    """Reads clips, their emotions and speakers from the names of the files.

    Args:
        root: Folder that holds ``wav``.
        subset: ``six-class`` leaves boredom out.

    Raises:
        DatasetError: The folder is missing or empty, or a name is not the corpus's.
    """
    clips = named_clips(root, "wav/*", "EmoDB", _NAME, "03a01Fa", EMOTIONS)
    return emotion_dataset("emodb", clips, subset, beyond_six=frozenset({"boredom"}), language="de")
