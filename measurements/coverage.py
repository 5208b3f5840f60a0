"""The coverage record: how often what was predicted came true."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from measurements.records import Record
from measurements.verification import Run, Verification

if TYPE_CHECKING:
    from measurements.store import Store

_LEVEL = 0.95


class Covered(Record):
    """Predictions of one kind that were verified by real runs.

    Attributes:
        study: Study they are of; none for all of them.
        basis: What the predictions rested on; none for all of them.
        level: Probability of the predicted intervals.
        predictions: How many were verified.
        inside: How many came out inside of their interval.
        share: ``inside / predictions``.
        lower: Lower end of the 95 % interval of the share (Clopper and Pearson).
        upper: Upper end.
        median_error: Median of ``|measured - predicted| / predicted``, errors being WER or
            1 - UA.
    """

    study: str | None
    basis: str | None
    level: float
    predictions: int
    inside: int
    share: float
    lower: float
    upper: float
    median_error: float


def verified(store: Store) -> list[tuple[Verification, Run]]:
    """Every real run of a verification, oldest first; what was known already is left out.

    So are runs that were stopped early: they ended where what they happened to say was clear.
    """
    found = []
    for row in store.verifications():
        verification = Verification.model_validate(row.document)
        found += [
            (verification, run)
            for run in verification.runs
            if run.predicted.basis in ("interpolated", "extrapolated") and run.stopped is None
        ]
    return found


def coverage(store: Store) -> list[Covered]:
    """The record: all of it, by basis, and by study; by the level of the intervals.

    A prediction that was itself measured or published is none.
    """
    groups: dict[tuple[float, str | None, str | None], list[Run]] = {}
    for verification, run in verified(store):
        level, basis, study = run.predicted.level, run.predicted.basis, verification.study
        for key in ((level, None, None), (level, basis, None), (level, None, study)):
            groups.setdefault(key, []).append(run)
    return [_covered(study, basis, level, runs) for (level, basis, study), runs in groups.items()]


def _covered(study: str | None, basis: str | None, level: float, runs: Sequence[Run]) -> Covered:
    inside = sum(run.inside for run in runs)
    lower, upper = _clopper_pearson(inside, len(runs))
    return Covered(
        study=study,
        basis=basis,
        level=level,
        predictions=len(runs),
        inside=inside,
        share=inside / len(runs),
        lower=lower,
        upper=upper,
        median_error=statistics.median(_off(run) for run in runs),
    )


def _off(run: Run) -> float:
    predicted, measured = run.predicted.mean, run.measured.value
    if run.measured.name == "ua":
        predicted, measured = 1 - predicted, 1 - measured
    return abs(measured - predicted) / predicted if predicted else 0.0


def _clopper_pearson(inside: int, runs: int) -> tuple[float, float]:
    """The exact interval of a share, from quantiles of the beta distribution."""
    # scipy.stats would be a second and 40 MB of a service that needs nothing else of it.
    from scipy.special import betaincinv

    tail = (1 - _LEVEL) / 2
    lower = float(betaincinv(inside, runs - inside + 1, tail)) if inside else 0.0
    upper = float(betaincinv(inside + 1, runs - inside, 1 - tail)) if inside < runs else 1.0
    return lower, upper
