"""What is smallest among joint draws, against a plain look at every row."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from planner.joint import Joint

SEEDS = st.integers(0, 2**32 - 1)


def some_joint(rng, rows, draws=17):
    """Draws of which some rows are nobody's, in an order of no meaning."""
    drawn = rng.lognormal(size=(rows, draws)).astype(np.float32)
    anybodys = np.flatnonzero(rng.random(rows) < 0.9)
    return Joint.of(drawn, rng.permutation(anybodys)), anybodys


@given(rows=st.integers(0, 900), share=st.floats(0, 1), bound=st.floats(0.01, 20), seed=SEEDS)
def test_the_smallest_is_that_of_every_wanted_row(rows, share, bound, seed):
    """Catches a block that stands for rows that are not wanted, and rows left out at its cuts."""
    rng = np.random.default_rng(seed)
    joint, anybodys = some_joint(rng, rows)
    wanted = np.zeros(rows, dtype=bool)
    # Wanted together are those near one another, and some others.
    wanted[joint.order[: int(share * len(anybodys))]] = True
    wanted[anybodys[rng.random(len(anybodys)) < 0.02]] = True
    plain = joint.draws[wanted].min(axis=0, initial=np.inf)
    found = joint.smallest(wanted, bound)
    assert np.array_equal(found[plain <= bound], plain[plain <= bound])
    assert (found[plain > bound] > bound).all()
    below = np.flatnonzero(wanted & (joint.draws.min(axis=1, initial=np.inf) <= bound))
    assert np.array_equal(joint.below(wanted, bound), below)


@given(rows=st.integers(0, 1500), bound=st.floats(0.01, 20), seed=SEEDS)
@example(rows=1500, bound=0.05, seed=0)  # reached by one row in some seven hundred
def test_the_cheapest_is_the_one_of_a_plain_look(rows, bound, seed):
    """Catches a look that ends before a draw has its cheapest row."""
    rng = np.random.default_rng(seed)
    joint, anybodys = some_joint(rng, rows)
    costs = rng.integers(1, 9, len(anybodys)).astype(float)
    reached = joint.draws[anybodys] <= bound
    plain = np.where(reached, costs[:, None], np.inf).min(axis=0, initial=np.inf)
    assert np.array_equal(joint.cheapest(anybodys, costs, bound), plain)
