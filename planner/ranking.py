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
        models: Model of each row.
    """

    order: Index
    models: Labels

    @classmethod
    def of(cls, objective: Array, cost: Array, models: Labels) -> Ranking:
        """Ranks by an objective, and by a cost where it is the same."""
        return cls(np.lexsort((cost, objective)), models)

    @cached_property
    def _by_model(self) -> tuple[Index, ...]:
        return tuple(self.order[rows] for rows in Groups.of(self.models.codes[self.order]))

    def best(self, mask: Mask) -> int | None:
        """The best row of a mask."""
        return _first(self.order, mask)

    def best_of_each(self, mask: Mask) -> list[int | None]:
        """The best row of each model, by its code."""
        return [_first(rows, mask) for rows in self._by_model]


def _first(rows: Index, mask: Mask) -> int | None:
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        held = mask[some]
        nearest = int(held.argmax())
        if held[nearest]:
            return int(some[nearest])
    return None
