"""The form of a scaling curve: a sum of terms, each a product of shapes.

``error = exp(sum of offsets) * (floor + sum over terms of a_t * product of S_tk(x_k))``

A term for each axis makes arXiv 2505.18855's additive form, a term over two axes its
interaction, one term over all axes the multiplicative form; the offsets belong to the
groups that an observation is of (its source, its model). Parameters are
``(log floor, log a_t, the shapes' own, .., offsets)``; since every shape is 1 at the
geometric mean of its axis, a_t is the term's size in the middle of the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from planner.arrays import Array, Index, distinct
from planner.curves.shapes import Shape

LARGEST_LOG = 80.0


@dataclass(frozen=True)
class Design:
    """Rows at which a form is evaluated.

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

    @cached_property
    def combined(self) -> tuple[Index, Index]:
        """Distinct combinations of group columns, and which of them each row has."""
        if not self.groups.size:
            return self.groups[:1], np.zeros(self.rows, dtype=np.int64)
        first, place = distinct(list(self.groups.T))
        return self.groups[first], place

    def take(self, index: Index | slice) -> Design:
        """Some of the rows."""
        part = Design(self.log_axes[index], self.groups[index])
        # They have no other values than all of them.
        known = [(values, row[index]) for values, row in self.distinct]
        object.__setattr__(part, "distinct", known)
        combinations, place = self.combined
        object.__setattr__(part, "combined", (combinations, place[index]))
        return part


@dataclass(frozen=True)
class Term:
    """A product of shapes.

    Attributes:
        factors: Axes by their places, and how the term moves along each.
    """

    factors: tuple[tuple[int, Shape], ...]

    @property
    def size(self) -> int:
        """Number of parameters, the term's own size first."""
        return 1 + sum(shape.size for _, shape in self.factors)


@dataclass(frozen=True)
class Form:
    """Layout of a parameter vector: the floor, the terms, the offsets.

    Attributes:
        terms: What is added to the floor.
        offsets: Number of offsets, over all group factors.
        tight: How tightly the offsets of each group factor are held; 0 is their usual spread.
    """

    terms: tuple[Term, ...]
    offsets: int
    tight: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Length of a parameter vector."""
        return self.shared + self.offsets

    @cached_property
    def shared(self) -> int:
        """Parameters in front of the offsets."""
        return 1 + sum(term.size for term in self.terms)

    @cached_property
    def firsts(self) -> tuple[int, ...]:
        """Place of each term's size."""
        places = np.cumsum([1, *(term.size for term in self.terms)])
        return tuple(int(place) for place in places[:-1])

    def log_terms(self, parameters: Array, design: Design) -> Array:
        """Log of the floor and of each term, offsets left out.

        Args:
            parameters: Shape ``(vectors, size)``.
            design: Where to evaluate.

        Returns:
            Shape ``(1 + terms, vectors, rows)``.
        """
        logs = np.empty((1 + len(self.terms), len(parameters), design.rows))
        logs[0] = parameters[:, :1]
        for index, (term, first) in enumerate(zip(self.terms, self.firsts, strict=True), 1):
            logs[index] = parameters[:, first : first + 1]
            place = first + 1
            for axis, shape in term.factors:
                values, row = design.distinct[axis]
                logs[index] += shape.log_value(parameters[:, place : place + shape.size], values)[
                    :, row
                ]
                place += shape.size
        return logs

    def offset(
        self, parameters: Array, design: Design, dtype: DTypeLike = np.float64
    ) -> NDArray[Any]:
        """Sum of the rows' offsets, shape ``(vectors, rows)``."""
        combinations, place = design.combined
        # A column of none stands for the labels that have no offset.
        offsets = np.column_stack([parameters[:, self.shared :], np.zeros(len(parameters))])
        total: NDArray[Any] = offsets.T[combinations].sum(axis=1).astype(dtype)[place]
        return total.T

    def log_value(
        self, parameters: Array, design: Design, dtype: DTypeLike = np.float64
    ) -> NDArray[Any]:
        """Log of the error, shape ``(vectors, rows)``.

        Shapes are evaluated where axes have distinct values, of which a lattice has few; what
        is then done for every row may be done in single precision.
        """
        # A row's values lie together, so that those of a distinct value are copied at once.
        total = np.tile(_exp(parameters[:, 0]).astype(dtype), (design.rows, 1))
        for term, first in zip(self.terms, self.firsts, strict=True):
            logs, place = parameters[:, first : first + 1], first + 1
            product: NDArray[Any] | None = None
            for axis, shape in term.factors:
                values, row = design.distinct[axis]
                logs = logs + shape.log_value(parameters[:, place : place + shape.size], values)
                part = np.ascontiguousarray(_exp(logs).T, dtype)[row]
                if product is None:
                    product = part
                else:
                    product *= part
                place, logs = place + shape.size, np.zeros(1)
            total += _exp(logs).T.astype(dtype) if product is None else product
        np.log(total, out=total)
        total += self.offset(parameters, design, dtype).T
        return total.T

    def jacobian(self, parameters: Array, design: Design) -> tuple[Array, Array]:
        """Log error and its derivatives.

        Returns:
            Shapes ``(vectors, rows)`` and ``(vectors, rows, size)``.
        """
        total, share = _log_sum(self.log_terms(parameters, design))
        derivatives = np.zeros((*total.shape, self.size))
        derivatives[..., 0] = share[0]
        for index, (term, first) in enumerate(zip(self.terms, self.firsts, strict=True), 1):
            derivatives[..., first] = share[index]
            place = first + 1
            for axis, shape in term.factors:
                values, row = design.distinct[axis]
                own = shape.gradient(parameters[:, place : place + shape.size], values)
                for part in own:
                    derivatives[..., place] = share[index] * part[:, row]
                    place += 1
        rows = np.arange(design.rows)
        for column in design.groups.T:
            known = column >= 0
            derivatives[:, rows[known], self.shared + column[known]] = 1.0
        return total + self.offset(parameters, design), derivatives

    def slope(self, axis: int, parameters: Array, design: Design) -> Array:
        """``d log error / d log x`` along an axis, shape ``(vectors, rows)``."""
        _, share = _log_sum(self.log_terms(parameters, design))
        values, row = design.distinct[axis]
        total = np.zeros(share.shape[1:])
        for index, (term, first) in enumerate(zip(self.terms, self.firsts, strict=True), 1):
            place = first + 1
            for own, shape in term.factors:
                if own == axis:
                    slopes = shape.slope(parameters[:, place : place + shape.size], values)
                    total += share[index] * slopes[:, row]
                place += shape.size
        return total


def _exp(logs: Array) -> Array:
    """``exp`` that stays finite where a fit has wandered off."""
    return np.exp(np.clip(logs, -LARGEST_LOG, LARGEST_LOG))


def _log_sum(logs: Array) -> tuple[Array, Array]:
    """Log of the sum over the first dimension, and each one's share of it."""
    top = logs.max(axis=0)
    parts = np.exp(logs - top)
    total = parts.sum(axis=0)
    return top + np.log(total), parts / total
