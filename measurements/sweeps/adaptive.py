"""Which configuration to measure next: the one that teaches the curves most for its cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from numpy.typing import NDArray

from models_registry import Configuration
from planner.arrays import Labels
from planner.axes import axes_of, group_sd, groups_of
from planner.curves import ScalingModel, fit
from planner.curves.fit import MIN_OBSERVATIONS
from planner.lattice import Lattice

MAX_ENUMERATED = MAX_TRIALS = 200

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Observed:
    """What a measurement found.

    Attributes:
        configuration: What ran.
        error: Positive, lower is better.
        error_se: Its standard error.
    """

    configuration: Configuration
    error: float
    error_se: float


def next_configuration(
    candidates: Sequence[Configuration],
    costs: Sequence[float],
    observed: Sequence[Observed],
    *,
    pending: Sequence[Configuration] = (),
    seed: int = 0,
) -> Configuration | None:
    """The candidate to measure next; none when all are measured or pending.

    The first few lie as far from each other as the axes allow. From then on Optuna
    searches the candidates, all of them where they are few, for the largest
    :func:`gains` per cost.

    Args:
        candidates: What there is to choose from.
        costs: Cost of each, positive.
        observed: What is known.
        pending: Candidates that are being measured, or have failed.
        seed: Seed of the curves and of the search.
    """
    known = {o.configuration for o in observed} | set(pending)
    open_ = np.array([candidate not in known for candidate in candidates])
    if not open_.any():
        return None
    if len(observed) < MIN_OBSERVATIONS:
        score = np.where(open_, _distance(candidates, known), -np.inf)
        return candidates[int(score.argmax())]
    busy = [place for place, c in enumerate(candidates) if c in set(pending)]
    gain = gains(candidates, observed, busy, seed=seed) / np.array(costs)
    return candidates[_search(candidates, np.where(open_, gain, 0.0), seed)]


def gains(
    candidates: Sequence[Configuration],
    observed: Sequence[Observed],
    pending: Sequence[int] = (),
    *,
    seed: int = 0,
) -> Array:
    """By how much measuring a candidate is expected to shrink the curves' variance.

    The bagged refits of the curves are draws of log error at all candidates. Under
    a normal approximation, observing candidate j with noise s shrinks their summed
    variance by ``sum over t of cov(t, j)^2 / (var(j) + s^2)`` (Cohn, Ghahramani and
    Jordan, "Active learning with statistical models", JAIR 4, 1996).

    Args:
        candidates: Where the curves matter, and what can be measured.
        observed: What they are fitted to.
        pending: Places of candidates counted as measured already.
        seed: Seed of the fit.
    """
    model, axes, groups = fitted(candidates, observed, seed=seed)
    curves = model.curves(axes, groups=groups)
    covariance = np.atleast_2d(np.cov(curves.T))
    log_se = np.median([o.error_se / o.error for o in observed])
    noise = float(log_se**2 + model.misfit_sd**2)
    for place in pending:
        column = covariance[:, place]
        covariance = covariance - np.outer(column, column) / (column[place] + noise)
    shrinks: Array = np.square(covariance).sum(axis=0) / (np.diag(covariance) + noise)
    return shrinks


def fitted(
    candidates: Sequence[Configuration], observed: Sequence[Observed], *, seed: int = 0
) -> tuple[ScalingModel, dict[str, Array], dict[str, Labels]]:
    """Curves fitted to what is known, and where candidates are on them: axes and groups.

    Args:
        candidates: What the curves will be asked about.
        observed: What they are fitted to.
        seed: Seed of the fit.

    Raises:
        InsufficientDataError: Too little is known.
    """
    every = [*candidates, *(o.configuration for o in observed)]
    axes, labels = _moving_axes(every), _labels(every)
    first = len(candidates)
    behind = np.arange(len(every)) >= first
    model = fit(
        {name: column[first:] for name, column in axes.items()},
        [o.error for o in observed],
        error_se=[o.error_se for o in observed],
        groups={name: column.take(behind) for name, column in labels.items()},
        group_sd=group_sd(every[0].task),
        seed=seed,
    )
    return (
        model,
        {name: column[:first] for name, column in axes.items()},
        {name: column.take(~behind) for name, column in labels.items()},
    )


def _search(candidates: Sequence[Configuration], score: Array, seed: int) -> int:
    """Place of the best candidate that Optuna finds, by ask and tell."""
    fields = _fields(candidates)
    levels = {name: 1 + max(column) for name, column in fields.items()}
    place_of = {point: place for place, point in enumerate(zip(*fields.values(), strict=True))}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    if len(place_of) <= MAX_ENUMERATED:
        # Few enough to try them all, which no sampler can better.
        for point in place_of:
            study.enqueue_trial(dict(zip(levels, point, strict=True)))
    for _ in range(min(len(place_of), MAX_TRIALS)):
        trial = study.ask()
        place = place_of.get(
            tuple(trial.suggest_int(name, 0, count - 1) for name, count in levels.items())
        )
        trial.set_user_attr("place", place)
        study.tell(trial, -1.0 if place is None else float(score[place]))
    return int(study.best_trial.user_attrs["place"])


def _fields(candidates: Sequence[Configuration]) -> dict[str, list[int]]:
    """Fields in which candidates differ, their values numbered in order."""
    columns: dict[str, list[int]] = {}
    for name in Configuration.model_fields:
        values = [getattr(c, name) for c in candidates]
        ordered = sorted(set(values), key=lambda v: (v is None, v))
        if len(ordered) > 1:
            columns[name] = [ordered.index(value) for value in values]
    return columns


def _moving_axes(configurations: Sequence[Configuration]) -> Mapping[str, Array]:
    axes = axes_of(Lattice.of(configurations))
    return {name: column for name, column in axes.items() if np.ptp(column) > 0}


def _labels(configurations: Sequence[Configuration]) -> dict[str, Labels]:
    columns = groups_of(Lattice.of(configurations))
    return {name: labels for name, labels in columns.items() if len(labels.names) > 1}


def _distance(candidates: Sequence[Configuration], known: set[Configuration]) -> Array:
    """Distance of candidates from the nearest known one, each axis counted from 0 to 1."""
    every = [*candidates, *known]
    logs = np.log(np.column_stack([np.ones(len(every)), *_moving_axes(every).values()]))
    span = np.ptp(logs, axis=0)
    scaled = (logs - logs.min(axis=0)) / np.where(span > 0, span, 1)
    first = len(candidates)
    if not known:
        # The corner of the least: without it every other point is extrapolated towards it.
        above: Array = -scaled[:first].sum(axis=1)
        return above
    distances: Array = np.linalg.norm(scaled[:first, None] - scaled[None, first:], axis=2)
    nearest: Array = distances.min(axis=1)
    return nearest
