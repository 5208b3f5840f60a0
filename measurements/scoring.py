"""Word error rate and unweighted accuracy: counts by utterance, and their intervals."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from measurements.records import UtteranceResult
from measurements.statistics import MIN_SPEAKERS, RESAMPLES, Interval, membership, speaker_interval
from models_registry.languages import ENGLISH

NORMALISER = "whisper-english (transformers, full spelling map)"


_BASIC_NORMALISER = "whisper-basic (transformers)"


def normaliser_of(language: str) -> str:
    """Name of the normaliser that words of a language are compared after."""
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
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    spelling = importlib.resources.files("whisper_normalizer") / "normalizers" / "english.json"
    return EnglishTextNormalizer(json.loads(spelling.read_text(encoding="utf-8")))


def normalise(text: str, language: str = "en") -> str:
    """The form in which words are compared."""
    if language == ENGLISH:
        return str(_english_normaliser()(text)).strip()
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    return str(BasicTextNormalizer()(text)).strip()


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

    Over speakers where at least four are known, see :func:`speaker_interval`; a
    bootstrap over utterances otherwise, which speaks for these speakers only.

    Args:
        errors: Counts by utterance.
        speakers: Speaker of each, where known.
        level: Probability of the interval.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: The references have no words.
    """
    from scipy.stats import bootstrap

    wrong = np.array([error.total for error in errors], dtype=float)
    words = np.array([error.reference_words for error in errors], dtype=float)
    if words.sum() == 0:
        raise ValueError("the references have no words after normalisation")
    value = float(wrong.sum() / words.sum())
    if len(errors) < 2 or not wrong.any():
        return _of_independent(value, float(np.minimum(wrong, words).sum()), words.sum(), level)
    if len(set(speakers)) >= MIN_SPEAKERS:
        return speaker_interval(wrong, words, speakers, level=level)

    def ratio(wrong: Any, words: Any, axis: int) -> Any:
        return wrong.sum(axis=axis) / words.sum(axis=axis)

    result = bootstrap(
        (wrong, words),
        ratio,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    interval = result.confidence_interval
    return Interval(
        value,
        min(value, float(interval.low)),
        max(value, float(interval.high)),
        level,
        float(result.standard_error),
    )


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

    Clips of one speaker succeed or fail together; see :func:`speaker_interval`.

    Args:
        wrong: 1 where another class was recognised, 0 otherwise, by clip.
        labels: Class of each clip.
        speakers: Speaker of each clip.
        level: Probability of the interval.
    """
    value = mean_recall(wrong, labels)
    if len(set(speakers)) < 2 or not any(wrong):
        return _of_independent(value, value * len(wrong), len(wrong), level)
    of_class = membership(labels)
    errors = of_class * np.asarray(wrong, dtype=float)[:, None]
    error = speaker_interval(errors, of_class, speakers, level=level)
    return Interval(value, 1 - error.upper, 1 - error.lower, level, error.se, error.method)


def _of_independent(value: float, count: float, trials: float, level: float) -> Interval:
    """Where nothing can be resampled: independent trials, under Jeffreys' prior."""
    from scipy.stats import beta

    posterior = beta(count + 0.5, trials - count + 0.5)
    low, high = posterior.interval(level)
    return Interval(value, min(low, value), max(high, value), level, float(posterior.std()))
