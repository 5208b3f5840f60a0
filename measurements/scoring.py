"""Word error rate and unweighted accuracy: counts by utterance, and their intervals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from measurements.plain_text import plain
from measurements.records import UtteranceResult
from measurements.speakers import speaker_interval
from measurements.statistics import (
    CLUMPED,
    Interval,
    counts_interval,
    membership,
    no_narrower,
    shares_interval,
    utterance_interval,
)
from models_registry.languages import ENGLISH

NORMALISER = "whisper-english plain-2 (whisper-normalizer 0.1.15)"
_BASIC_NORMALISER = "whisper-basic plain-2 (whisper-normalizer 0.1.15)"

_NOT_OF_THE_LEADERBOARD = (r"\bkinda\b", r"\bsorta\b", r"\bdunno\b", r"\bcause\b")
"""What whisper-normalizer spells out beyond Whisper's own rules."""

_LOOSE_SIGN = re.compile(r"[.$¢€£](?![0-9])|(?<![0-9])%")


def normaliser_of(language: str) -> str:
    """Name of the normaliser that words of a language are compared after.

    It is kept with every metric. Its number is raised when scores would change; the version is
    the pinned one of the package that holds the rules.
    """
    return NORMALISER if language == ENGLISH else _BASIC_NORMALISER


@dataclass(frozen=True)
class WordErrors:
    """Counts for one utterance, after normalisation.

    Attributes:
        substitutions: Words replaced.
        deletions: Words left out.
        insertions: Words added.
        reference_words: Words of the reference.
    """

    substitutions: int
    deletions: int
    insertions: int
    reference_words: int

    @property
    def total(self) -> int:
        """All errors."""
        return self.substitutions + self.deletions + self.insertions


@lru_cache(maxsize=1)
def _english_normaliser() -> Any:
    from whisper_normalizer.english import EnglishTextNormalizer

    normaliser = EnglishTextNormalizer()
    for pattern in _NOT_OF_THE_LEADERBOARD:
        del normaliser.replacers[pattern]
    return normaliser


@lru_cache(maxsize=1)
def _basic_normaliser() -> Any:
    from whisper_normalizer.basic import BasicTextNormalizer

    return BasicTextNormalizer()


def normalise(text: str, language: str = "en") -> str:
    """The form in which words are compared.

    The text in :func:`~measurements.plain_text.plain` characters, then in English the rules of
    the Open ASR leaderboard: ``EnglishTextNormalizer`` of its ``normalizer/normalizer.py``, which
    is Whisper's, with numbers, currencies, contractions and American spelling. Fillers, clock
    times, names and compounds, which it has folded since its pull request 142 (2026-04), are
    left as they are, since the catalogue's figures are older. Elsewhere Whisper's basic rules.
    Signs of currency, percent signs and full stops that belong to no number are dropped wherever
    they are, not only inside of a text.

    Args:
        text: As written.
        language: ISO 639-1 code.
    """
    normaliser = _english_normaliser() if language == ENGLISH else _basic_normaliser()
    text = str(normaliser(plain(text, language)))
    if language == ENGLISH:
        text = _LOOSE_SIGN.sub(" ", text)
    return " ".join(word for word in text.split() if any(c.isalnum() for c in word))


def word_errors(reference: str, hypothesis: str, language: str = "en") -> WordErrors:
    """Counts the errors of one utterance after normalising both sides."""
    import jiwer

    expected, heard = normalise(reference, language), normalise(hypothesis, language)
    if not expected:
        return WordErrors(0, 0, len(heard.split()), 0)
    alignment = jiwer.process_words(expected, heard)
    return WordErrors(
        alignment.substitutions,
        alignment.deletions,
        alignment.insertions,
        len(expected.split()),
    )


def errors_of(results: Iterable[UtteranceResult]) -> list[WordErrors]:
    """What was counted in each utterance."""
    return [
        WordErrors(r.substitutions, r.deletions, r.insertions, r.reference_words) for r in results
    ]


def word_error_rate(
    errors: Sequence[WordErrors],
    *,
    speakers: Sequence[str] = (),
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """WER as a ratio of sums, with its interval.

    Over speakers where they are known, see :func:`~measurements.speakers.speaker_interval`; a
    bootstrap over utterances otherwise, which speaks for these speakers only. No narrower in
    either case than the counts deserve, see :func:`~measurements.statistics.counts_interval`.
    Words heard where the reference has none are errors like any.

    Args:
        errors: Counts by utterance.
        speakers: Speaker of each, where known.
        level: Probability of the interval.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: The references have no words.
    """
    wrong = np.array([error.total for error in errors], dtype=float)
    words = np.array([error.reference_words for error in errors], dtype=float)
    if words.sum() == 0:
        raise ValueError("the references have no words after normalisation")
    counts = counts_interval(wrong, words, level=level)
    if not wrong.any() or np.count_nonzero(words) < 2:
        return counts
    if speakers:
        noise = counts.se / counts.value
        by_speaker = speaker_interval(wrong, words, speakers, level=level, noise=noise)
        return no_narrower(by_speaker, counts)
    return no_narrower(utterance_interval(wrong, words, level=level, seed=seed), counts)


def mean_recall(wrong: Sequence[int], labels: Sequence[str]) -> float:
    """Unweighted accuracy: the mean over the classes of the share recognised.

    Args:
        wrong: 1 where another class was recognised, 0 otherwise, by clip.
        labels: Class of each clip.
    """
    by_class: dict[str, list[int]] = {}
    for error, label in zip(wrong, labels, strict=True):
        by_class.setdefault(label, []).append(error)
    return 1 - sum(sum(errors) / len(errors) for errors in by_class.values()) / len(by_class)


def unweighted_accuracy(
    wrong: Sequence[int],
    labels: Sequence[str],
    speakers: Sequence[str],
    *,
    level: float = 0.95,
) -> Interval:
    """Unweighted accuracy with an interval over speakers.

    Clips of one speaker succeed or fail together; see
    :func:`~measurements.speakers.speaker_interval`. No narrower than so few clips deserve, see
    :func:`~measurements.statistics.shares_interval`.

    Args:
        wrong: 1 where another class was recognised, 0 otherwise, by clip.
        labels: Class of each clip.
        speakers: Speaker of each clip.
        level: Probability of the interval.
    """
    of_class = membership(labels)
    errors = of_class * np.asarray(wrong, dtype=float)[:, None]
    several = len(set(speakers)) > 1
    counts = shares_interval(
        errors.sum(axis=0),
        of_class.sum(axis=0),
        level=level,
        dispersion=1.0 if several else CLUMPED,
    )
    noise = counts.se / counts.value if counts.value else 0.0
    by_speaker = speaker_interval(errors, of_class, speakers, level=level, noise=noise)
    error = no_narrower(by_speaker, counts)
    value = mean_recall(wrong, labels)
    return Interval(value, 1 - error.upper, 1 - error.lower, level, error.se, error.method)
