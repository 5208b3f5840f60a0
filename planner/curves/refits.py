"""A form fitted to observations: the best fit, bagged refits, fits that left rows out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planner.arrays import Array, Mask
from planner.curves.data import Observed
from planner.curves.form import Form
from planner.curves.solver import ITERATIONS, Prior, covariance, objective, solve

_STARTS = 6
_ROUNDS = 4

# A term's size is within a factor of 12 of its share of the error at one standard
# deviation.
_LOG_SIZE_SD = 2.5

TIGHT = (1.0, 0.25, 0.05)
"""Shares of a factor's spread that its offsets may be held to; the last is next to none."""

_MANY_ROWS = 500
_FEW_STEPS = 8
"""Of each refit of so many rows: near its best fit, a few steps are all of the way."""

_MOST_DELETED = 16
_MIN_MISFIT_SD = 0.01
_FIRST_MISFIT_SD = 0.1
_MISFIT_TOLERANCE = 0.05


@dataclass(frozen=True)
class Fitted:
    """The best fit of a form.

    Attributes:
        form: What was fitted.
        prior: Under this prior.
        theta: Parameters, shape ``(1, size)``.
        misfit_sd: Spread of log error that the noise does not explain.
    """

    form: Form
    prior: Prior
    theta: Array
    misfit_sd: float


def prior_of(form: Form, data: Observed) -> Prior:
    """Normal priors on a form's parameters, centred by the size of the errors."""
    share = float(np.median(data.log_error)) - np.log(1 + len(form.terms))
    low, high = data.design.log_axes.min(axis=0), data.design.log_axes.max(axis=0)
    pairs = [(share, _LOG_SIZE_SD)]
    for term in form.terms:
        pairs.append((share, _LOG_SIZE_SD))
        for axis, shape in term.factors:
            pairs += shape.prior(float(low[axis]), float(high[axis]))
    for factor, held in zip(data.factors, form.tight, strict=True):
        pairs += [(0.0, factor.sd * TIGHT[held])] * len(factor.labels)
    mean, sd = np.array(pairs).T
    return Prior(mean, sd)


def drawn_starts(form: Form, data: Observed, rng: np.random.Generator) -> Array:
    """The prior's mean, and draws from it, shape ``(n, size)``."""
    prior = prior_of(form, data)
    starts = prior.mean + prior.sd * rng.standard_normal((_STARTS, form.size))
    starts[0] = prior.mean
    return starts


def best_fit(form: Form, data: Observed, starts: Array) -> Fitted:
    """The best of several starts, and the misfit that the noise does not explain.

    Args:
        form: What to fit.
        data: To these observations.
        starts: Where to begin, shape ``(n, size)``.
    """
    prior, misfit_sd = prior_of(form, data), _FIRST_MISFIT_SD
    for _ in range(_ROUNDS):
        weights = 1.0 / (np.square(data.log_se) + misfit_sd**2)[None]
        fits = solve(form, data.design, data.log_error, weights, prior, starts)
        losses = objective(form, data.design, data.log_error, weights, prior, fits)
        starts = fits[[int(losses.argmin())]]
        before, misfit_sd = misfit_sd, _misfit_sd(form, data, weights, prior, starts)
        if abs(np.log(misfit_sd / before)) < _MISFIT_TOLERANCE:
            break
    return Fitted(form, prior, starts, misfit_sd)


def weights_of(fitted: Fitted, data: Observed) -> Array:
    """Inverse variance of each row, noise and misfit together, shape ``(rows,)``."""
    return 1.0 / (np.square(data.log_se) + fitted.misfit_sd**2)


