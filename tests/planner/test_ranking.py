"""The best of what is allowed, against a plain look at every row."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from planner.arrays import Labels
from planner.ranking import Ranking


@given(rows=st.integers(0, 9000), allowed=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
def test_the_best_is_allowed_and_the_cheaper_of_equals(rows, allowed, seed):
    """Catches an order that forgets the cost, and a look that ends before an allowed row."""
    rng = np.random.default_rng(seed)
    objective, cost = rng.integers(0, 50, (2, rows)).astype(float)
    models = Labels(rng.integers(0, 3, rows), ("a", "b", "c"))
    mask = rng.random(rows) < allowed**4
    ranking = Ranking.of(objective, cost, models)

    def plain(rows):
        return min(rows.tolist(), key=lambda row: (objective[row], cost[row], row), default=None)

    assert ranking.best(mask) == plain(np.flatnonzero(mask))
    tolerance = 0.1

    def near(rows):
        least = objective[rows].min(initial=np.inf)
        return [row for row in rows.tolist() if objective[row] <= least * (1 + tolerance)]

    assert sorted(ranking.near(mask, tolerance)) == near(np.flatnonzero(mask))
    for model, rows in enumerate(ranking.near_of_each(mask, tolerance)):
        assert sorted(rows) == near(np.flatnonzero(mask & (models.codes == model)))
