"""What the readers of emotion corpora share: files by name, labels, the six classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from measurements.datasets.base import Dataset, DatasetError, Utterance, inside, sorted_utterances
from models_registry.files import is_system_file

SIX_CLASS = "six-class"
"""Subset of the classes that CREMA-D has: anger, disgust, fear, happy, neutral, sad."""


def named_clips(
    root: Path,
    pattern: str,
    corpus: str,
    name: re.Pattern[str],
    example: str,
    emotions: Mapping[str, str],
) -> list[Utterance]:
    """Clips below a folder, their emotions and speakers read from the names of the files.

    Args:
        root: The folder.
        pattern: Where the wav and flac files lie in it.
        corpus: What it is called.
        name: What a file's stem is like, with the groups ``emotion`` and ``speaker``.
        example: A stem that is.
        emotions: Emotion by code.

    Raises:
        DatasetError: There is no such folder, no such file in it, a name is not the
            corpus's, or a link leads out of the folder.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    files = sorted(
        f
        for f in root.glob(pattern)
        if f.suffix.lower() in (".wav", ".flac") and not is_system_file(f)
    )
    if not files:
        raise DatasetError(f"{root}: holds no {corpus} clip ({pattern} ending in .wav or .flac)")
    clips = []
    for file in files:
        parts = name.fullmatch(file.stem)
        if parts is None:
            raise DatasetError(f"{file}: not named like {example}")
        code = parts["emotion"]
        if code not in emotions:
            raise DatasetError(f"{file}: emotion {code!r} is none of {', '.join(emotions)}")
        inside(root, file)
        clips.append(Utterance(file.stem, file, emotions[code], parts["speaker"]))
    return clips


def emotion_dataset(
    name: str,
    clips: Iterable[Utterance],
    subset: str | None,
    *,
    beyond_six: frozenset[str],
    language: str = "en",
    notes: tuple[str, ...] = (),
) -> Dataset:
    """A corpus's data set, whole or with the six classes of CREMA-D.

    Args:
        name: Name of the corpus.
        clips: All its clips.
        subset: None, or ``six-class``.
        beyond_six: Its emotions that CREMA-D does not have.
        language: Language code of the speech.
        notes: What a user should know of how it was read.

    Raises:
        DatasetError: No such subset, or two clips share an id.
    """
    if subset not in (None, SIX_CLASS):
        raise DatasetError(f"data set {name} has no subset {subset!r}, only {SIX_CLASS}")
    if subset == SIX_CLASS and beyond_six:
        name = f"{name}-{SIX_CLASS}"
        clips = [clip for clip in clips if clip.reference not in beyond_six]
    return Dataset(
        name=name,
        task="ser",
        language=language,
        utterances=sorted_utterances(list(clips)),
        notes=notes,
    )
