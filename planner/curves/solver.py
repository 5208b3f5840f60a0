"""Maximum a posteriori fits, many at once.

A damped Gauss-Newton (Levenberg-Marquardt) iteration on a batch: every refit of a
bag or a fold is one slice of the same arrays, which makes hundreds of refits
cost little more than one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from planner.arrays import Array

ITERATIONS = 60
"""At most, where a search is to end."""

_LONGEST_STEP = 1.5
_HUBER = 3.0


D = TypeVar("D", contravariant=True)


class Form(Protocol[D]):
    """A function of parameters and design rows whose logarithm is fitted."""

    def log_value(self, parameters: Array, design: D) -> Array:
        """Log of the value, shape ``(vectors, rows)``."""

    def jacobian(self, parameters: Array, design: D) -> tuple[Array, Array]:
        """The same and its derivatives, shape ``(vectors, rows, size)``."""


@dataclass(frozen=True)
class Prior:
    """Independent normal priors on the parameters.

    Attributes:
        mean: Shape ``(size,)``, or ``(vectors, size)`` for randomised refits.
        sd: Shape ``(size,)``.
    """

    mean: Array
    sd: Array


def solve(
    form: Form[D],
    design: D,
    log_observed: Array,
    weights: Array,
    prior: Prior,
    start: Array,
    *,
    iterations: int = ITERATIONS,
    tolerance: float = 1e-6,
) -> Array:
    """Minimises weighted Huber residuals plus the prior's penalty.

    Args:
        form: The form to fit.
        design: Where it was observed, ``rows`` rows.
        log_observed: What was observed, shape ``(rows,)``.
        weights: Inverse variances, shape ``(vectors, rows)`` or ``(1, rows)``; 0
            leaves a row out.
        prior: Prior of each refit.
        start: Where to begin, shape ``(vectors, size)``.
        iterations: Steps at most.
        tolerance: Share of what is minimised below which a step's gain ends the search.

    Returns:
        The parameters, shape ``(vectors, size)``.
    """
    theta = start.copy()
    precision = 1.0 / np.square(prior.sd)
    mean = np.broadcast_to(prior.mean, theta.shape)
    weights = np.broadcast_to(weights, (len(theta), weights.shape[-1]))
    damping = np.full(len(theta), 1e-2)
    reached = _objective(form, design, log_observed, weights, mean, precision, theta)
    going = np.arange(len(theta))
    for _ in range(iterations):
        step = _step(
            form,
            design,
            log_observed,
            weights[going],
            mean[going],
            precision,
            theta[going],
            damping[going],
        )
        trial = theta[going] + step
        tried = _objective(
            form, design, log_observed, weights[going], mean[going], precision, trial
        )
        gain = reached[going] - tried
        better = gain >= 0
        theta[going[better]] = trial[better]
        reached[going[better]] = tried[better]
        damping[going] = np.clip(damping[going] * np.where(better, 0.3, 8.0), 1e-9, 1e9)
        # A refit that has arrived is left alone; the others go on without it.
        arrived = (better & (gain < tolerance * (1.0 + tried))) | (damping[going] > 1e6)
        going = going[~arrived]
        if not going.size:
            break
    return theta


def _step(
    form: Form[D],
    design: D,
    log_observed: Array,
    weights: Array,
    mean: Array,
    precision: Array,
    theta: Array,
    damping: Array,
) -> Array:
    """A damped Gauss-Newton step of each vector, none of its parts too long."""
    fitted, jacobian = form.jacobian(theta, design)
    residual = log_observed - fitted
    scaled = np.abs(residual) * np.sqrt(weights)
    effective = weights * np.minimum(1.0, _HUBER / np.maximum(scaled, 1e-12))
    weighted = jacobian * effective[..., None]
    hessian = jacobian.transpose(0, 2, 1) @ weighted
    gradient = (residual[:, None, :] @ weighted)[:, 0] + precision * (mean - theta)
    diagonal = np.einsum("vpp->vp", hessian)
    diagonal += precision
    diagonal *= 1.0 + damping[:, None]
    step: Array = np.linalg.solve(hessian, gradient[..., None])[..., 0]
    return np.clip(step, -_LONGEST_STEP, _LONGEST_STEP)


def objective(
    form: Form[D],
    design: D,
    log_observed: Array,
    weights: Array,
    prior: Prior,
    theta: Array,
) -> Array:
    """What :func:`solve` minimises, shape ``(vectors,)``."""
    mean = np.broadcast_to(prior.mean, theta.shape)
    return _objective(form, design, log_observed, weights, mean, 1.0 / np.square(prior.sd), theta)


def covariance(form: Form[D], design: D, weights: Array, prior: Prior, theta: Array) -> Array:
    """Laplace covariance of the parameters, shape ``(vectors, size, size)``."""
    _, jacobian = form.jacobian(theta, design)
    hessian = jacobian.transpose(0, 2, 1) @ (jacobian * weights[..., None])
    np.einsum("vpp->vp", hessian)[...] += 1.0 / np.square(prior.sd)
    inverse: Array = np.linalg.inv(hessian).astype(np.float64)
    return inverse


def _objective(
    form: Form[D],
    design: D,
    log_observed: Array,
    weights: Array,
    mean: Array,
    precision: Array,
    theta: Array,
) -> Array:
    residual = np.abs(log_observed - form.log_value(theta, design)) * np.sqrt(weights)
    loss = np.where(
        residual <= _HUBER, 0.5 * np.square(residual), _HUBER * (residual - 0.5 * _HUBER)
    )
    penalty = 0.5 * (precision * np.square(theta - mean)).sum(axis=1)
    total: Array = loss.sum(axis=1) + penalty
    return total
