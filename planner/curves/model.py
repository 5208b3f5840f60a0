"""A fitted scaling model: predictions, draws, elasticities, a report."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from planner.arrays import Array, Labels, Mask
from planner.curves.data import GroupFactor
from planner.curves.form import Design, Form
from planner.errors import InvalidDataError
from planner.quantiles import t_quantile

EXTRAPOLATION_SD = 0.1
"""Spread in log error added for each factor of e beyond the observed range of an axis."""

_CHUNK = 4096
"""Rows whose curves fit a processor's cache."""

_WORTH_THREADS = 8
"""Chunks from which threads are worth starting."""


class Prediction(NamedTuple):
    """Mean and interval, each of shape ``(n,)``."""

    mean: Array
    lower: Array
    upper: Array


@dataclass(frozen=True)
class ScalingModel:
    """Error as a function of axes and groups, with its uncertainty.

    The predictive distribution of log error is a Student t: centred on the mean
    of the bagged refits, its spread made of theirs, of the misfit of the form
    and of extrapolation, times a conformal factor. Intervals of any level and
    draws come from this one distribution, so intervals nest and draws agree.

    Attributes:
        form: Layout of a parameter vector.
        form_name: What the form is called.
        scores: Mean log predictive density of held-out rows by form, of those that were
            scored.
        axis_names: Axes, in the order of the fit.
        centres: ``log`` of each axis' geometric mean.
        factors: Group factors, in the order of the fit.
        observed: Where it was observed.
        log_error: What was observed there.
        bags: Parameters of the bagged refits, shape ``(bags, size)``.
        misfit_sd: What the form misses, in log error.
        freedom: Degrees of freedom of the t distribution.
        inflation: Conformal factor on the spread.
        held_out_residuals: Log error observed minus predicted by a fit that had
            not seen it.
        seed: Seed of the refits.
    """

    form: Form
    form_name: str
    scores: Mapping[str, float]
    axis_names: tuple[str, ...]
    centres: Array
    factors: tuple[GroupFactor, ...]
    observed: Design
    log_error: Array
    bags: Array
    misfit_sd: float
    freedom: float
    inflation: float
    held_out_residuals: Array
    seed: int

    def at(
        self,
        axes: Mapping[str, ArrayLike],
        *,
        groups: Mapping[str, Sequence[str] | Labels] | None = None,
    ) -> Predictive:
        """The predictive distribution of some rows, for intervals and draws of any number.

        Args:
            axes: Positive numbers by axis name, broadcast together.
            groups: Labels by factor. A factor left out is taken at its centre
                (no offset, no spread of its own); a label never seen widens the
                interval by the spread of the factor.

        Raises:
            InvalidDataError: An axis is missing, or not positive.
        """
        design, unseen = self._design(axes, groups)
        beyond = self._beyond(design)
        more = unseen + np.square(EXTRAPOLATION_SD * beyond).sum(axis=1) + self.misfit_sd**2
        centre, curve_sd = np.empty(design.rows), np.empty(design.rows)

        def summarise(part: slice, curves: NDArray[np.float32]) -> None:
            centre[part] = curves.mean(axis=0, dtype=np.float64)
            curve_sd[part] = curves.std(axis=0)

        self._in_chunks(design, summarise)
        return Predictive(self, design, centre, curve_sd, np.sqrt(more), beyond.sum(axis=1) > 0)

    def predict(
        self,
        axes: Mapping[str, ArrayLike],
        level: float = 0.90,
        *,
        groups: Mapping[str, Sequence[str] | Labels] | None = None,
    ) -> Prediction:
        """Mean and interval of the error; see :meth:`at` for the arguments.

        Args:
            axes: Positive numbers by axis name.
            level: Probability that the interval holds the error.
            groups: Labels by factor.

        Raises:
            InvalidDataError: An axis is missing, or not positive.
        """
        return self.at(axes, groups=groups).interval(level)

    def draws(
        self,
        axes: Mapping[str, ArrayLike],
        n: int,
        *,
        groups: Mapping[str, Sequence[str] | Labels] | None = None,
        seed: int = 0,
    ) -> Array:
        """Joint draws of the error, shape ``(n, rows)``; see :meth:`Predictive.draws`."""
        return self.at(axes, groups=groups).draws(n, seed)

    def curves(
        self,
        axes: Mapping[str, ArrayLike],
        *,
        groups: Mapping[str, Sequence[str] | Labels] | None = None,
    ) -> Array:
        """Log error by each bagged refit, shape ``(bags, rows)``: the curves alone, no misfit."""
        return self.form.log_value(self.bags, self._design(axes, groups)[0])

    def elasticity(
        self,
        axis: str,
        axes: Mapping[str, ArrayLike],
        level: float = 0.90,
    ) -> Prediction:
        """Percent change of the error for one percent more of an axis."""
        if axis not in self.axis_names:
            raise InvalidDataError(f"axis {axis!r} is none of {', '.join(self.axis_names)}")
        design, _ = self._design(axes, None)
        values = self.form.slope(self.axis_names.index(axis), self.bags, design)
        tail = (1 - level) / 2
        lower, upper = np.quantile(values, [tail, 1 - tail], axis=0)
        return Prediction(values.mean(axis=0), lower, upper)

    @property
    def held_out_rmsle(self) -> float:
        """Root mean squared log error on points the fit had not seen."""
        return float(np.sqrt(np.mean(np.square(self.held_out_residuals))))

    def report(self) -> str:
        """The fit in words: its terms, its spread, what held-out points say."""
        lines = [f"{self.form_name}: error = {self._formula()}, {self.observed.rows} observations"]
        floor = np.exp(np.quantile(self.bags[:, 0], [0.05, 0.5, 0.95]))
        lines.append("floor {1:.4g} (90 % {0:.4g} to {2:.4g})".format(*floor))
        middle = Design(np.zeros((1, len(self.axis_names))), np.full((1, len(self.factors)), -1))
        for index, name in enumerate(self.axis_names):
            slopes = self.form.slope(index, self.bags, middle)[:, 0]
            low, centre, high = np.quantile(slopes, [0.05, 0.5, 0.95])
            lines.append(
                f"{name}: 1 % more of it changes the error by {centre:+.3g} %"
                f" ({low:+.3g} to {high:+.3g}) at {np.exp(self.centres[index]):.4g}"
            )
        for factor in self.factors:
            first = self.form.shared + factor.first
            offsets = np.exp(self.bags[:, first : first + len(factor.labels)].mean(axis=0))
            pairs = (f"{k} x{v:.3f}" for k, v in zip(factor.labels, offsets, strict=True))
            lines.append(f"{factor.name}: {', '.join(pairs)}")
        lines.append(
            f"held out: RMSLE {self.held_out_rmsle:.3f}, misfit {self.misfit_sd:.3f},"
            f" spread times {self.inflation:.2f}, t with {self.freedom:.0f} degrees of freedom"
        )
        others = [f"{name} {score:.3f}" for name, score in self.scores.items()]
        lines.append(f"held-out score by form: {'; '.join(others[:5])}")
        return "\n".join(lines)

    def _formula(self) -> str:
        names = [
            " * ".join(f"{shape.name}({self.axis_names[axis]})" for axis, shape in term.factors)
            for term in self.form.terms
        ]
        return " + ".join(["floor", *names])

    def _design(
        self, axes: Mapping[str, ArrayLike], groups: Mapping[str, Sequence[str] | Labels] | None
    ) -> tuple[Design, Array]:
        """Rows to predict and the variance of the labels never seen."""
        missing = [name for name in self.axis_names if name not in axes]
        if missing or len(axes) != len(self.axis_names):
            raise InvalidDataError(f"axes {list(axes)} given, {list(self.axis_names)} expected")
        columns = [np.asarray(axes[name], dtype=float) for name in self.axis_names]
        rows = max((column.size for column in columns), default=1)
        if groups:
            rows = max(rows, *(len(labels) for labels in groups.values()))
        values = np.column_stack([np.broadcast_to(column.ravel(), rows) for column in columns])
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise InvalidDataError("axes hold values that are not positive and finite")
        unseen = np.zeros(rows)
        indices = []
        for factor in self.factors:
            labels = (groups or {}).get(factor.name)
            if labels is None:
                indices.append(np.full(rows, -1))
                continue
            column = factor.columns(labels)
            unseen += np.where(column < 0, factor.sd**2, 0.0)
            indices.append(column)
        index = np.column_stack(indices) if indices else np.zeros((rows, 0), dtype=np.int64)
        return Design(np.log(values) - self.centres, index), unseen

    def _in_chunks(self, design: Design, use: Callable[[slice, NDArray[np.float32]], None]) -> None:
        """Hands on the bagged refits' curves, some rows at a time, many of them in threads.

        numpy lets go of the interpreter meanwhile; a million rows at once are slow.
        """

        def one(first: int) -> None:
            part = slice(first, first + _CHUNK)
            use(part, self.form.log_value(self.bags, design.take(part), np.float32))

        chunks = range(0, design.rows, _CHUNK)
        if len(chunks) < _WORTH_THREADS:
            for first in chunks:
                one(first)
            return
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for done in [threads.submit(one, first) for first in chunks]:
                done.result()

    def _beyond(self, design: Design) -> Array:
        low = self.observed.log_axes.min(axis=0)
        high = self.observed.log_axes.max(axis=0)
        beyond: Array = np.maximum(low - design.log_axes, 0) + np.maximum(design.log_axes - high, 0)
        return beyond


