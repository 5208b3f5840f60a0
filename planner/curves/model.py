"""A fitted scaling model: predictions, draws, elasticities, a report."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from planner.arrays import Array, Draws, Labels
from planner.curves.data import GroupFactor
from planner.curves.form import Design, Form
from planner.curves.predictive import (
    Effects,
    JointDraws,
    Prediction,
    Predictive,
    middle_and_spread,
)
from planner.curves.summary import FitSummary, summarise
from planner.errors import InvalidDataError

_CHUNK = 4096
"""Rows whose curves and draws fit a processor's cache."""

_WORTH_THREADS = 8
"""Chunks from which threads are worth starting."""


@dataclass(frozen=True)
class Part:
    """A form, and its share of the refits.

    Attributes:
        name: What the form is called.
        form: Layout of a parameter vector.
        bags: Parameters of its bagged refits, shape ``(bags, size)``.
    """

    name: str
    form: Form
    bags: Array


@dataclass(frozen=True)
class ScalingModel:
    """Error as a function of axes and groups, with its uncertainty.

    The predictive distribution of log error is a Student t: centred on the median
    of the bagged refits, its spread made of theirs and of the misfit of the form,
    times a conformal factor, of labels never seen and of extrapolation. Intervals of any level
    and draws come from this one distribution, so intervals nest and draws agree.

    Attributes:
        parts: Forms that are averaged, the heaviest first; a form's weight is its share of
            the refits.
        scores: Mean log predictive density of held-out rows by form, of those that were
            scored; empty where the form is another fit's.
        axis_names: Axes, in the order of the fit.
        centres: ``log`` of each axis' geometric mean.
        factors: Group factors, in the order of the fit.
        observed: Where it was observed.
        log_error: What was observed there.
        misfit_sd: What a form misses, in log error.
        freedom: Degrees of freedom of the t distribution.
        inflation: Conformal factor on the spread of the refits and of what the form misses.
        extrapolation_sd: Spread in log error added for each factor of e beyond the observed
            range of each axis, shape ``(axes,)``.
        held_out_residuals: Log error observed minus predicted by a fit that had
            not seen it.
        seed: Seed of the refits.
        best: Parameters of the best fit of the heaviest form, shape ``(size,)``.
        deleted_factor: The group factor whose labels were left out in turn; None if none was.
        deleted: Parameters without each of its labels, shape ``(labels, size)``.
    """

    parts: tuple[Part, ...]
    scores: Mapping[str, float]
    axis_names: tuple[str, ...]
    centres: Array
    factors: tuple[GroupFactor, ...]
    observed: Design
    log_error: Array
    misfit_sd: float
    freedom: float
    inflation: float
    extrapolation_sd: Array
    held_out_residuals: Array
    seed: int
    best: Array
    deleted_factor: str | None
    deleted: Array

    def at(
        self,
        axes: Mapping[str, ArrayLike],
        *,
        groups: Mapping[str, Sequence[str] | Labels] | None = None,
        into: Draws | None = None,
        shared: Array | None = None,
        effects: Effects | None = None,
        seed: int = 0,
    ) -> Predictive:
        """The predictive distribution of some rows, and joint draws from it.

        A draw takes one bagged refit for all rows, so rows that lie close move
        together. What the form misses is shared by the rows of a group and
        independent between groups.

        Args:
            axes: Positive numbers by axis name, broadcast together.
            groups: Labels by factor. A factor left out is taken at its centre
                (no offset, no spread of its own); a label never seen widens the
                interval by the spread of the factor.
            into: Filled with draws, shape ``(rows, draws)``.
            shared: Log errors that all rows have more in each draw, shape ``(draws,)``; they
                are the draws' alone.
            effects: What is known of what the form misses, in place of its spread.
            seed: The draws' seed.

        Raises:
            InvalidDataError: An axis is missing or not positive, a factor is unknown, or
                lengths differ.
        """
        design, unseen = self._design(axes, groups)
        beyond = self._beyond(design)
        # Rows held out tell what curves miss, nothing of labels and of axes beyond all rows.
        by_rule = unseen + np.square(self.extrapolation_sd * beyond).sum(axis=1)
        misfit = 0.0 if effects is not None else (self.inflation * self.misfit_sd) ** 2
        shared_sd = np.sqrt(by_rule + misfit)
        centre, curve_sd, rest_sd = np.empty(design.rows), np.empty(design.rows), shared_sd.copy()
        draws = None if into is None else JointDraws.of(self, design, into, shared, effects, seed)

        def summarise(part: slice, curves: NDArray[np.float32]) -> None:
            distance = None
            if effects is not None:
                distance = effects.distance(curves)
                curves = curves + effects.expected(part, distance)
                rest_sd[part] = np.sqrt(by_rule[part] + effects.variance(part, distance))
            centre[part], curve_sd[part] = middle_and_spread(curves)
            if draws is not None:
                draws.fill(part, curves, centre[part], shared_sd[part], distance)

        self._in_chunks(design, summarise)
        curve_sd *= self.inflation
        return Predictive(self, centre, curve_sd, rest_sd, beyond.sum(axis=1) > 0)

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
    ) -> Draws:
        """Joint draws of the error, shape ``(n, rows)``; see :meth:`at`."""
        rows = self._design(axes, groups)[0].rows
        found: Draws = np.empty((rows, n), np.float32)
        self.at(axes, groups=groups, into=found, seed=seed)
        return found.T

    def curves(
        self,
        axes: Mapping[str, ArrayLike],
        *,
        groups: Mapping[str, Sequence[str] | Labels] | None = None,
    ) -> Array:
        """Log error by each bagged refit, shape ``(bags, rows)``: the curves alone, no misfit."""
        return self.log_curves(self._design(axes, groups)[0])

    def changes_without(
        self,
        axes: Mapping[str, ArrayLike],
        *,
        groups: Mapping[str, Sequence[str] | Labels] | None = None,
    ) -> dict[str, Array]:
        """By how much log error would change without the rows of each label.

        Curves are refitted from the best fit without the rows, their form is kept
        (case deletion: Cook, "Detection of influential observation in linear regression", 1977).

        Returns:
            The change by label of the factor that :func:`~planner.curves.fit` deleted labels
            of, each of shape ``(rows,)``; nothing if it deleted none.
        """
        design, _ = self._design(axes, groups)
        labels = next((f.labels for f in self.factors if f.name == self.deleted_factor), ())
        before = self.form.log_value(self.best[None], design)
        after = self.form.log_value(self.deleted, design) if labels else before[:0]
        return dict(zip(labels, after - before, strict=True))

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
        values = self.slopes(self.axis_names.index(axis), design)
        tail = (1 - level) / 2
        return Prediction(*np.quantile(values, [0.5, tail, 1 - tail], axis=0))

    @property
    def form(self) -> Form:
        """The heaviest form."""
        return self.parts[0].form

    @property
    def form_name(self) -> str:
        """What the heaviest form is called."""
        return self.parts[0].name

    @property
    def refits(self) -> int:
        """Number of refits, of all forms."""
        return sum(len(part.bags) for part in self.parts)

    @property
    def weights(self) -> Array:
        """Weight of each form; they sum to 1."""
        return np.array([len(part.bags) for part in self.parts]) / self.refits

    def log_curves(self, design: Design, dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """Log error by each refit of rows of a design, shape ``(bags, rows)``."""
        found = [part.form.log_value(part.bags, design, dtype).T for part in self.parts]
        return (found[0] if len(found) == 1 else np.concatenate(found, axis=1)).T

    def slopes(self, axis: int, design: Design) -> Array:
        """Elasticity along an axis by each refit, shape ``(bags, rows)``."""
        return np.concatenate([p.form.slope(axis, p.bags, design) for p in self.parts])

    @property
    def held_out_rmsle(self) -> float:
        """Root mean squared log error on points the fit had not seen."""
        return float(np.sqrt(np.mean(np.square(self.held_out_residuals))))

    def summary(self) -> FitSummary:
        """The fit as numbers: its terms, its spread, what held-out points say."""
        return summarise(self)

    def report(self) -> str:
        """The same in words."""
        return self.summary().text()

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
        lengths = {column.size for column in columns} - {1, rows}
        if lengths:
            raise InvalidDataError(f"axes of {sorted(lengths)} and of {rows} values don't match")
        values = np.column_stack([np.broadcast_to(column.ravel(), rows) for column in columns])
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise InvalidDataError("axes hold values that are not positive and finite")
        unseen = np.zeros(rows)
        indices = []
        unknown = set(groups or {}) - {factor.name for factor in self.factors}
        if unknown:
            known = ", ".join(factor.name for factor in self.factors) or "none"
            raise InvalidDataError(f"groups {sorted(unknown)} given, those of the fit are: {known}")
        for factor in self.factors:
            labels = (groups or {}).get(factor.name)
            if labels is None:
                indices.append(np.full(rows, -1))
                continue
            if len(labels) != rows:
                raise InvalidDataError(
                    f"group {factor.name!r} has {len(labels)} labels, {rows} rows are asked for"
                )
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
            use(part, self.log_curves(design.take(part), np.float32).T)

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