def bagged(fitted: Fitted, data: Observed, bags: int, rng: np.random.Generator) -> Array:
    """Parameters of an even number of refits with random weights and priors.

    Returns:
        Shape ``(bags, size)``.
    """
    # Exponential weights are the Bayesian bootstrap: unlike resampling, they
    # never leave a group without any of its observations.
    weights = weights_of(fitted, data) * rng.exponential(size=(bags, data.rows))
    prior = fitted.prior
    # In pairs that cancel: the middle of few refits is then not where chance has drawn the priors.
    half = rng.standard_normal((bags // 2, fitted.form.size))
    means = prior.mean + prior.sd * np.concatenate([half, -half])
    return _refits(fitted, data, weights, Prior(means, prior.sd))


def deleted(fitted: Fitted, data: Observed, place: int) -> Array:
    """Parameters refitted without the rows of each label of a group factor.

    Args:
        fitted: Where each begins, and its weights.
        data: The observations.
        place: Which factor; only its labels with the most rows, 16 at most, are left out, and
            the others have the parameters of the best fit.

    Returns:
        Shape ``(labels, size)``.
    """
    factor = data.factors[place]
    label = data.design.groups[:, place] - factor.first
    counts = np.bincount(label, minlength=len(factor.labels))
    most = np.argsort(-counts, kind="stable")[:_MOST_DELETED]
    found = np.tile(fitted.theta, (len(counts), 1))
    weights = weights_of(fitted, data) * (label[None] != most[:, None])
    found[most] = _refits(fitted, data, weights, fitted.prior)
    return found


def _refits(fitted: Fitted, data: Observed, weights: Array, prior: Prior) -> Array:
    """Refits that begin at the best fit, one for each vector of weights."""
    start = np.tile(fitted.theta, (len(weights), 1))
    return solve(
        fitted.form,
        data.design,
        data.log_error,
        weights,
        prior,
        start,
        iterations=_FEW_STEPS if data.rows > _MANY_ROWS else ITERATIONS,
    )


@dataclass(frozen=True)
class HeldOut:
    """What a form says of rows that it was not fitted to.

    Attributes:
        residual: Log error observed minus predicted, shape ``(folds, rows)``.
        sd: Standard deviation of what was predicted, the rows' own noise left out.
        mask: Which rows each fold held out; the rest mean nothing.
    """

    residual: Array
    sd: Array
    mask: Mask

    def by_row(self, values: Array) -> Array:
        """Of each row its value in the fold that held it out, shape ``(rows,)``."""
        found: Array = np.where(self.mask, values, 0.0).sum(axis=0)
        return found


def held_out(fitted: Fitted, data: Observed, mask: Mask) -> HeldOut:
    """Refits without each fold, and what they say of it.

    Args:
        fitted: Where each begins, and its weights.
        data: The observations.
        mask: Rows that each fold holds out, shape ``(folds, rows)``.
    """
    form, prior = fitted.form, fitted.prior
    weights = weights_of(fitted, data) * ~mask
    folds = _refits(fitted, data, weights, prior)
    predicted, jacobian = form.jacobian(folds, data.design)
    variance = covariance(form, data.design, weights, prior, folds)
    own = np.einsum("vrp,vpq,vrq->vr", jacobian, variance, jacobian, optimize=True)
    return HeldOut(data.log_error - predicted, np.sqrt(own + fitted.misfit_sd**2), mask)


def averaged(found: Sequence[HeldOut], weights: Array) -> tuple[Array, Array]:
    """What an average of forms says of held-out rows: its mean and standard deviation.

    Args:
        found: Of each form, of the same folds.
        weights: Of each form; they sum to 1.

    Returns:
        Log error observed minus predicted, and the standard deviation of what was predicted,
        both of shape ``(folds, rows)``.
    """
    residual = np.tensordot(weights, [one.residual for one in found], 1)
    # Where forms disagree, the average is less sure than each of them.
    variance = [np.square(one.sd) + np.square(one.residual - residual) for one in found]
    return residual, np.sqrt(np.tensordot(weights, variance, 1))


def _misfit_sd(form: Form, data: Observed, weights: Array, prior: Prior, theta: Array) -> float:
    """Spread of the residuals beyond their noise, on the degrees of freedom left."""
    fitted, jacobian = form.jacobian(theta, data.design)
    variance = covariance(form, data.design, weights, prior, theta)
    used = float(np.einsum("rp,pq,rq,r->", jacobian[0], variance[0], jacobian[0], weights[0]))
    left = max(data.rows - used, 1.0)
    # A median is not moved by the few points that the robust loss sets aside.
    residual = data.log_error - fitted[0]
    spread = 1.4826 * float(np.median(np.abs(residual))) * np.sqrt(len(residual) / left)
    excess = spread**2 - float(np.median(np.square(data.log_se)))
    return float(np.sqrt(max(excess, _MIN_MISFIT_SD**2)))
