"""What the readers of emotion corpora share: files by name, labels, the six classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from measurements.datasets.base import Dataset, DatasetError, Utterance, sorted_utterances

SIX_CLASS = "six-class"
"""Subset of the classes that CREMA-D has: anger, disgust, fear, happy, neutral, sad."""


def audio_files(root: Path, pattern: str, corpus: str) -> list[Path]:
    """The wav and flac files that match a pattern below a folder, in order.

    Raises:
        DatasetError: There is no such folder, or no such file in it.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    files = sorted(f for f in root.glob(pattern) if f.suffix.lower() in (".wav", ".flac"))
    if not files:
        raise DatasetError(f"{root}: holds no {corpus} clip ({pattern} ending in .wav or .flac)")
    return files


def code_of(codes: Mapping[str, str], code: str, what: str, file: Path) -> str:
    """What a code in a file's name stands for.

    Raises:
        DatasetError: It is not one of the corpus's codes.
    """
    if code not in codes:
        raise DatasetError(f"{file}: {what} {code!r} is none of {', '.join(codes)}")
    return codes[code]


def emotion_dataset(
    name: str,
    clips: Iterable[Utterance],
    subset: str | None,
    *,
    beyond_six: frozenset[str],
    language: str = "en",
) -> Dataset:
    """A corpus's data set, whole or with the six classes of CREMA-D.

    Args:
        name: Name of the corpus.
        clips: All its clips.
        subset: None, or ``six-class``.
        beyond_six: Its emotions that CREMA-D does not have.
        language: Language code of the speech.

    Raises:
        DatasetError: No such subset, or two clips share an id.
    """
    if subset not in (None, SIX_CLASS):
        raise DatasetError(f"data set {name} has no subset {subset!r}, only {SIX_CLASS}")
    if subset == SIX_CLASS and beyond_six:
        name = f"{name}-{SIX_CLASS}"
        clips = [clip for clip in clips if clip.reference not in beyond_six]
    return Dataset(
        name=name, task="ser", language=language, utterances=sorted_utterances(list(clips))
    )
