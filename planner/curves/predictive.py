"""The predictive distribution of a fitted scaling model: intervals and joint draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from planner.arrays import Array, Draws, Index, Mask
from planner.curves.form import LARGEST_LOG, Design
from planner.errors import InvalidDataError
from planner.quantiles import normal_quantile, t_quantile

if TYPE_CHECKING:
    from planner.curves.model import ScalingModel


class Prediction(NamedTuple):
    """Middle and interval, each of shape ``(n,)``."""

    mean: Array
    lower: Array
    upper: Array


_TAIL = 0.05


def middle_and_spread(curves: NDArray[np.float32]) -> tuple[Array, Array]:
    """The refits' median, and the spread of a normal with their central 90 %.

    Along an axis that was hardly moved some refits run off to errors without bound; a mean
    and a standard deviation would be of those few alone.

    Args:
        curves: Log errors by each bagged refit, shape ``(rows, bags)``.
    """
    ordered = np.sort(curves, axis=1)
    bags = ordered.shape[1]
    low = int(_TAIL * bags)
    middle = ordered[:, [(bags - 1) // 2, bags // 2]].mean(axis=1, dtype=np.float64)
    between = np.subtract(ordered[:, bags - 1 - low], ordered[:, low], dtype=np.float64)
    return middle, between / (2 * normal_quantile(1 - (low + 0.5) / bags))


@dataclass(frozen=True, eq=False)
class Effects:
    """What is known of the misfit of rows, given curves: an effect and a slope.

    A row's misfit is the effect of its combination of labels, plus the slope times the distance
    of its log error from a reference: where errors differ by more or by less than curves say.

    Attributes:
        shift: Expected effect of each combination beyond each bagged refit, and in the last row
            the expected slope, shape ``(combinations + 1, bags)``.
        covariance: Of all of them, shape ``(combinations + 1, combinations + 1)``.
        reference: Log error at which the slope moves nothing.
        place: Combination of each row.
    """

    shift: NDArray[np.float32]
    covariance: Array
    reference: float
    place: Index

    def take(self, rows: Index) -> Effects:
        """Some of the rows."""
        return Effects(self.shift, self.covariance, self.reference, self.place[rows])

    def distance(self, curves: NDArray[np.float32]) -> NDArray[np.float32]:
        """Distance of rows from the reference, shape ``(rows,)``.

        Args:
            curves: Log errors by each bagged refit, shape ``(rows, bags)``.
        """
        # Every eighth refit is enough to say how far a row is from the reference.
        middle: NDArray[np.float32] = np.median(curves[:, ::8], axis=1) - np.float32(self.reference)
        return middle

    def expected(self, part: slice, distance: NDArray[np.float32]) -> NDArray[np.float32]:
        """Expected misfit of rows beyond each bagged refit, shape ``(rows, bags)``."""
        expected: NDArray[np.float32] = self.shift[self.place[part]]
        expected += distance[:, None] * self.shift[-1]
        return expected

    def variance(self, part: slice, distance: NDArray[np.float32]) -> Array:
        """Variance of rows' misfit, shape ``(rows,)``."""
        place = self.place[part]
        alone, both = np.diag(self.covariance)[place], self.covariance[-1][place]
        found: Array = alone + distance * (2 * both + distance * self.covariance[-1, -1])
        return np.maximum(found, 0.0)

    def draws(self, rng: np.random.Generator, count: int) -> Draws:
        """Joint draws about what is expected, shape ``(combinations + 1, count)``."""
        # Rows that differ by next to nothing make it singular to rounding.
        values, vectors = np.linalg.eigh(self.covariance)
        root = (vectors * np.sqrt(np.maximum(values, 0.0))).astype(np.float32)
        drawn: Draws = root @ rng.standard_normal((len(root), count), np.float32)
        return drawn


