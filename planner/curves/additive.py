"""The additive power law and its derivatives, for many parameter vectors at once.

``error = exp(sum of offsets) * (floor + sum over axes of a_k (x_k / c_k)^-p_k)``

is arXiv 2505.18855's additive form with multiplicative offsets for the groups an
observation belongs to (its source, its model). Everything is fitted in log space,
so a parameter vector is ``(log floor, log a_1.., log p_1.., offsets..)``; c_k is
the geometric mean of axis k, which makes a_k the term's size in the middle of
the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Design:
    """Rows at which the form is evaluated.

    Attributes:
        log_axes: ``log(x_k / c_k)``, shape ``(rows, axes)``.
        groups: Column of the offset of each group factor, shape
            ``(rows, factors)``; -1 where the row has none.
    """

    log_axes: Array
    groups: Index

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.log_axes)

    @cached_property
    def distinct(self) -> list[tuple[Array, Index]]:
        """Distinct values of each axis, and which of them each row has.

        Lattices repeat few values many times; each is raised to its power once.
        """
        return [np.unique(column, return_inverse=True) for column in self.log_axes.T]

    def take(self, index: Index) -> Design:
        """Some of the rows."""
        return Design(self.log_axes[index], self.groups[index])


@dataclass(frozen=True)
class AdditivePowerLaw:
    """Layout of a parameter vector: one floor, two numbers an axis, the offsets.

    Attributes:
        axes: Number of axes K.
        offsets: Number of offsets, over all group factors.
    """

    axes: int
    offsets: int

    @property
    def size(self) -> int:
        """Length of a parameter vector."""
        return 1 + 2 * self.axes + self.offsets

    def terms(self, parameters: Array, design: Design) -> Array:
        """The floor and each axis' power law, offsets left out.

        Args:
            parameters: Shape ``(vectors, size)``.
            design: Where to evaluate.

        Returns:
            Shape ``(1 + axes, vectors, rows)``.
        """
        k = self.axes
        terms = np.empty((1 + k, len(parameters), design.rows))
        terms[0] = np.exp(parameters[:, :1])
        for axis, (values, place) in enumerate(design.distinct):
            size, power = parameters[:, 1 + axis], np.exp(parameters[:, 1 + k + axis])
            terms[1 + axis] = np.exp(size[:, None] - power[:, None] * values)[:, place]
        return terms

    def offset(self, parameters: Array, groups: Index) -> Array:
        """Sum of the rows' offsets, shape ``(vectors, rows)``."""
        total = np.zeros((len(parameters), len(groups)))
        offsets = parameters[:, 1 + 2 * self.axes :]
        for column in groups.T:
            known = column >= 0
            total[:, known] += offsets[:, column[known]]
        return total

    def log_value(self, parameters: Array, design: Design) -> Array:
        """Log of the error, shape ``(vectors, rows)``."""
        terms = self.terms(parameters, design)
        log_error: Array = np.log(terms.sum(axis=0)) + self.offset(parameters, design.groups)
        return log_error

    def jacobian(self, parameters: Array, design: Design) -> tuple[Array, Array]:
        """Log error and its derivatives.

        Returns:
            Shapes ``(vectors, rows)`` and ``(vectors, rows, size)``.
        """
        k = self.axes
        terms = self.terms(parameters, design)
        total = terms.sum(axis=0)
        share = terms / total
        derivatives = np.zeros((*total.shape, self.size))
        derivatives[..., : 1 + k] = np.moveaxis(share, 0, -1)
        power = np.exp(parameters[:, None, 1 + k : 1 + 2 * k])
        derivatives[..., 1 + k : 1 + 2 * k] = (
            -derivatives[..., 1 : 1 + k] * power * design.log_axes[None]
        )
        rows = np.arange(design.rows)
        for column in design.groups.T:
            known = column >= 0
            derivatives[:, rows[known], 1 + 2 * k + column[known]] = 1.0
        return np.log(total) + self.offset(parameters, design.groups), derivatives
