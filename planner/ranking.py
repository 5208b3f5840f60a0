"""Candidates in the order of what is made small, so that the best allowed one comes first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from planner.arrays import Array, Groups, Index, Labels, Mask

_AT_ONCE = 4096
"""Rows that are looked at before it is seen whether one of them is allowed."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """Rows, the best first, the cheaper of equals before the dearer.

    Attributes:
        order: The rows.
        values: What they are ordered by, in their order.
        models: Model of each row.
    """

    order: Index
    values: Array
    models: Labels

    @classmethod
    def of(cls, objective: Array, cost: Array, models: Labels) -> Ranking:
        """Ranks by an objective, and by a cost where it is the same."""
        order = np.lexsort((cost, objective))
        return cls(order, objective[order], models)

    @cached_property
    def _by_model(self) -> tuple[tuple[Index, Array], ...]:
        groups = Groups.of(self.models.codes[self.order])
        return tuple((self.order[rows], self.values[rows]) for rows in groups)

    def best(self, mask: Mask) -> int | None:
        """The best row of a mask."""
        return _first(self.order, mask)

    def near(self, mask: Mask, tolerance: float) -> Index:
        """Rows of a mask that are worse than its best by no more than a share."""
        return _near(self.order, self.values, mask, tolerance)

    def near_of_each(self, mask: Mask, tolerance: float) -> list[Index]:
        """The same of each model, by its code."""
        return [_near(rows, values, mask, tolerance) for rows, values in self._by_model]


def _near(rows: Index, values: Array, mask: Mask, tolerance: float) -> Index:
    first = _place(rows, mask)
    if first is None:
        return rows[:0]
    last = int(np.searchsorted(values, values[first] * (1 + tolerance), side="right"))
    some = rows[first : max(last, first + 1)]
    found: Index = some[mask[some]]
    return found


def _first(rows: Index, mask: Mask) -> int | None:
    place = _place(rows, mask)
    return None if place is None else int(rows[place])


def _place(rows: Index, mask: Mask) -> int | None:
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        held = mask[some]
        nearest = int(held.argmax())
        if held[nearest]:
            return start + nearest
    return None
