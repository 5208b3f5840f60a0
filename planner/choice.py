"""Which of the allowed candidates is chosen, where several are as good.

A difference in error within the tolerance does not matter: the cheapest wins, by the costs that
were asked about. What none of these costs sees, as a number format if nobody asked for time or
memory, is decided for the reference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from planner.arrays import Array, Index
from planner.costing import Costs
from planner.lattice import Lattice
from planner.question import CostName

REFERENCE = "fp32"
"""Number format that is chosen where nothing that was asked about tells formats apart."""

EQUAL = 0.005
"""Share by which costs may differ and be equal: rates of retries are known no better."""


def chosen(
    rows: Index, lattice: Lattice, costs: Costs, errors: Array, asked: Sequence[CostName]
) -> int:
    """The row that is chosen of some that are as good.

    The cheapest by the costs asked about, in their order. Of equals, the one of the smallest
    batch; then what the device runs fastest or, where none is named, the reference format; then
    the one of the smallest error.

    Args:
        rows: Rows to choose from, at least one.
        lattice: The candidates.
        costs: Their costs.
        errors: Their expected errors, shape ``(n,)``.
        asked: Costs asked about, the first of which decides first.
    """
    for name in dict.fromkeys(asked):
        cost = costs.centre[name][rows]
        rows = rows[cost <= cost.min() * (1 + EQUAL)]
    batch = lattice.numbers["batch_size"][rows]
    slow: Array
    if "rtf" in costs.centre:
        slow = costs.centre["rtf"][rows]
    else:
        slow = (~lattice.labels["precision"].take(rows).mask(REFERENCE)).astype(float)
    return int(rows[np.lexsort([errors[rows], slow, batch])[0]])
