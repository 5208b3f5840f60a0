"""When a run may stop: one configuration against another on the utterances so far."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

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
    tolerance: float,
    risk: float,
    of_looks: int,
) -> Verdict | None:
    """Whether the candidate is settled to be better or worse than its rival.

    Paired: the difference of two ratios of sums over the same utterances, by
    linearisation with t quantiles. Better means an error below ``1 - tolerance`` of the
    rival's. The risk is shared out over the looks (Bonferroni), so that looking often does not
    add to it.

    Args:
        candidate: Errors of each utterance.
        rival: Errors of the rival on the same utterances.
        words: Words of each.
        tolerance: Share of the rival's error that does not matter.
        risk: Tolerated probability of a wrong verdict, over all looks.
        of_looks: How many looks there are at most.

    Returns:
        The verdict; none where it takes more utterances.
    """
    more = np.asarray(candidate, float) - (1 - tolerance) * np.asarray(rival, float)
    weight = np.asarray(words, float)
    count = len(more)
    if count < 2 or not weight.sum():
        return None
    difference = float(more.sum() / weight.sum())
    residual = more - difference * weight
    se = math.sqrt(count / (count - 1) * float(np.square(residual).sum())) / float(weight.sum())
    if not se:
        return None
    reach = t_quantile(1 - risk / of_looks, count - 1) * se
    if difference - reach > 0:
        return "worse"
    return "better" if difference + reach < 0 else None