@dataclass(frozen=True, eq=False)
class Predictive:
    """The predictive distribution of some rows.

    Attributes:
        model: Whose.
        design: The rows.
        centre: Mean of log error, shape ``(rows,)``.
        curve_sd: Spread of the bagged refits.
        rest_sd: What the form misses, labels never seen, and extrapolation.
        beyond: Rows outside of the observed range.
    """

    model: ScalingModel
    design: Design
    centre: Array
    curve_sd: Array
    rest_sd: Array
    beyond: Mask

    def interval(self, level: float) -> Prediction:
        """Mean and interval of the error.

        Raises:
            InvalidDataError: The level is none.
        """
        if not 0 < level < 1:
            raise InvalidDataError(f"level {level} is not between 0 and 1")
        spread = self.model.inflation * np.hypot(self.curve_sd, self.rest_sd)
        reach = t_quantile(0.5 + level / 2, self.model.freedom) * spread
        return Prediction(
            np.exp(self.centre), np.exp(self.centre - reach), np.exp(self.centre + reach)
        )

    def draws(self, n: int, seed: int = 0, dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """Joint draws of the error, shape ``(n, rows)``.

        A draw takes one bagged refit for all rows, so rows that lie close move
        together. What the form misses is shared by the rows of a group and
        independent between groups.
        """
        model, rng = self.model, np.random.default_rng(seed)
        picked = rng.integers(len(model.bags), size=n)
        _, label = self.design.combined
        shared = rng.standard_normal((n, int(label.max(initial=-1)) + 1))
        # The t distribution's heavier tails: one scale a draw, for all rows.
        scale = model.inflation * np.sqrt(model.freedom / rng.chisquare(model.freedom, size=(n, 1)))
        found = np.empty((self.design.rows, n), dtype)

        def move(part: slice, curves: NDArray[np.float32]) -> None:
            moved = (curves - self.centre[part])[picked]
            moved += self.rest_sd[part] * shared[:, label[part]]
            moved *= scale
            moved += self.centre[part]
            found[part] = np.exp(moved, out=moved).T

        model._in_chunks(self.design, move)
        return found.T
