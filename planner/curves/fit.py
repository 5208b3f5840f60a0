"""Fits a scaling model to observed errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from planner.arrays import Array, Index, Labels, Mask
from planner.curves.data import Observed, observed
from planner.curves.model import Part, ScalingModel
from planner.curves.refits import Fitted, averaged, bagged, best_fit, deleted, held_out
from planner.curves.selection import FORMS, MOST_ROWS, far_ends, select
from planner.errors import InsufficientDataError, InvalidDataError
from planner.quantiles import normal_quantile, t_quantile
from planner.threads import on_one_thread

MIN_OBSERVATIONS = 4
BAGS = 128
_MAX_FOLDS = 60
_CALIBRATION_LEVEL = 0.90
_FEW = 20
_TOO_FEW_TO_SET_ASIDE = 6
_EXTRAPOLATION_SD = 0.1
"""Spread for each factor of e beyond an axis as it is believed before far ends are held out."""

_EXTRAPOLATION_LOG_SD = 1.5
"""Standard deviation of its log."""

_LIGHT = 0.03
"""Weight below which a form is left out of the average."""


@on_one_thread
def fit(
    axes: Mapping[str, ArrayLike],
    error: ArrayLike,
    *,
    error_se: ArrayLike | None = None,
    groups: Mapping[str, Sequence[str] | Labels] | Sequence[str] | None = None,
    group_sd: Mapping[str, float] | None = None,
    forms: Sequence[str] = FORMS,
    like: ScalingModel | None = None,
    delete: str | None = None,
    seed: int = 0,
) -> ScalingModel:
    """Fits a scaling curve with its uncertainty, its forms averaged by what they predict.

    Robust maximum a posteriori in log space from many starts; forms are averaged, the weights
    given by what they predict of held-out rows, see :mod:`planner.curves.selection`; the spread
    comes from bagged refits, each with its own weights and its own draw of the priors; a
    conformal factor from leave-one-out residuals makes intervals honest, and held-out far ends
    say how they widen beyond the axes.

    Args:
        axes: Positive numbers by axis name, each of shape ``(n,)``.
        error: Positive numbers, lower is better, shape ``(n,)``.
        error_se: Standard errors of ``error``; none are known when left out.
        groups: Labels that share an offset, shape ``(n,)``: one factor (called
            ``group``) or several by name, such as source and model.
        group_sd: Standard deviation of each factor's offsets in log error,
            0.5 where not stated.
        forms: What to choose from: a base (``additive``, ``multiplicative``), and what may be
            changed of it (``interaction``, ``saturating``, ``broken``, ``u-shape``).
        like: A fit whose forms and weights are kept, so that none are searched for: of nearly
            the same rows, on the same axes and factors.
        delete: A group factor whose labels are left out in turn, for
            :meth:`ScalingModel.changes_without`.
        seed: Seed of everything random.

    Raises:
        InvalidDataError: Lengths differ, no axis is given, numbers are not finite and
            positive, or ``like`` has other axes or factors.
        InsufficientDataError: Fewer than 4 observations.
    """
    unknown = [name for name in forms if name not in FORMS]
    if unknown or not {"additive", "multiplicative"} & set(forms):
        raise InvalidDataError(
            f"forms {list(forms)}: additive or multiplicative is needed,"
            f" and any of {', '.join(FORMS[2:])}"
        )
    data = observed(axes, error, error_se, groups, group_sd or {})
    if data.rows < MIN_OBSERVATIONS:
        raise InsufficientDataError(
            f"{data.rows} observations, a curve needs at least {MIN_OBSERVATIONS}",
            observations=data.rows,
            needed=MIN_OBSERVATIONS,
        )
    if seed < 0:
        raise InvalidDataError(f"seed is {seed}, expected 0 or more")
    place = None
    if delete is not None:
        names = [factor.name for factor in data.factors]
        if delete not in names:
            raise InvalidDataError(f"delete is {delete!r}, no factor of {', '.join(names)}")
        place = names.index(delete)
    rng = np.random.default_rng(seed)
    scores: dict[str, float] = {}
    if like is not None:
        chosen, weights = _as(like, data, tuple(axes)), like.weights
    else:
        selection = select(_some(data, rng), tuple(axes), forms, rng)
        scores = {candidate.name: candidate.score for candidate in selection.tried}
        chosen = {one.name: one.fitted for one in selection.chosen}
        weights = selection.weights
    bags = _allotted(weights)
    chosen = {name: one for (name, one), some in zip(chosen.items(), bags, strict=True) if some}
    if like is None and data.rows > MOST_ROWS:
        chosen = {name: best_fit(one.form, data, one.theta) for name, one in chosen.items()}
    bags = bags[bags > 0]
    weights = bags / BAGS
    fits = list(chosen.values())
    parts = tuple(
        Part(name, one.form, bagged(one, data, int(some), rng))
        for (name, one), some in zip(chosen.items(), bags, strict=True)
    )
    folds = _folds(data.rows, rng)
    held = [held_out(one, data, folds) for one in fits]
    residual, sd = (held[0].by_row(values) for values in averaged(held, weights))
    shared = float(weights @ [one.form.shared for one in fits])
    distinct = len(np.unique(np.column_stack([data.design.log_axes, data.design.groups]), axis=0))
    freedom = float(np.clip(distinct - shared / 2, 3, 200))
    inflation = _inflation(residual, sd, data.log_se, freedom, shared)
    return ScalingModel(
        parts=parts,
        scores=scores,
        axis_names=tuple(axes),
        centres=data.centres,
        factors=data.factors,
        observed=data.design,
        log_error=data.log_error,
        # A light form that misses much would widen all intervals in an arithmetic mean.
        misfit_sd=float(np.exp(weights @ np.log([one.misfit_sd for one in fits]))),
        freedom=freedom,
        inflation=inflation,
        extrapolation_sd=_extrapolation_sd(fits, weights, data, inflation, freedom),
        held_out_residuals=residual,
        seed=seed,
        best=fits[0].theta[0],
        deleted_factor=delete,
        deleted=deleted(fits[0], data, place) if place is not None else fits[0].theta[:0],
    )


def _allotted(weights: Array) -> Index:
    """Refits of each form: an even number, by largest remainder, none of a light one."""
    heavy = np.where(weights >= min(_LIGHT, weights.max()), weights, 0.0)
    pairs = heavy / heavy.sum() * (BAGS // 2)
    counts = np.floor(pairs).astype(np.int64)
    most = np.argsort(counts - pairs, kind="stable")
    counts[most[: BAGS // 2 - counts.sum()]] += 1
    found: Index = 2 * counts
    return found


def _as(like: ScalingModel, data: Observed, axis_names: tuple[str, ...]) -> dict[str, Fitted]:
    """The best fits of another's forms, searched for from where the other's refits are."""
    names = tuple(factor.name for factor in data.factors)
    known = tuple(factor.name for factor in like.factors)
    if (axis_names, names) != (like.axis_names, known):
        raise InvalidDataError(
            f"like is a fit of {like.axis_names} and {known}, not of {axis_names} and {names}"
        )
    found = {}
    for part in like.parts:
        form = replace(part.form, offsets=data.offsets)
        start = np.zeros((1, form.size))
        start[:, : form.shared] = np.median(part.bags[:, : form.shared], axis=0)
        found[part.name] = best_fit(form, data, start)
    return found


def _some(data: Observed, rng: np.random.Generator) -> Observed:
    """As many of the rows as are worth telling forms apart by."""
    if data.rows <= MOST_ROWS:
        return data
    return data.take(np.sort(rng.permutation(data.rows)[:MOST_ROWS]))


def _folds(rows: int, rng: np.random.Generator) -> Mask:
    """Every row left out once, alone where there are few."""
    count = min(rows, _MAX_FOLDS)
    mask: Mask = (rng.permutation(rows) % count)[None] == np.arange(count)[:, None]
    return mask


def _extrapolation_sd(
    fits: Sequence[Fitted], weights: Array, data: Observed, inflation: float, freedom: float
) -> Array:
    """Spread in log error for each factor of e beyond each axis, by what was missed at far ends.

    It explains what curves miss there beyond their own spread and the noise: the posterior
    mean of its log under a normal prior, each far end counting as one observation.
    """
    logs = _EXTRAPOLATION_LOG_SD * np.linspace(-3, 3, 31)
    found = np.full(data.design.log_axes.shape[1], np.log(_EXTRAPOLATION_SD))
    for axis in range(len(found)):
        ends, beyond = far_ends(data, axis)
        if not len(ends):
            continue
        residual, sd = averaged([held_out(one, data, ends) for one in fits], weights)
        known = np.square(inflation * sd) + np.square(data.log_se)
        posterior = -0.5 * np.square(logs / _EXTRAPOLATION_LOG_SD)
        for place, log in enumerate(logs):
            variance = known + np.square(_EXTRAPOLATION_SD * np.exp(log) * beyond)
            tails = np.log1p(np.square(residual) / (freedom * variance))
            density = -0.5 * np.log(variance) - (freedom + 1) / 2 * tails
            posterior[place] += (np.where(ends, density, 0.0).sum(axis=1) / ends.sum(axis=1)).sum()
        share = np.exp(posterior - posterior.max())
        found[axis] += share @ logs / share.sum()
    spread: Array = np.exp(found)
    return spread


def _inflation(
    residual: Array, sd: Array, noise_sd: Array, freedom: float, parameters: float
) -> float:
    """Factor on the curve's spread that makes 90 % of held-out points fall inside.

    A point's own noise is known and takes its share first: what the residual has beyond it
    is the curve's, and a score when divided by its spread. Split-conformal: the
    ``ceil(level (n + 1))``-th smallest score against what the t distribution says of that
    level. With fewer points than 90 % can be told by, the level is that of the second
    largest score, since the largest may be an outlier. Few scores don't make intervals
    narrower than the fit's own: that would be luck. Where points are not twice as many as
    what is fitted to them, held-out fits rest on the priors, and what they miss says too
    little: intervals widen by the root of the missing share.
    """
    count = len(residual)
    level = min(_CALIBRATION_LEVEL, (count - 1) / (count + 1))
    if count < _TOO_FEW_TO_SET_ASIDE:
        level = _CALIBRATION_LEVEL
    by_noise = normal_quantile(0.5 + level / 2) * noise_sd
    beyond = np.maximum(np.square(residual) - np.square(by_noise), 0.0)
    ordered = np.sort(np.sqrt(beyond) / sd)
    rank = int(np.ceil(level * (count + 1) - 1e-9))
    quantile = ordered[rank - 1] if rank <= count else ordered[-1] * rank / count
    expected = t_quantile(0.5 + level / 2, freedom)
    least = np.clip(1.0 - (count - _FEW) / 100, 0.5, 1.0)
    return float(max(quantile / expected, least) * max(1.0, 2 * parameters / count) ** 0.5)
