"""The coverage record: how often what was predicted came true."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from measurements.judgements import PREDICTED, Judgement, Quantity, relative_width
from measurements.records import Record
from measurements.speed import Speed
from measurements.verification_records import Run, Verification
from planner.answer import Estimate

if TYPE_CHECKING:
    from measurements.store import Store

_LEVEL = 0.95

_Group = tuple[Quantity, float, str | None, str | None]
"""Quantity, level, basis and study."""


class _Came(NamedTuple):
    """What has come of a prediction.

    Attributes:
        inside: Whether it held.
        off: By how much it was off, as a share of it.
        width: Of its interval, as a share of it.
    """

    inside: bool
    off: float
    width: float


class Covered(Record):
    """Predictions of one kind that were verified by real runs, or judged by later ones.

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
        median_error: Median of ``|measured - predicted| / predicted``; of UA that of the
            errors, 1 - UA.
        median_width: Median of the intervals' widths, as shares of the predictions, likewise.
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
    median_width: float


def verified(store: Store) -> list[tuple[Verification, Run]]:
    """Every real run of a verification, oldest first; what was known already is left out.

    So are runs that ended early because what they happened to say was clear.
    """
    return _checked(_runs(store))


def _checked(runs: Iterable[tuple[Verification, Run]]) -> list[tuple[Verification, Run]]:
    return [
        (verification, run)
        for verification, run in runs
        if run.predicted.basis in PREDICTED and run.stopped in (None, "out of time")
    ]


def timed(store: Store) -> list[Speed]:
    """Of every run whose RTF was shown before, how long it took, oldest first.

    However it ended: that says nothing of its time. Runs beside other work are left out.
    """
    return _speeds(_runs(store))


def _speeds(runs: Iterable[tuple[Verification, Run]]) -> list[Speed]:
    return [
        run.speed
        for _, run in runs
        if run.speed is not None
        and run.speed.inside is not None
        and run.speed.shown is not None
        and run.speed.shown.basis in PREDICTED
    ]


def coverage(store: Store) -> list[Covered]:
    """The record: by quantity and level, all of it, by basis, and errors by study."""
    groups: dict[_Group, list[_Came]] = {}
    runs = list(_runs(store))
    for verification, run in _checked(runs):
        predicted, quantity = run.predicted, run.measured.name
        came = _Came(run.inside, _off(run), relative_width(predicted, quantity))
        _note(groups, quantity, predicted, verification.study, came)
    for speed in _speeds(runs):
        assert speed.shown is not None
        assert speed.corrected is not None
        off = abs(speed.corrected - speed.shown.mean) / speed.shown.mean
        came = _Came(bool(speed.inside), off, relative_width(speed.shown, "rtf"))
        _note(groups, "rtf", speed.shown, None, came)
    _note_judgements(groups, judged(store))
    return [_covered(*group, came) for group, came in groups.items()]


def judged(store: Store) -> list[Judgement]:
    """Every saved prediction that was judged, oldest first; what was known already is left out."""
    return [one for one in store.judgements() if one.counts]


def covered(judgements: Iterable[Judgement]) -> list[Covered]:
    """How often some saved predictions came true, by quantity and level."""
    groups: dict[_Group, list[_Came]] = {}
    _note_judgements(groups, judgements)
    return [
        _covered(*group, came)
        for group, came in groups.items()
        if group[2] is None and group[3] is None
    ]


def _note_judgements(groups: dict[_Group, list[_Came]], judgements: Iterable[Judgement]) -> None:
    for one in judgements:
        if one.counts:
            study = one.study if one.quantity in ("wer", "ua") else None
            came = _Came(bool(one.inside), abs(one.ratio - 1), one.relative_width)
            _note(groups, one.quantity, one.predicted, study, came)


def _note(
    groups: dict[_Group, list[_Came]],
    quantity: Quantity,
    predicted: Estimate,
    study: str | None,
    came: _Came,
) -> None:
    """Notes what has come of a prediction in each group that it belongs to."""
    kinds: list[tuple[str | None, str | None]] = [(None, None), (predicted.basis, None)]
    if study is not None:
        kinds.append((None, study))
    for basis, of in kinds:
        groups.setdefault((quantity, predicted.level, basis, of), []).append(came)


def _runs(store: Store) -> Iterator[tuple[Verification, Run]]:
    for row in store.verifications():
        verification = Verification.model_validate(row.document)
        for run in verification.runs:
            yield verification, run


def _covered(
    quantity: Quantity, level: float, basis: str | None, study: str | None, came: Sequence[_Came]
) -> Covered:
    inside = sum(one.inside for one in came)
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
        median_error=statistics.median(one.off for one in came),
        median_width=statistics.median(one.width for one in came),
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
