"""Fits a scaling model to observed errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from planner.arrays import Array, Labels, Mask
from planner.curves.data import observed
from planner.curves.model import ScalingModel
from planner.curves.refits import bagged, factors_of, held_out
from planner.curves.selection import FORMS, select
from planner.errors import InsufficientDataError, InvalidDataError
from planner.quantiles import t_quantile

MIN_OBSERVATIONS = 4
BAGS = 128
_MAX_FOLDS = 60
_CALIBRATION_LEVEL = 0.90
_FEW = 20


def fit(
    axes: Mapping[str, ArrayLike],
    error: ArrayLike,
    *,
    error_se: ArrayLike | None = None,
    groups: Mapping[str, Sequence[str] | Labels] | Sequence[str] | None = None,
    group_sd: Mapping[str, float] | None = None,
    forms: Sequence[str] = FORMS,
    seed: int = 0,
) -> ScalingModel:
    """Fits a scaling curve with its uncertainty, its form chosen by what it predicts.

    Robust maximum a posteriori in log space from many starts; the form is the one that
    predicts held-out rows best, see :mod:`planner.curves.selection`; the spread comes
    from bagged refits, each with its own weights and its own draw of the priors;
    a conformal factor from leave-one-out residuals makes intervals honest.

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
        seed: Seed of everything random.

    Raises:
        InvalidDataError: Lengths differ, or numbers are not finite and positive.
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
    rng = np.random.default_rng(seed)
    selection = select(data, tuple(axes), forms, rng)
    fitted = selection.chosen.fitted
    bags = bagged(fitted, data, BAGS, rng)
    left_out = held_out(fitted, data, _folds(data.rows, rng))
    residual, spread = left_out.by_row(left_out.residual), left_out.by_row(left_out.spread)
    distinct = len(np.unique(np.column_stack([data.design.log_axes, data.design.groups]), axis=0))
    freedom = float(np.clip(distinct - fitted.form.shared / 2, 3, 200))
    return ScalingModel(
        form=fitted.form,
        form_name=selection.chosen.name,
        scores={candidate.name: candidate.score for candidate in selection.tried},
        axis_names=tuple(axes),
        centres=data.centres,
        factors=factors_of(fitted.form, data),
        observed=data.design,
        log_error=data.log_error,
        bags=bags,
        misfit_sd=fitted.misfit_sd,
        freedom=freedom,
        inflation=_inflation(np.abs(residual) / spread, freedom),
        held_out_residuals=residual,
        seed=seed,
    )


def _folds(rows: int, rng: np.random.Generator) -> Mask:
    """Every row left out once, alone where there are few."""
    count = min(rows, _MAX_FOLDS)
    mask: Mask = (rng.permutation(rows) % count)[None] == np.arange(count)[:, None]
    return mask


def _inflation(scores: Array, freedom: float) -> float:
    """Factor on the spread that makes 90 % of held-out points fall inside.

    Split-conformal: the ``ceil(0.9 (n + 1))``-th smallest score, or the largest
    stretched a little where there are too few for that rank. Few scores don't make
    intervals narrower than the fit's own: that would be luck.
    """
    ordered = np.sort(scores)
    rank = int(np.ceil(_CALIBRATION_LEVEL * (len(ordered) + 1)))
    quantile = ordered[rank - 1] if rank <= len(ordered) else ordered[-1] * rank / len(ordered)
    expected = t_quantile(0.5 + _CALIBRATION_LEVEL / 2, freedom)
    least = np.clip(1.0 - (len(ordered) - _FEW) / 100, 0.5, 1.0)
    return float(max(quantile / expected, least))
