"""Joint draws of many rows: what is smallest in each draw, without a look at every row."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from planner.arrays import Array, Draws, Index, Mask

_AT_ONCE = 512
"""Rows whose draws fit a processor's cache."""


@dataclass(frozen=True, eq=False)
class Joint:
    """Joint draws in blocks, each standing for its rows where all of them are wanted.

    Attributes:
        draws: The draws, shape ``(rows, draws)``.
        order: Rows that are anybody's, those of a block beside one another.
        block: How many rows a block has.
        lowest: Smallest of each block in each draw, shape ``(blocks, draws)``.
        luckiest: Smallest of each row in any draw, shape ``(rows,)``; infinite for nobody's.
    """

    draws: Draws
    order: Index
    block: int
    lowest: Draws
    luckiest: Draws

    @classmethod
    def of(cls, draws: Draws, order: Index) -> Joint:
        """Draws in blocks.

        Args:
            draws: The draws, shape ``(rows, draws)``.
            order: Rows, such that those are near one another that tend to be wanted together.
        """
        # A larger block stands for more rows, and leaves more of them where it is cut.
        block = max(1, math.isqrt(len(order)) // 4)
        starts = range(0, len(order), block)
        lowest = np.empty((len(starts), draws.shape[1]), np.float32)
        luckiest = np.full(len(draws), np.inf, np.float32)
        for own, start in zip(lowest, starts, strict=True):
            rows = order[start : start + block]
            some = draws[rows]
            some.min(axis=0, out=own)
            luckiest[rows] = some.min(axis=1)
        return cls(draws, order, block, lowest, luckiest)

    def below(self, wanted: Mask, bound: float) -> Index:
        """Wanted rows that are at most a bound in any draw."""
        return np.flatnonzero(wanted & (self.luckiest <= bound))

    def quantile(self, probability: float) -> Draws:
        """Least bound that a share of a row's draws is at most, shape ``(rows,)``."""
        shares = np.arange(self.draws.shape[1] + 1) / self.draws.shape[1]
        least = max(int(np.searchsorted(shares, probability)) - 1, 0)
        found = np.empty(len(self.draws), np.float32)
        for first in range(0, len(found), _AT_ONCE):
            some = self.draws[first : first + _AT_ONCE]
            found[first : first + _AT_ONCE] = np.partition(some, least, axis=1)[:, least]
        return found

    def smallest(self, wanted: Mask, bound: float) -> Draws:
        """Smallest of the wanted rows in each draw, shape ``(draws,)``.

        Where none is at most the bound, it is one that is not, or infinite.
        """
        held = wanted[self.order]
        whole = np.logical_and.reduceat(held, np.arange(0, len(held), self.block))
        rest = self.order[held & ~np.repeat(whole, self.block)[: len(held)]]
        rest = rest[self.luckiest[rest] <= bound]
        found: Draws = self.lowest[whole].min(axis=0, initial=np.inf)
        for first in range(0, len(rest), _AT_ONCE):
            some = self.draws[rest[first : first + _AT_ONCE]]
            np.minimum(found, some.min(axis=0), out=found)
        return found

    def cheapest(self, rows: Index, costs: Array, bound: float) -> Array:
        """Smallest cost of some rows that are at most a bound in each draw, shape ``(draws,)``.

        Args:
            rows: The rows.
            costs: Theirs, shape ``(len(rows),)``.
            bound: What has to be reached; infinite where none does.
        """
        order = np.argsort(costs)
        found = np.full(self.draws.shape[1], np.inf)
        open_ = np.arange(len(found))
        for first in range(0, len(rows), _AT_ONCE):
            some = order[first : first + _AT_ONCE]
            reached = self.draws[rows[some]][:, open_] <= bound
            nearest = reached.argmax(axis=0)
            hit = reached[nearest, np.arange(len(open_))]
            found[open_[hit]] = costs[some[nearest[hit]]]
            open_ = open_[~hit]
            if not open_.size:
                break
        return found
