"""Whether a data set is the speech that its study is known by.

A study is named after a data set, and two files can have one name. What was measured tells them
apart: the audio of every utterance, by its SHA-256. A data set may grow, shrink, be drawn from,
or have its transcripts mended; it is another one where most of its audio is.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from measurements.datasets import Dataset, DatasetError, Utterance, open_dataset
from measurements.records import UtteranceResult
from measurements.studies import DEMO_STUDY

if TYPE_CHECKING:
    from measurements.store import Store

_LEAST_SHARED = 0.5
"""Share of the smaller one's utterances that two data sets of one name have in common."""

_LOOKED_AT = 200
"""Utterances whose audio is compared, at most; of more, every so many."""

_RESAMPLED_S = 0.001
"""By so much the duration of a recording may differ from what a run noted of it."""

_Known = Mapping[str, UtteranceResult | Utterance]


def check_study(dataset: Dataset, store: Store) -> None:
    """Refuses speech that is not that of the study which it would be stored in.

    Args:
        dataset: What is to be measured.
        store: What was measured before.

    Raises:
        DatasetError: The study was measured on other speech.
    """
    if dataset.place == "demo":
        return
    if dataset.study == DEMO_STUDY:
        built_in = {one.id: one for one in open_dataset("demo").utterances}
        _refuse_unlike(dataset, built_in, "the built-in demo speech")
    measured = store.speech_of(dataset.study)
    known = {result.utterance: result for _, results in measured for result in results}
    if known:
        _refuse_unlike(dataset, known, _place_in(measured[0][0]))


def check_apart(first: Dataset, second: Dataset) -> None:
    """Refuses two data sets that would be stored as one study and are not the same speech.

    Raises:
        DatasetError: They are two.
    """
    if first.study == second.study:
        _refuse_unlike(second, {one.id: one for one in first.whole}, first.place or first.name)


def _refuse_unlike(dataset: Dataset, known: _Known, where: str) -> None:
    shared = _shared(dataset, known)
    if shared >= _LEAST_SHARED * min(len(known), len(dataset.whole)):
        return
    place = dataset.place or dataset.name
    own_name = f"{_folder_of(place)}-{dataset.name}".strip("-").lower()
    raise DatasetError(
        f"data set {place} is other speech than study {dataset.study} was measured on, {where}"
        f" ({shared} of {len(dataset.whole)} utterances are the same): give it a name of its own,"
        f" for example --name {own_name}"
    )


def _shared(dataset: Dataset, known: _Known) -> int:
    """How many utterances of a data set are known, estimated from some of them."""
    ids = [one for one in dataset.whole if one.id in known]
    step = max(1, math.ceil(len(ids) / _LOOKED_AT))
    looked_at = ids[::step]
    same = sum(_same_audio(one, known[one.id]) for one in looked_at)
    found = round(len(ids) * same / len(looked_at)) if looked_at else 0
    if found >= _LEAST_SHARED * min(len(known), len(dataset.whole)):
        return found
    # The same audio may have been given other ids; all of it is read to know.
    contents = {_content(one) for one in known.values()} - {None}
    if not contents:
        return found
    return max(found, sum(one.content() in contents for one in dataset.whole))


def _same_audio(utterance: Utterance, known: UtteranceResult | Utterance) -> bool:
    content = _content(known)
    if content is not None and utterance.content() == content:
        return True
    # Read where it differs too: a damaged file is told as such.
    duration_s = utterance.duration_s()
    if content is not None:
        return False
    assert isinstance(known, UtteranceResult)
    return abs(duration_s - known.audio_s) < _RESAMPLED_S


def _content(known: UtteranceResult | Utterance) -> str | None:
    return known.content() if isinstance(known, Utterance) else known.audio_sha256


def _place_in(command: str) -> str:
    """The data set that a command names; the command itself where it names none."""
    words = shlex.split(command)
    return words[words.index("--dataset") + 1] if "--dataset" in words[:-1] else command


def _folder_of(place: str) -> str:
    return Path(place.partition(":")[2]).expanduser().resolve().parent.name.replace(" ", "-")
