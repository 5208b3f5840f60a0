"""Fits a scaling model to observed errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from planner.curves.additive import AdditivePowerLaw, Array, Design, Index, Mask
from planner.curves.model import GroupFactor, ScalingModel
from planner.curves.solver import Prior, covariance, objective, solve
from planner.errors import InsufficientDataError, InvalidDataError
from planner.quantiles import t_quantile

MIN_OBSERVATIONS = 4
BAGS = 128
_MAX_FOLDS = 60
_STARTS = 6
_CALIBRATION_LEVEL = 0.90

# Priors in log space. A term's size is within a factor of 4.5 of its share of
# the error, an exponent within a factor of 3 of 0.5, both at one standard deviation.
_LOG_SIZE_SD = 1.5
_LOG_POWER_MEAN, _LOG_POWER_SD = float(np.log(0.5)), 1.1
DEFAULT_GROUP_SD = 0.5

_MIN_MISFIT_SD = 0.01
_FIRST_MISFIT_SD = 0.1


def fit(
    axes: Mapping[str, ArrayLike],
    error: ArrayLike,
    *,
    error_se: ArrayLike | None = None,
    groups: Mapping[str, Sequence[str]] | Sequence[str] | None = None,
    group_sd: Mapping[str, float] | None = None,
    forms: Sequence[str] = ("additive",),
    seed: int = 0,
) -> ScalingModel:
    """Fits ``offsets * (floor + sum of power laws)`` with its uncertainty.

    Robust maximum a posteriori in log space from many starts; the spread comes
    from bagged refits, each with its own weights and its own draw of the priors;
    a conformal factor from leave-one-out residuals makes intervals honest.

    Args:
        axes: Positive numbers by axis name, each of shape ``(n,)``; more of an
            axis means less error.
        error: Positive numbers, lower is better, shape ``(n,)``.
        error_se: Standard errors of ``error``; none are known when left out.
        groups: Labels that share an offset, shape ``(n,)``: one factor (called
            ``group``) or several by name, such as source and model.
        group_sd: Standard deviation of each factor's offsets in log error,
            0.5 where not stated.
        forms: Forms to choose from; ``additive`` is known.
        seed: Seed of the bagged refits.

    Raises:
        InvalidDataError: Lengths differ, or numbers are not finite and positive.
        InsufficientDataError: Fewer than 4 observations.
    """
    unknown = set(forms) - {"additive"}
    if unknown or not forms:
        raise InvalidDataError(f"unknown forms {sorted(unknown)}; known: additive")
    data = _validated(axes, error, error_se)
    rows = len(data.log_error)
    if rows < MIN_OBSERVATIONS:
        raise InsufficientDataError(
            f"{rows} observations, a curve needs at least {MIN_OBSERVATIONS}",
            observations=rows,
            needed=MIN_OBSERVATIONS,
        )
    factors = _factors(groups, group_sd or {}, rows)
    columns = _columns(factors, rows)
    # Drawing weights and folds in an order of the data's own makes the fit the
    # same, to the bit, however its rows are arranged.
    order = np.lexsort((data.log_se, data.log_error, *columns.T, *data.log_axes.T))
    data, columns = data.take(order), columns[order]
    centres = data.log_axes.mean(axis=0)
    design = Design(data.log_axes - centres, columns)
    form = AdditivePowerLaw(design.log_axes.shape[1], sum(len(f.labels) for f, _ in factors))
    prior = _prior(form, data.log_error, [f for f, _ in factors])
    rng = np.random.default_rng(seed)

    best, misfit_sd = _map_fit(form, design, data, prior, rng)
    weights = 1.0 / (np.square(data.log_se) + misfit_sd**2)
    bags, folds, held_out = _refits(form, design, data, prior, best, weights, rng)
    scores = _held_out_scores(form, design, data, prior, folds, held_out, weights, misfit_sd)
    distinct = len(np.unique(np.column_stack([design.log_axes, design.groups]), axis=0))
    freedom = float(np.clip(distinct - form.axes - 1, 3, 200))
    return ScalingModel(
        form=form,
        axis_names=tuple(axes),
        centres=centres,
        factors=tuple(f for f, _ in factors),
        observed=design,
        log_error=data.log_error,
        bags=bags,
        misfit_sd=misfit_sd,
        freedom=freedom,
        inflation=_inflation(scores, freedom),
        held_out_residuals=_held_out_residuals(form, design, data, folds, held_out),
        seed=seed,
    )


@dataclass(frozen=True)
class _Data:
    log_axes: Array
    log_error: Array
    log_se: Array

    def take(self, index: Index) -> _Data:
        return _Data(self.log_axes[index], self.log_error[index], self.log_se[index])


def _validated(
    axes: Mapping[str, ArrayLike], error: ArrayLike, error_se: ArrayLike | None
) -> _Data:
    values = _positive("error", error)
    rows = len(values)
    columns = [_positive(f"axis {name!r}", column) for name, column in axes.items()]
    for name, column in zip(axes, columns, strict=True):
        if len(column) != rows:
            raise InvalidDataError(f"axis {name!r} has {len(column)} values, error has {rows}")
    if error_se is None:
        log_se = np.zeros(rows)
    else:
        spread = np.asarray(error_se, dtype=float)
        if spread.shape != values.shape or not np.isfinite(spread).all() or (spread < 0).any():
            raise InvalidDataError("error_se is not one finite number, 0 or more, for each error")
        log_se = spread / values
    log_axes = np.log(np.column_stack(columns)) if columns else np.zeros((rows, 0))
    return _Data(log_axes, np.log(values), log_se)


def _positive(what: str, values: ArrayLike) -> Array:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise InvalidDataError(f"{what} is not made of numbers") from None
    if array.ndim != 1:
        raise InvalidDataError(f"{what} has shape {array.shape}, expected one dimension")
    bad = np.flatnonzero(~np.isfinite(array) | (array <= 0))
    if bad.size:
        raise InvalidDataError(
            f"{what} is {array[bad[0]]} at row {bad[0]}: only positive finite numbers are fitted"
        )
    return array


def _factors(
    groups: Mapping[str, Sequence[str]] | Sequence[str] | None,
    group_sd: Mapping[str, float],
    rows: int,
) -> list[tuple[GroupFactor, Index]]:
    if groups is None:
        return []
    named = groups if isinstance(groups, Mapping) else {"group": groups}
    factors, first = [], 0
    for name, labels in named.items():
        if len(labels) != rows:
            raise InvalidDataError(f"group {name!r} has {len(labels)} labels, error has {rows}")
        known = tuple(sorted(set(map(str, labels))))
        factor = GroupFactor(name, known, first, group_sd.get(name, DEFAULT_GROUP_SD))
        factors.append((factor, factor.columns(labels)))
        first += len(known)
    return factors


def _columns(factors: list[tuple[GroupFactor, Index]], rows: int) -> Index:
    if not factors:
        return np.zeros((rows, 0), dtype=np.int64)
    return np.column_stack([column for _, column in factors])


def _prior(form: AdditivePowerLaw, log_error: Array, factors: list[GroupFactor]) -> Prior:
    share = float(np.median(log_error)) - np.log(1 + form.axes)
    mean = np.zeros(form.size)
    sd = np.ones(form.size)
    mean[: 1 + form.axes], sd[: 1 + form.axes] = share, _LOG_SIZE_SD
    powers = slice(1 + form.axes, 1 + 2 * form.axes)
    mean[powers], sd[powers] = _LOG_POWER_MEAN, _LOG_POWER_SD
    for factor in factors:
        first = 1 + 2 * form.axes + factor.first
        sd[first : first + len(factor.labels)] = factor.sd
    return Prior(mean, sd)


def _map_fit(
    form: AdditivePowerLaw,
    design: Design,
    data: _Data,
    prior: Prior,
    rng: np.random.Generator,
) -> tuple[Array, float]:
    """The best of several starts, and the misfit that the noise does not explain."""
    starts = prior.mean + prior.sd * rng.standard_normal((_STARTS, form.size))
    starts[0] = prior.mean
    misfit_sd = _FIRST_MISFIT_SD
    for _ in range(4):
        weights = 1.0 / (np.square(data.log_se) + misfit_sd**2)[None]
        fits = solve(form, design, data.log_error, weights, prior, starts)
        losses = objective(form, design, data.log_error, weights, prior, fits)
        best = fits[[int(losses.argmin())]]
        starts = best
        misfit_sd = _misfit_sd(form, design, data, weights, prior, best)
    return best, misfit_sd


def _misfit_sd(
    form: AdditivePowerLaw, design: Design, data: _Data, weights: Array, prior: Prior, theta: Array
) -> float:
    """Spread of the residuals beyond their noise, on the degrees of freedom left."""
    fitted, jacobian = form.jacobian(theta, design)
    variance = covariance(form, design, weights, prior, theta)
    used = float(np.einsum("rp,pq,rq,r->", jacobian[0], variance[0], jacobian[0], weights[0]))
    left = max(len(data.log_error) - used, 1.0)
    # A median is not moved by the few points that the robust loss sets aside.
    residual = data.log_error - fitted[0]
    spread = 1.4826 * float(np.median(np.abs(residual))) * np.sqrt(len(residual) / left)
    excess = spread**2 - float(np.median(np.square(data.log_se)))
    return float(np.sqrt(max(excess, _MIN_MISFIT_SD**2)))


def _refits(
    form: AdditivePowerLaw,
    design: Design,
    data: _Data,
    prior: Prior,
    best: Array,
    weights: Array,
    rng: np.random.Generator,
) -> tuple[Array, Array, Mask]:
    """Bagged refits and held-out refits, in one batch.

    Returns:
        Parameters of the bags, those of the folds, and which rows each fold
        held out, shape ``(folds, rows)``.
    """
    rows = design.rows
    count = min(rows, _MAX_FOLDS)
    fold_of = rng.permutation(rows) % count
    held_out = fold_of[None] == np.arange(count)[:, None]
    # Exponential weights are the Bayesian bootstrap: unlike resampling, they
    # never leave a group without any of its observations.
    bag_weights = weights * rng.exponential(size=(BAGS, rows))
    bag_means = prior.mean + prior.sd * rng.standard_normal((BAGS, form.size))
    thetas = solve(
        form,
        design,
        data.log_error,
        np.vstack([bag_weights, weights * ~held_out]),
        Prior(np.vstack([bag_means, np.tile(prior.mean, (count, 1))]), prior.sd),
        np.tile(best, (BAGS + count, 1)),
    )
    return thetas[:BAGS], thetas[BAGS:], held_out


def _held_out_residuals(
    form: AdditivePowerLaw, design: Design, data: _Data, folds: Array, held_out: Mask
) -> Array:
    predicted = form.log_value(folds, design)
    residuals: Array = np.where(held_out, data.log_error - predicted, 0.0).sum(axis=0)
    return residuals


def _held_out_scores(
    form: AdditivePowerLaw,
    design: Design,
    data: _Data,
    prior: Prior,
    folds: Array,
    held_out: Mask,
    weights: Array,
    misfit_sd: float,
) -> Array:
    """Held-out residuals in units of the spread that was predicted for them."""
    _, jacobian = form.jacobian(folds, design)
    variance = covariance(form, design, weights * ~held_out, prior, folds)
    predicted = np.einsum("vrp,vpq,vrq->vr", jacobian, variance, jacobian)
    spread = np.sqrt(predicted + np.square(data.log_se) + misfit_sd**2)
    residual = _held_out_residuals(form, design, data, folds, held_out)
    scores: Array = np.abs(residual) / np.where(held_out, spread, 0.0).sum(axis=0)
    return scores


def _inflation(scores: Array, freedom: float) -> float:
    """Factor on the spread that makes 90 % of held-out points fall inside.

    Split-conformal: the ``ceil(0.9 (n + 1))``-th smallest score, or the largest
    stretched a little where there are too few for that rank.
    """
    ordered = np.sort(scores)
    rank = int(np.ceil(_CALIBRATION_LEVEL * (len(ordered) + 1)))
    quantile = ordered[rank - 1] if rank <= len(ordered) else ordered[-1] * rank / len(ordered)
    expected = t_quantile(0.5 + _CALIBRATION_LEVEL / 2, freedom)
    return float(max(quantile / expected, 0.5))
