"""EmoDB, German (Burkhardt et al. 2005): ``wav/<speaker><text><emotion><version>.wav``.

Its ten sentences, by their codes, make it a data set of speech recognition too.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from measurements.cells import TableError, checked
from measurements.datasets.base import (
    Dataset,
    DatasetError,
    Utterance,
    content_of,
    inside,
    sorted_utterances,
)
from measurements.datasets.emotions import emotion_dataset, named_clips
from measurements.tables import read_csv

EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "N": "neutral",
    "T": "sadness",
}

LANGUAGE = "de"

_NAME = re.compile(r"(?P<speaker>\d\d)(?P<text>[ab]\d\d)(?P<emotion>[A-Z])(?P<version>[a-z])")


def read_emodb(root: Path, subset: str | None = None) -> Dataset:
    """Reads clips, their emotions and speakers from the names of the files.

    Args:
        root: Folder that holds ``wav``.
        subset: ``six-class`` leaves boredom out.

    Raises:
        DatasetError: The folder is missing or empty, or a name is not the corpus's.
    """
    return emotion_dataset(
        "emodb", _clips(root), subset, beyond_six=frozenset({"boredom"}), language=LANGUAGE
    )


def read_emodb_sentences(root: Path, subset: str | None = None) -> Dataset:
    """Reads clips with the sentences that are said in them.

    Args:
        root: Folder that holds ``wav``, and ``sentences.csv`` with the columns ``code`` (characters
            3 to 5 of a file's name) and ``text``.
        subset: None; there are none.

    Raises:
        DatasetError: The folder or the table is missing, a name is not the corpus's, or its
            sentence is not in the table.
    """
    if subset is not None:
        raise DatasetError(f"data set emodb has no subset {subset!r} for asr")
    clips, table = _clips(root), root / "sentences.csv"
    if not table.is_file():
        raise DatasetError(
            f"{table}: not there: for asr it says what is said in each clip, by the columns code"
            " (characters 3 to 5 of a file's name) and text"
        )
    sentences = _sentences(inside(root, table))
    spoken = []
    for clip in clips:
        code = _code(clip.id)
        if not sentences.get(code):
            raise DatasetError(f"{table}: no text of {code}, which {clip.path.name} says")
        spoken.append(replace(clip, reference=sentences[code]))
    return Dataset(
        name="emodb", task="asr", language=LANGUAGE, utterances=sorted_utterances(spoken)
    )


def _sentences(table: Path) -> dict[str, str]:
    try:
        found = read_csv(content_of(table))
        if not {"code", "text"} <= set(found.columns):
            raise TableError("the columns code and text are needed", 1)
        return {row.cells["code"].strip(): row.cells["text"].strip() for row in checked(found.rows)}
    except TableError as error:
        raise DatasetError(error.of(table)) from None


def _clips(root: Path) -> list[Utterance]:
    return named_clips(root, "wav/*", "EmoDB", _NAME, "03a01Fa", EMOTIONS)


def _code(stem: str) -> str:
    parts = _NAME.fullmatch(stem)
    assert parts is not None
    return parts["text"]
