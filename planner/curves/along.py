"""A fitted model along one axis at a time: its curve, its band, and what was observed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from planner.arrays import Array, Mask

if TYPE_CHECKING:
    from planner.curves.model import ScalingModel

POINTS = 60


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FittedPoint(_Part):
    """A point of a fitted curve.

    Attributes:
        value: Where on the axis.
        mean: The error there.
        lower: Lower end of its interval.
        upper: Upper end.
    """

    value: float
    mean: float
    lower: float
    upper: float


class SeenPoint(_Part):
    """An observation as the curve would meet it.

    Attributes:
        value: Where on the axis.
        error: The curve there, times what the fit misses of the observation (a partial
            residual): it shows the misfit, not the other axes.
    """

    value: float
    error: float


class FittedCurve(_Part):
    """The error along one axis, the others held at their geometric means.

    Attributes:
        axis: Its name.
        points: From the least that was observed to the most, evenly in log.
        observed: What it was fitted to, of the group that is asked about.
    """

    axis: str
    points: tuple[FittedPoint, ...]
    observed: tuple[SeenPoint, ...]


def held(model: ScalingModel, at: Mapping[str, str] | None = None) -> dict[str, str]:
    """A label for every factor: those of ``at``, and those that most rows have beside them."""
    groups = model.observed.groups
    own = groups[_own(model, at)]
    # Together, since some labels only go with others, such as a layer with its model.
    ((codes, _),) = Counter(map(tuple, (own if len(own) else groups).tolist())).most_common(1)
    found = {
        factor.name: factor.labels[code - factor.first]
        for factor, code in zip(model.factors, codes, strict=True)
    }
    return found | dict(at or {})


def curves_along(
    model: ScalingModel,
    *,
    at: Mapping[str, str] | None = None,
    level: float = 0.90,
    own_only: bool = False,
    points: int = POINTS,
) -> tuple[FittedCurve, ...]:
    """The curve along each axis on which more than one value was observed.

    Args:
        model: What was fitted.
        at: Labels to draw them for, by factor; the commonest beside them when left out.
        level: Probability of the band.
        own_only: Whether observations with other labels than ``at`` are left out.
        points: How many for each curve.

    Raises:
        InvalidDataError: The level is none.
    """
    labels = held(model, at)
    centre = {axis: np.exp(c) for axis, c in zip(model.axis_names, model.centres, strict=True)}
    observed = np.exp(model.observed.log_axes + model.centres)
    fitted = np.median(model.log_curves(model.observed), axis=0)
    residual = model.log_error - fitted
    shown = _own(model, at, whole=not own_only)

    def along(axis: str, values: Array) -> tuple[Array, Array, Array]:
        groups = {factor: [label] * len(values) for factor, label in labels.items()}
        return model.predict({**centre, axis: values}, level, groups=groups or None)

    found = []
    for place, axis in enumerate(model.axis_names):
        seen = observed[:, place]
        if seen.min() == seen.max():
            continue
        grid = np.geomspace(seen.min(), seen.max(), points)
        rows = zip(grid.tolist(), *(c.tolist() for c in along(axis, grid)), strict=True)
        moved = seen[shown]
        if len(moved):
            moved = along(axis, moved)[0] * np.exp(residual[shown])
        found.append(
            FittedCurve(
                axis=axis,
                points=tuple(
                    FittedPoint(value=_rounded(x), mean=mean, lower=lower, upper=upper)
                    for x, mean, lower, upper in rows
                ),
                observed=tuple(
                    SeenPoint(value=_rounded(x), error=y)
                    for x, y in zip(seen[shown].tolist(), moved.tolist(), strict=True)
                ),
            )
        )
    return tuple(found)


def _own(model: ScalingModel, at: Mapping[str, str] | None, *, whole: bool = False) -> Mask:
    """Rows that have the labels, or all."""
    rows = np.full(model.observed.rows, True)
    for place, factor in enumerate(model.factors):
        if not whole and at and factor.name in at:
            rows &= model.observed.groups[:, place] == factor.columns([at[factor.name]])[0]
    return rows


def _rounded(value: float) -> float:
    """Without the last digits, which going to a logarithm and back has changed."""
    return float(f"{value:.12g}")
