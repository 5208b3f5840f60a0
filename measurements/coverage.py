"""The coverage record: how often what was predicted came true."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from measurements.judgements import PREDICTED, Judgement, Quantity, relative_width
from measurements.records import Record
from measurements.scores import Kind, Score, score
from measurements.speed import Speed
from measurements.verification_records import Run, Verification

if TYPE_CHECKING:
    from measurements.store import Store

_LEVEL = 0.95

_BINS = 10
"""Of the histogram of probability integral transforms."""

_Group = tuple[Quantity, Kind, float, str | None, str | None]
"""Quantity, kind, level, basis and study."""


class _Came(NamedTuple):
    """What has come of a prediction.

    Attributes:
        score: How it fared.
        off: By how much it was off, as a share of it.
        width: Of the interval that was predicted, as a share of it.
    """

    score: Score
    off: float
    width: float


class Covered(Record):
    """Predictions of one kind that were verified by real runs, or judged by later ones.

    Attributes:
        quantity: Of what.
        kind: ``ratio`` of errors over those of a configuration measured on the same utterances
            before; ``level`` of everything else, of errors on speech that was not known before.
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
        mean_width: Mean width of the intervals with the noise of the runs, in log.
        mean_interval_score: Mean interval score in log (Gneiting and Raftery, 2007): the width,
            and 2 / (1 - level) times the distance by which an interval was missed. Lower is
            better; intervals that are too wide cost as well.
        pit: How many probability integral transforms fell into each tenth from 0 to 1: alike
            where predictions are calibrated, many in the middle where intervals are too wide, many
            at both ends where they are too narrow, at one end where predictions are biased.
    """

    quantity: Quantity
    kind: Kind
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
    mean_width: float
    mean_interval_score: float
    pit: tuple[int, ...]


def verified(store: Store) -> list[tuple[Verification, Run]]:
    """Every real run of a verification that judged a prediction, oldest first.

    What was known already is left out, and runs that there is nothing to judge by.
    """
    return _checked(_runs(store))


def _checked(runs: Iterable[tuple[Verification, Run]]) -> list[tuple[Verification, Run]]:
    return [
        (verification, run)
        for verification, run in runs
        if run.predicted.basis in PREDICTED and run.score is not None
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
    """The record: by quantity, kind and level, all of it, by basis, and errors by study."""
    groups: dict[_Group, list[_Came]] = {}
    runs = list(_runs(store))
    for verification, run in _checked(runs):
        assert run.score is not None
        came = _came(run.score, run.measured.name)
        _note(groups, run.measured.name, run.predicted.basis, verification.study, came)
    for speed in _speeds(runs):
        assert speed.shown is not None
        assert speed.corrected is not None
        came = _came(score(speed.shown, speed.corrected), "rtf")
        _note(groups, "rtf", speed.shown.basis, None, came)
    _note_judgements(groups, judged(store))
    return [_covered(*group, came) for group, came in groups.items()]


def judged(store: Store) -> list[Judgement]:
    """Every saved prediction that was judged, oldest first; what was known already is left out."""
    return [one for one in store.judgements() if one.counts]


def covered(judgements: Iterable[Judgement]) -> list[Covered]:
    """Coverage of saved predictions, by quantity, kind and level."""
    groups: dict[_Group, list[_Came]] = {}
    _note_judgements(groups, judgements)
    return [
        _covered(*group, came)
        for group, came in groups.items()
        if group[3] is None and group[4] is None
    ]


def _note_judgements(groups: dict[_Group, list[_Came]], judgements: Iterable[Judgement]) -> None:
    for one in judgements:
        if one.counts:
            study = one.study if one.quantity in ("wer", "ua") else None
            found = one.score or score(one.predicted, one.measured)
            _note(groups, one.quantity, one.predicted.basis, study, _came(found, one.quantity))


def _came(found: Score, quantity: Quantity) -> _Came:
    predicted, measured = found.predicted.mean, found.measured
    of_level = quantity if found.kind == "level" else "ratio"
    if of_level == "ua":
        predicted, measured = 1 - predicted, 1 - measured
    off = abs(measured - predicted) / predicted if predicted else 0.0
    return _Came(found, off, relative_width(found.predicted, of_level))


def _note(
    groups: dict[_Group, list[_Came]],
    quantity: Quantity,
    basis: str,
    study: str | None,
    came: _Came,
) -> None:
    """Notes what has come of a prediction in each group that it belongs to."""
    kinds: list[tuple[str | None, str | None]] = [(None, None), (basis, None)]
    if study is not None:
        kinds.append((None, study))
    for one, of in kinds:
        group = quantity, came.score.kind, came.score.predicted.level, one, of
        groups.setdefault(group, []).append(came)


def _runs(store: Store) -> Iterator[tuple[Verification, Run]]:
    for row in store.verifications():
        verification = Verification.model_validate(row.document)
        for run in verification.runs:
            yield verification, run


def _covered(
    quantity: Quantity,
    kind: Kind,
    level: float,
    basis: str | None,
    study: str | None,
    came: Sequence[_Came],
) -> Covered:
    inside = sum(one.score.inside for one in came)
    lower, upper = clopper_pearson(inside, len(came))
    tenths = [min(int(_BINS * one.score.pit), _BINS - 1) for one in came]
    return Covered(
        quantity=quantity,
        kind=kind,
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
        mean_width=statistics.fmean(one.score.width for one in came),
        mean_interval_score=statistics.fmean(one.score.interval_score for one in came),
        pit=tuple(tenths.count(tenth) for tenth in range(_BINS)),
    )


def clopper_pearson(inside: int, runs: int) -> tuple[float, float]:
    """The exact interval of a share, from quantiles of the beta distribution."""
    # scipy.stats would be a second and 40 MB of a service that needs nothing else of it.
    from scipy.special import betaincinv

    tail = (1 - _LEVEL) / 2
    lower = float(betaincinv(inside, runs - inside + 1, tail)) if inside else 0.0
    upper = float(betaincinv(inside + 1, runs - inside, 1 - tail)) if inside < runs else 1.0
    return lower, upper
