"""When a run may stop: one configuration against another on the utterances so far."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from planner.arrays import Array
from planner.quantiles import t_quantile

FIRST_LOOK = 25
"""Utterances before which nothing is concluded."""

Verdict = Literal["better", "worse"]


def looks(utterances: int) -> Iterator[int]:
    """Numbers of utterances after which to look, doubling; the last is all of them."""
    size = FIRST_LOOK
    while size < utterances:
        yield size
        size *= 2
    yield utterances


def verdict(
    candidate: ArrayLike,
    rival: ArrayLike,
    words: ArrayLike,
    *,
    speakers: Sequence[str] = (),
    tolerance: float,
    risk: float,
    of_looks: int,
) -> Verdict | None:
    """Whether the candidate is settled to be better or worse than its rival.

    The difference of two ratios of sums over the same utterances. Its variance is that of the
    linearised ratio over clusters (Taylor series method; Wolter, "Introduction to Variance
    Estimation", 2007, chapter 6): a speaker's utterances are alike, so speakers are the clusters.
    Quantiles are those of Student's t with Kish's effective number of clusters ("Survey
    Sampling", 1965) less one as degrees of freedom. Better means an error below
    ``1 - tolerance`` of the rival's. Both sides and all looks share the risk (Bonferroni), so
    that looking often does not add to it.

    Args:
        candidate: Errors of each utterance.
        rival: Errors of the rival on the same utterances.
        words: Words of each.
        speakers: Speaker of each utterance; if left out, each utterance is its own cluster.
        tolerance: Share of the rival's error that does not matter.
        risk: Tolerated probability of a wrong verdict, over all looks.
        of_looks: How many looks there are at most.

    Returns:
        The verdict; None if it takes more utterances.
    """
    more: Array = np.asarray(candidate, float) - (1 - tolerance) * np.asarray(rival, float)
    weight: Array = np.asarray(words, float)
    if len(speakers):
        _, place = np.unique(np.asarray(speakers), return_inverse=True)
        more, weight = (np.bincount(place, column).astype(float) for column in (more, weight))
    clusters, total = len(more), float(weight.sum())
    if clusters < 2 or not total:
        return None
    difference = float(more.sum()) / total
    residual = more - difference * weight
    se = math.sqrt(clusters / (clusters - 1) * float(np.square(residual).sum())) / total
    freedom = total**2 / float(np.square(weight).sum()) - 1
    if not se or freedom < 1:
        return None
    reach = t_quantile(1 - risk / (2 * of_looks), freedom) * se
    if difference - reach > 0:
        return "worse"
    return "better" if difference + reach < 0 else None
