"""Quality on recordings that are not those that errors were measured on.

Shorter windows cut a recording more often, and at each cut words are misheard; what is longer
or shorter than anything that was observed is harder or easier than it by some unknown amount.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from planner.arrays import Array, Labels
from planner.cost.passes import number_of_passes
from planner.lattice import Lattice
from planner.quality import BASES, Quality, widened
from planner.quantiles import normal_quantile
from planner.workload import UNLIKE, Workload

ERRORS_PER_CUT = 0.7
CUT_LOG_SD = 0.4
"""Word errors more for each place where a recording is cut, and how far that may be off. As
``python -m benchmarks.cuts`` finds them: 0.4 to 1.1 for two models on two kinds of speech."""

TOKENS_PER_WORD = 1.2
"""Of read English: 2.97 tokens and 2.50 words a second of LibriSpeech test-other."""

UNLIKE_SD = 0.3
"""Spread in log error of recordings shorter or longer than any that was observed: thirds of the
catalogue's own speech, by length, differ from all of it by a sixth to a third."""

_LEAST_LEFT = 0.5
"""Of an error, where recordings are cut less often than the study's."""

_WORTH_SAYING = 0.1
"""Points of WER."""

_SAME = 0.01
"""By less than that share an error has not changed, and stays a measurement."""


def on_recordings(
    quality: Quality, lattice: Lattice, served: Workload, studied: Workload, seed: int
) -> Quality:
    """A study's transcription errors, as they are on other recordings.

    Args:
        quality: Errors on the study's recordings, of the rows of the lattice.
        lattice: Candidates.
        served: Recordings to transcribe.
        studied: Those of the study.
        seed: Seed of what all draws share.
    """
    more = cuts_per_word(lattice, served) - cuts_per_word(lattice, studied)
    if np.abs(more).max(initial=0.0) > 0:
        quality = _recut(quality, more, seed)
    unlike = sum(served.outside(studied).values())
    return _of_others(quality, unlike, seed) if unlike >= UNLIKE else quality


def cuts_per_word(lattice: Lattice, workload: Workload) -> Array:
    """Places where a recording is cut, for each word that is said in it, shape ``(n,)``.

    What truncates a recording never cuts it in two.
    """
    pieces_s, place = np.unique(lattice.speech_s, return_inverse=True)
    pieces = number_of_passes(workload.durations[None, :], pieces_s[:, None])
    words = workload.mean_audio_s * workload.tokens_per_audio_s / TOKENS_PER_WORD
    cuts: Array = ((pieces - 1) @ workload.shares / words)[place]
    cuts[lattice.labels["window_policy"].mask("truncate")] = 0.0
    return cuts


def in_words(row: Lattice, served: Workload, studied: Workload) -> Iterator[str]:
    """What is different for a candidate, of a transcription or an emotion."""
    if row.task == "asr":
        cuts, usual = (float(cuts_per_word(row, w)[0]) for w in (served, studied))
        if abs(points := 100 * ERRORS_PER_CUT * (cuts - usual)) >= _WORTH_SAYING:
            yield (
                f"Its windows cut these recordings {_often(cuts)}, the study's {_often(usual)}:"
                f" {points:+.1f} points of WER, at {ERRORS_PER_CUT:g} word errors a cut."
            )
    outside = served.outside(studied)
    if sum(outside.values()) < UNLIKE:
        return
    ends = {"shorter": studied.durations.min(), "longer": studied.durations.max()}
    for which, share in outside.items():
        if share > 0:
            yield (
                f"{share:.0%} of the audio is in recordings {which} than any of the study's"
                f" ({ends[which]:.3g} s), whose error is taken for theirs: measure on ones like"
                " yours."
            )


def _often(cuts: float) -> str:
    return f"once in {1 / cuts:.0f} words" if cuts else "never"


def _recut(quality: Quality, more: Array, seed: int) -> Quality:
    """The same where each row has so many more cuts a word, all of them alike in what they cost."""
    mean = np.maximum(quality.mean + ERRORS_PER_CUT * more, _LEAST_LEFT * quality.mean)
    ratio = mean / quality.mean
    spread = ERRORS_PER_CUT * CUT_LOG_SD * np.abs(more) / mean
    reach = normal_quantile(0.5 + quality.level / 2) * spread
    lower, upper = widened(mean, quality.lower * ratio, quality.upper * ratio, reach)

    columns, draws = quality.draws.shape
    own = np.zeros(columns, np.float32)
    own[quality.place] = more
    rng = np.random.default_rng((seed, draws, 2))
    each = np.exp(CUT_LOG_SD * rng.standard_normal(draws, np.float32) - CUT_LOG_SD**2 / 2)
    drawn = np.outer(own, ERRORS_PER_CUT * each)
    drawn += quality.draws
    np.maximum(drawn, _LEAST_LEFT * quality.draws, out=drawn)

    moved = np.abs(ratio - 1) > _SAME
    known = quality.basis.mask("measured", "published")
    codes = np.where(moved & known, BASES.index("interpolated"), quality.basis.codes)
    how = f"{ERRORS_PER_CUT:g} word errors for each cut more than in its recordings"
    places = set(quality.place[moved].tolist())
    return replace(
        quality,
        mean=mean,
        lower=lower,
        upper=upper,
        draws=drawn,
        basis=Labels(codes, BASES),
        fitted=f"{quality.fitted}, {how}",
        observed={
            place: f"{said}, {how}" if place in places else said
            for place, said in quality.observed.items()
        },
    )


def _of_others(quality: Quality, share: float, seed: int) -> Quality:
    """The same where a share of the audio is in recordings unlike any that was observed.

    All of it is extrapolated then. Log errors spread further by :data:`UNLIKE_SD` times
    that share, all of them in common: which configuration is better is known better than
    how good it is.
    """
    spread = UNLIKE_SD * share
    reach = normal_quantile(0.5 + quality.level / 2) * spread
    lower, upper = widened(quality.mean, quality.lower, quality.upper, reach)

    draws = quality.draws.shape[1]
    common = np.random.default_rng((seed, draws, 1)).standard_normal(draws, np.float32)
    where = "for recordings of other durations than theirs"
    return replace(
        quality,
        lower=lower,
        upper=upper,
        draws=quality.draws * np.exp(spread * common),
        basis=Labels(np.full(len(quality.mean), BASES.index("extrapolated")), BASES),
        fitted=f"{quality.fitted}, {where}",
        observed={place: f"{said}, {where}" for place, said in quality.observed.items()},
    )
