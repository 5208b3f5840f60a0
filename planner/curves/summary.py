"""What a fit says, as numbers and in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from planner.arrays import Array
from planner.curves.data import GroupFactor
from planner.curves.form import Design

if TYPE_CHECKING:
    from planner.curves.model import ScalingModel

LEVEL = 0.90


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Spread(_Part):
    """A number over the bagged refits: their median, and 90 % of them."""

    median: float
    lower: float
    upper: float


class AxisEffect(_Part):
    """What an axis does to the error.

    Attributes:
        axis: Its name.
        at: Where on it: the geometric mean of what was observed.
        lowest: The least that was observed.
        highest: The most.
        elasticity: Percent that the error changes by for one percent more, there.
    """

    axis: str
    at: float
    lowest: float
    highest: float
    elasticity: Spread


class FittedTerm(_Part):
    """A term of the form: a product of shapes, added to the floor.

    Attributes:
        shapes: How it moves along each of its axes.
        size: What it adds to the error where all axes are at their geometric means.
    """

    shapes: dict[str, str]
    size: Spread


class FitSummary(_Part):
    """A fitted scaling model.

    Attributes:
        form: What the heaviest of the averaged forms is called; the formula, the floor and the
            terms are its.
        weights: Weight of each averaged form.
        formula: The form in symbols.
        observations: Rows it was fitted to.
        floor: Error that no axis lowers.
        terms: What is added to it.
        axes: What each axis does.
        offsets: Factor on the error by label, by group.
        held_out_rmsle: Root mean squared log error on rows left out of the fit.
        misfit_sd: What the form misses, in log error.
        inflation: Conformal factor on the spread of the refits and of what the form misses.
        freedom: Degrees of freedom of the predictive t distribution.
        scores: Mean log predictive density of rows left out, by form, best first; empty where
            the form was not searched for but kept from a fit to nearly the same rows.
    """

    form: str
    weights: dict[str, float]
    formula: str
    observations: int
    floor: Spread
    terms: tuple[FittedTerm, ...]
    axes: tuple[AxisEffect, ...]
    offsets: dict[str, dict[str, float]]
    held_out_rmsle: float
    misfit_sd: float
    inflation: float
    freedom: float
    scores: dict[str, float]

    def text(self) -> str:
        """In words, a line for each part."""
        floor = self.floor
        lines = [
            f"{self.form}: error = {self.formula}, {self.observations} observations",
            f"floor {floor.median:.4g} (90 % {floor.lower:.4g} to {floor.upper:.4g})",
        ]
        for one in self.axes:
            change = one.elasticity
            lines.append(
                f"{one.axis}: 1 % more of it changes the error by {change.median:+.3g} %"
                f" ({change.lower:+.3g} to {change.upper:+.3g}) at {one.at:.4g}"
            )
        for group, offsets in self.offsets.items():
            lines.append(f"{group}: {', '.join(f'{k} x{v:.3f}' for k, v in offsets.items())}")
        lines.append(
            f"held out: RMSLE {self.held_out_rmsle:.3f}, misfit {self.misfit_sd:.3f},"
            f" spread times {self.inflation:.2f}, t with {self.freedom:.0f} degrees of freedom"
        )
        scores = [f"{name} {score:.3f}" for name, score in self.scores.items()]
        kept = "the form is kept, as it was chosen on nearly the same observations"
        lines.append(f"held-out score by form: {'; '.join(scores[:5])}" if scores else kept)
        return "\n".join(lines)


def summarise(model: ScalingModel) -> FitSummary:
    """What a fitted model says."""
    middle = Design(np.zeros((1, len(model.axis_names))), np.full((1, len(model.factors)), -1))
    low = model.observed.log_axes.min(axis=0) + model.centres
    high = model.observed.log_axes.max(axis=0) + model.centres
    bags = model.parts[0].bags
    return FitSummary(
        form=model.form_name,
        weights={part.name: len(part.bags) / model.refits for part in model.parts},
        formula=_formula(model),
        observations=model.observed.rows,
        floor=_spread(np.exp(bags[:, 0])),
        terms=tuple(
            FittedTerm(
                shapes={model.axis_names[axis]: shape.name for axis, shape in term.factors},
                size=_spread(np.exp(bags[:, first])),
            )
            for term, first in zip(model.form.terms, model.form.firsts, strict=True)
        ),
        axes=tuple(
            AxisEffect(
                axis=name,
                at=float(np.exp(model.centres[index])),
                lowest=float(np.exp(low[index])),
                highest=float(np.exp(high[index])),
                elasticity=_spread(model.slopes(index, middle)[:, 0]),
            )
            for index, name in enumerate(model.axis_names)
        ),
        offsets={factor.name: _offsets(model, factor) for factor in model.factors},
        held_out_rmsle=model.held_out_rmsle,
        misfit_sd=model.misfit_sd,
        inflation=model.inflation,
        freedom=model.freedom,
        scores=dict(sorted(model.scores.items(), key=lambda item: -item[1])),
    )


def _spread(values: Array) -> Spread:
    tail = (1 - LEVEL) / 2
    lower, median, upper = np.quantile(values, [tail, 0.5, 1 - tail]).tolist()
    return Spread(median=median, lower=lower, upper=upper)


def _offsets(model: ScalingModel, factor: GroupFactor) -> dict[str, float]:
    offsets = np.concatenate([part.bags[:, part.form.shared :] for part in model.parts])
    own = offsets[:, factor.first : factor.first + len(factor.labels)]
    factors = np.exp(np.median(own, axis=0))
    return dict(zip(factor.labels, factors.tolist(), strict=True))


def _formula(model: ScalingModel) -> str:
    terms = [
        " * ".join(f"{shape.name}({model.axis_names[axis]})" for axis, shape in term.factors)
        for term in model.form.terms
    ]
    return " + ".join(["floor", *terms])
