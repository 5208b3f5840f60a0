"""CREMA-D (Cao et al. 2014): ``AudioWAV/<actor>_<sentence>_<emotion>_<level>.wav``."""

from __future__ import annotations

import re
from pathlib import Path

from measurements.datasets.base import Dataset, Utterance
from measurements.datasets.emotions import emotion_dataset, named_clips

EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}

# The corpus has one file whose level is X instead of XX; copies of it have both.
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
    once, notes = _each_once(clips)
    return emotion_dataset("crema-d", once, subset, beyond_six=frozenset(), notes=notes)


def _each_once(clips: list[Utterance]) -> tuple[list[Utterance], tuple[str, ...]]:
    """Clips without those whose level is X where the same clip is there with XX; what is left out.

    Both codes mean that no level was asked for, so the names are of one clip, and counted twice
    it would weigh double, in training and in testing.
    """
    there = {clip.id: clip for clip in clips}
    twice = [c for c in clips if c.id.endswith("_X") and f"{c.id}X" in there]
    notes = []
    for clip in twice:
        kept = there[f"{clip.id}X"]
        same = "same" if kept.content() == clip.content() else "not the same"
        notes.append(
            f"{clip.path.name} is left out: it is named as the clip of {kept.path.name} (their"
            f" bytes are {same})"
        )
    left_out = {clip.id for clip in twice}
    return [clip for clip in clips if clip.id not in left_out], tuple(notes)
