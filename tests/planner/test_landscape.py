"""What is predicted of every candidate: what its draws say of a target, what is kept of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.question import Question


@pytest.fixture(scope="module")
def landscape(planner):
    asked = Question(target_wer=0.2)
    return planner.table(planner.lattice(asked), asked).landscape


@settings(deadline=None)
@given(risk=st.floats(0.003, 0.997), place=st.floats(0, 1))
def test_a_row_reaches_a_target_if_enough_of_its_draws_do(landscape, risk, place):
    """Catches a quantile that is a draw too high or too low, where a target is a draw itself."""
    drawn = np.unique(landscape.quality.draws)
    target = float(drawn[int(place * (len(drawn) - 1))])
    enough = landscape.quality.chance_below(target) >= 1 - risk
    assert np.array_equal(landscape.reaching(target, risk), enough)


def test_what_was_found_is_kept_but_does_not_pile_up(landscape):
    """Catches answers about ever other risks that fill a service's memory."""
    found = []

    def ask(number):
        return landscape.once(("asked", number), lambda: found.append(number) or number)

    assert [ask(number) for number in range(1000)] == list(range(1000))
    ask(999)
    assert len(found) == 1000
    assert ask(0) == 0
    assert len(found) == 1001