@dataclass(frozen=True, eq=False)
class Predictive:
    """The predictive distribution of some rows.

    Attributes:
        model: Whose.
        centre: Median of log error, shape ``(rows,)``.
        curve_sd: Spread of the bagged refits, by the conformal factor.
        rest_sd: What the form misses, labels never seen, and extrapolation.
        beyond: Rows outside of the observed range.
    """

    model: ScalingModel
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
        spread = np.hypot(self.curve_sd, self.rest_sd)
        reach = t_quantile(0.5 + level / 2, self.model.freedom) * spread
        return Prediction(
            np.exp(self.centre), np.exp(self.centre - reach), np.exp(self.centre + reach)
        )

    def expected(self) -> Array:
        """Mean of the error, shape ``(rows,)``: above its median, the more so the less is known.

        That of a log-normal with the same 90 % interval, since a t distribution's has none; a
        spread of more than a factor of e counts as one.
        """
        model = self.model
        as_normal = t_quantile(0.95, model.freedom) / normal_quantile(0.95)
        sd = np.minimum(as_normal * np.hypot(self.curve_sd, self.rest_sd), 1.0)
        found: Array = np.exp(self.centre + np.square(sd) / 2)
        return found


@dataclass(frozen=True, eq=False)
class JointDraws:
    """Joint draws of the error, filled some rows at a time.

    Attributes:
        errors: The draws, shape ``(rows, draws)``.
        picked: Bagged refit of each draw.
        label: Group of each row.
        shared: What the form misses of each group, in standard deviations, shape
            ``(groups, draws)``.
        scale: Of all rows in each draw: the t distribution's heavier tails.
        inflation: Conformal factor on the refits.
        common: Log errors that all rows have more in each draw.
        effects: Of each combination of rows, where what the form misses is known better than
            by the group.
    """

    errors: Draws
    picked: Index
    label: Index
    shared: Draws
    scale: Draws
    inflation: np.float32
    common: Draws | None
    effects: tuple[Draws, Index] | None

    @classmethod
    def of(
        cls,
        model: ScalingModel,
        design: Design,
        into: Draws,
        common: Array | None,
        effects: Effects | None,
        seed: int,
    ) -> JointDraws:
        """Draws of a model's errors.

        Args:
            model: Whose.
            design: The rows.
            into: Where the draws go, shape ``(rows, draws)``.
            common: Log errors that all rows have more in each draw.
            effects: What is known of the misfit.
            seed: Their seed.
        """
        rng, draws = np.random.default_rng(seed), into.shape[1]
        picked = rng.integers(model.refits, size=(draws,))
        _, label = design.combined
        shared = rng.standard_normal((draws, int(label.max(initial=-1)) + 1))
        heavy = rng.chisquare(model.freedom, size=draws)
        return cls(
            into,
            picked,
            label,
            np.ascontiguousarray(shared.T, np.float32),
            np.sqrt(model.freedom / heavy).astype(np.float32),
            np.float32(model.inflation),
            None if common is None else common.astype(np.float32),
            None if effects is None else (effects.draws(rng, draws), effects.place),
        )

    def fill(
        self,
        part: slice,
        curves: NDArray[np.float32],
        centre: Array,
        shared_sd: Array,
        distance: NDArray[np.float32] | None,
    ) -> None:
        """Draws for some rows.

        Args:
            part: Which.
            curves: Log errors by each bagged refit, shape ``(rows, bags)``.
            centre: Their medians.
            shared_sd: Spread of what is shared by a group's rows.
            distance: Distances from the effects' reference, if there are effects.
        """
        middle, sd = (column.astype(np.float32)[:, None] for column in (centre, shared_sd))
        errors = self.errors[part]
        np.take(self.inflation * (curves - middle), self.picked, axis=1, out=errors)
        errors += sd * self.shared[self.label[part]]
        if self.effects is not None:
            drawn, place = self.effects
            errors += drawn[place[part]]
            errors += distance[:, None] * drawn[-1]  # type: ignore[index]
        errors *= self.scale
        errors += middle
        if self.common is not None:
            errors += self.common
        np.minimum(errors, LARGEST_LOG, out=errors)
        np.exp(errors, out=errors)
