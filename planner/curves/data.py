"""What a curve is fitted to, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from planner.arrays import Array, Index, Labels
from planner.curves.form import Design
from planner.errors import InvalidDataError

DEFAULT_GROUP_SD = 0.5


@dataclass(frozen=True)
class GroupFactor:
    """Labels that shift the error by a factor each.

    Attributes:
        name: Name of the factor, for example ``source``.
        labels: Labels seen in the fit.
        first: Place of the first label's offset among all offsets.
        sd: Standard deviation of the offsets as it is believed, that of a label never seen; a
            form may hold those that were seen tighter.
    """

    name: str
    labels: tuple[str, ...]
    first: int
    sd: float

    def columns(self, labels: Sequence[str] | Labels) -> Index:
        """Place of each label's offset; -1 for one never seen."""
        given = Labels.read(labels)
        place = {label: self.first + index for index, label in enumerate(self.labels)}
        known = np.array([place.get(name, -1) for name in given.names], dtype=np.int64)
        return known[given.codes] if len(known) else given.codes


@dataclass(frozen=True)
class Observed:
    """Observed errors, in an order of their own: as the rows come changes nothing.

    Attributes:
        design: Where they were observed.
        centres: ``log`` of each axis' geometric mean.
        log_error: Log of the errors, shape ``(rows,)``.
        log_se: Their standard errors, in log.
        factors: Group factors, in the order they were given.
    """

    design: Design
    centres: Array
    log_error: Array
    log_se: Array
    factors: tuple[GroupFactor, ...]

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.log_error)

    @property
    def offsets(self) -> int:
        """How many labels, over all factors."""
        return sum(len(factor.labels) for factor in self.factors)

    def take(self, rows: Index) -> Observed:
        """Some of the rows; axes stay centred, and labels numbered, as they are."""
        return Observed(
            Design(self.design.log_axes[rows], self.design.groups[rows]),
            self.centres,
            self.log_error[rows],
            self.log_se[rows],
            self.factors,
        )


def observed(
    axes: Mapping[str, ArrayLike],
    error: ArrayLike,
    error_se: ArrayLike | None,
    groups: Mapping[str, Sequence[str] | Labels] | Sequence[str] | None,
    group_sd: Mapping[str, float],
) -> Observed:
    """Checks observations; see :func:`planner.curves.fit` for the arguments.

    Raises:
        InvalidDataError: Lengths differ, or numbers are not finite and positive.
    """
    values = _positive("error", error)
    rows = len(values)
    if not axes:
        raise InvalidDataError("no axis is given: a curve needs one at least")
    columns = [_positive(f"axis {name!r}", column) for name, column in axes.items()]
    for name, column in zip(axes, columns, strict=True):
        if len(column) != rows:
            raise InvalidDataError(f"axis {name!r} has {len(column)} values, error has {rows}")
    log_se = _log_se(values, error_se)
    log_axes = np.log(np.column_stack(columns))
    factors, labels = _factors(groups, group_sd, rows)
    # Drawing weights and folds in an order of the data's own makes the fit the
    # same, to the bit, however its rows are arranged.
    order = np.lexsort((log_se, np.log(values), *labels.T, *log_axes.T))
    log_axes = log_axes[order]
    centres = log_axes.mean(axis=0) if rows else np.zeros(len(columns))
    return Observed(
        Design(log_axes - centres, labels[order]),
        centres,
        np.log(values)[order],
        log_se[order],
        factors,
    )


def _log_se(values: Array, error_se: ArrayLike | None) -> Array:
    if error_se is None:
        return np.zeros(len(values))
    spread = np.asarray(error_se, dtype=float)
    if spread.shape != values.shape or not np.isfinite(spread).all() or (spread < 0).any():
        raise InvalidDataError("error_se is not one finite number, 0 or more, for each error")
    return spread / values


def _positive(what: str, values: ArrayLike) -> Array:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise InvalidDataError(f"{what} is not made of numbers") from None
    if array.ndim != 1:
        raise InvalidDataError(f"{what} has shape {array.shape}, expected one dimension")
    bad = np.flatnonzero(~np.isfinite(array) | (array <= 0))
    if bad.size:
        raise InvalidDataError(
            f"{what} is {array[bad[0]]} at row {bad[0]}: only positive finite numbers are fitted"
        )
    return array


def _factors(
    groups: Mapping[str, Sequence[str] | Labels] | Sequence[str] | None,
    group_sd: Mapping[str, float],
    rows: int,
) -> tuple[tuple[GroupFactor, ...], Index]:
    if groups is None:
        return (), np.zeros((rows, 0), dtype=np.int64)
    for name, sd in group_sd.items():
        if not 0 < sd < np.inf:
            raise InvalidDataError(f"group_sd of {name!r} is {sd}, expected a positive number")
    named = groups if isinstance(groups, Mapping) else {"group": groups}
    factors: list[GroupFactor] = []
    columns, first = [], 0
    for name, labels in named.items():
        if len(labels) != rows:
            raise InvalidDataError(f"group {name!r} has {len(labels)} labels, error has {rows}")
        seen = Labels.read(labels)
        known = tuple(sorted(seen.names[code] for code in np.unique(seen.codes)))
        factor = GroupFactor(name, known, first, group_sd.get(name, DEFAULT_GROUP_SD))
        factors.append(factor)
        columns.append(factor.columns(seen))
        first += len(known)
    stacked = np.column_stack(columns) if columns else np.zeros((rows, 0), dtype=np.int64)
    return tuple(factors), stacked
