"""The coverage record: how often what was predicted came true."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from measurements.records import Record
from measurements.speed import Speed
from measurements.verification_records import Run, Verification

if TYPE_CHECKING:
    from measurements.store import Store

_LEVEL = 0.95

Quantity = Literal["wer", "ua", "rtf"]

_Group = tuple[Quantity, float, str | None, str | None]
"""Quantity, level, basis and study."""

_Came = tuple[bool, float]
"""Whether a prediction held, and by how much it was off."""

_PREDICTED = ("interpolated", "extrapolated")
"""What was measured or published is no prediction."""


class Covered(Record):
    """Predictions of one kind that were verified by real runs.

    Attributes:
        quantity: Of what.
        study: Study they are of; none for all of them.
        basis: What the predictions rested on; none for all of them.
        level: Probability of the predicted intervals.
        predictions: How many were verified.
        inside: How many came out inside of their interval.
        share: ``inside / predictions``.
        lower: Lower end of the 95 % interval of the share (Clopper and Pearson).
        upper: Upper end.
        median_error: Median of ``|measured - predicted| / predicted``, of RTF and of errors,
            which are WER or 1 - UA.
    """

    quantity: Quantity
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

    So are runs that ended early because what they happened to say was clear.
    """
    return _checked(_runs(store))


def _checked(runs: Iterable[tuple[Verification, Run]]) -> list[tuple[Verification, Run]]:
    return [
        (verification, run)
        for verification, run in runs
        if run.predicted.basis in _PREDICTED and run.stopped in (None, "out of time")
    ]


def timed(store: Store) -> list[Speed]:
    """Of every such run that was predicted, how long it took, oldest first.

    However it ended: that says nothing of its time. Runs beside other work are left out.
    """
    return _speeds(_runs(store))


def _speeds(runs: Iterable[tuple[Verification, Run]]) -> list[Speed]:
    return [run.speed for _, run in runs if run.speed is not None and run.speed.inside is not None]


def coverage(store: Store) -> list[Covered]:
    """The record: by quantity and level, all of it, by basis, and errors by study."""
    groups: dict[_Group, list[_Came]] = {}
    runs = list(_runs(store))
    for verification, run in _checked(runs):
        level, basis, study = run.predicted.level, run.predicted.basis, verification.study
        for group in ((level, None, None), (level, basis, None), (level, None, study)):
            groups.setdefault((run.measured.name, *group), []).append((run.inside, _off(run)))
    for speed in _speeds(runs):
        off = abs(speed.measured - speed.predicted.mean) / speed.predicted.mean
        for kind in (None, speed.predicted.basis):
            key: _Group = ("rtf", speed.predicted.level, kind, None)
            groups.setdefault(key, []).append((bool(speed.inside), off))
    return [_covered(*group, came) for group, came in groups.items()]


def _runs(store: Store) -> Iterator[tuple[Verification, Run]]:
    for row in store.verifications():
        verification = Verification.model_validate(row.document)
        for run in verification.runs:
            yield verification, run


def _covered(
    quantity: Quantity, level: float, basis: str | None, study: str | None, came: Sequence[_Came]
) -> Covered:
    inside = sum(held for held, _ in came)
    lower, upper = _clopper_pearson(inside, len(came))
    return Covered(
        quantity=quantity,
        study=study,
        basis=basis,
        level=level,
        predictions=len(came),
        inside=inside,
        share=inside / len(came),
        lower=lower,
        upper=upper,
        median_error=statistics.median(off for _, off in came),
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
