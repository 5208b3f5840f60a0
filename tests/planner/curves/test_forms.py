"""Forms: their derivatives, and whether the data's own is found and noise is not."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from planner.curves import fit
from planner.curves.form import LARGEST_LOG, Design, Form, Term
from planner.curves.selection import FORMS, stacked
from planner.curves.shapes import BROKEN, POWER, SATURATING, SIGNED, U_SHAPE
from planner.errors import InvalidDataError

FORM = Form(
    (
        Term(((0, POWER),)),
        Term(((1, BROKEN),)),
        Term(((2, U_SHAPE),)),
        Term(((0, SIGNED), (1, SATURATING))),
    ),
    offsets=3,
)


def design(rng, rows=7):
    return Design(rng.normal(size=(rows, 3)), rng.integers(-1, 3, size=(rows, 1)))


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_derivatives_are_the_limits_of_differences(seed):
    rng = np.random.default_rng(seed)
    rows, theta, step = design(rng), rng.normal(size=(4, FORM.size)), 1e-6
    value, jacobian = FORM.jacobian(theta, rows)
    assume(value.max() < LARGEST_LOG)
    np.testing.assert_allclose(value, FORM.log_value(theta, rows))
    for place in range(FORM.size):
        moved = step * np.eye(FORM.size)[place]
        slope = (FORM.log_value(theta + moved, rows) - FORM.log_value(theta - moved, rows)) / 2
        np.testing.assert_allclose(jacobian[..., place], slope / step, atol=1e-5)
    for axis in range(3):
        moved = step * np.eye(3)[axis]
        above = FORM.log_value(theta, Design(rows.log_axes + moved, rows.groups))
        below = FORM.log_value(theta, Design(rows.log_axes - moved, rows.groups))
        np.testing.assert_allclose(
            FORM.slope(axis, theta, rows), (above - below) / 2 / step, atol=1e-5
        )


@pytest.mark.parametrize("shape", [POWER, SATURATING, BROKEN, U_SHAPE, SIGNED])
def test_a_shape_is_one_in_the_middle_and_has_the_slopes_it_names(shape):
    parameters = np.array([[0.3, -0.2, 0.4][: shape.size]])
    far = np.array([-40.0, 0.0, 40.0])
    assert shape.log_value(parameters, far)[0, 1] == pytest.approx(0)
    below, _, above = shape.slope(parameters, far)[0]
    expected = {
        "power": (-np.exp(0.3), -np.exp(0.3)),
        "signed": (-0.3, -0.3),
        "saturating": (0, -np.exp(0.3)),
        "broken": (-np.exp(0.3), -np.exp(-0.2)),
        "u-shape": (-np.exp(0.3), np.exp(-0.2)),
    }
    assert (below, above) == pytest.approx(expected[shape.name], abs=1e-9)


def grid(rng, noise, truth, rows=80):
    n = np.exp(rng.uniform(np.log(4e7), np.log(1.5e9), rows))
    t = np.exp(rng.uniform(np.log(0.8), np.log(30), rows))
    return {"n": n, "t": t}, truth(n, t) * np.exp(noise * rng.standard_normal(rows))


TRUTHS = {
    "u-shape along t": lambda n, t: 0.05 * (n / 1e8) ** -0.5 + 0.05 * ((t / 5) ** -1 + t / 5),
    "saturating along t": lambda n, t: 0.02 * (n / 1e8) ** -0.5 + 0.3 / (1 + (t / 8) ** 3),
    "n with t": lambda n, t: (
        0.05 + 0.03 * (n / 1e8) ** -0.5 + 0.01 / t + 0.08 * (t / 5) ** -1.5 * (n / 1e8) ** -1
    ),
}


@pytest.mark.parametrize("expected", TRUTHS)
def test_the_form_of_the_data_is_found_and_predicts_better(expected):
    truth = TRUTHS[expected]
    axes, error = grid(np.random.default_rng(0), 0.02, truth)
    chosen, plain = fit(axes, error), fit(axes, error, forms=["additive"])
    # A rising power of t that hardly falls with n makes the same U.
    words = {
        "n with t": ("n with t", "t with n", "multiplicative"),
        "u-shape along t": ("u-shape along t", "t with n"),
    }.get(expected, (expected,))
    assert any(word in chosen.form_name for word in words), chosen.form_name
    fresh, _ = grid(np.random.default_rng(1), 0.0, truth, rows=300)

    def miss(model):
        found = model.predict(fresh).mean
        return np.sqrt(np.mean(np.log(found / truth(fresh["n"], fresh["t"])) ** 2))

    assert miss(chosen) < 0.7 * miss(plain)


def test_noise_seldom_makes_a_plain_law_look_like_more():
    """20 data sets of an additive law: a search that looks often must not see ghosts."""

    def truth(n, t):
        return 0.02 + 0.05 * (n / 1e8) ** -0.6 + 0.05 * (t / 5) ** -0.8

    names = []
    for seed in range(20):
        axes, error = grid(np.random.default_rng(seed), 0.05, truth, rows=40)
        names.append(fit(axes, error, seed=seed).form_name)
    assert names.count("additive") >= 14, names


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 30))
def test_stacking_is_the_likeliest_average(seed, forms, rows):
    scores = np.random.default_rng(seed).normal(0, 2, (forms, rows))

    def value(weights):
        prior = np.log(np.maximum(weights, 1e-300)).mean()
        return np.log(weights @ np.exp(scores)).sum() + prior

    found = stacked(scores)
    assert found.sum() == pytest.approx(1)
    assert (found > 0).all()
    for other in np.random.default_rng(seed).dirichlet(np.ones(forms), 20):
        assert value(found) >= value(other) - 1e-2


def test_a_handful_of_rows_averages_the_plain_forms():
    """Catches the first form that is taken unseen where rows are few."""
    x = np.array([[1, 1], [4, 1], [1, 4], [4, 4], [9, 9]], dtype=float)
    axes = {"a": x[:, 0], "b": x[:, 1]}
    products = fit(axes, 0.5 * x.prod(axis=1) ** -0.7)
    assert products.form_name == "multiplicative"
    sums = fit(axes, 0.2 / x[:, 0] + 0.2 / x[:, 1])
    for model in (products, sums):
        assert set(model.scores) == {"additive", "multiplicative"}
        assert model.weights.sum() == pytest.approx(1)
        assert model.curves(axes).shape == (model.refits, 5)
    assert sums.summary().weights["additive"] > products.summary().weights.get("additive", 0.0)


def test_an_interaction_needs_axes_that_move_together():
    """In a star no axis moves while another is away from the centre."""
    n = np.array([1e8] * 12 + [3e7, 6e7, 2e8, 4e8, 8e8, 1.6e9] * 2)
    t = np.array([5.0, 8, 12, 17, 24, 30] * 2 + [15.0] * 12)
    rng = np.random.default_rng(0)
    error = (0.03 + 0.05 * (n / 1e8) ** -0.5 + 0.2 / t) * np.exp(0.02 * rng.standard_normal(24))
    model = fit({"n": n, "t": t}, error)
    assert not any(" with " in name for name in model.scores)


@pytest.mark.parametrize("rows", [24, 400])
def test_scattered_axes_can_interact(rows):
    """No value comes twice; would catch a search that looks at exact values only."""
    axes, error = grid(np.random.default_rng(0), 0.02, TRUTHS["n with t"], rows=rows)
    assert any(" with " in name for name in fit(axes, error).scores)


def test_only_what_is_allowed_is_tried():
    axes, error = grid(np.random.default_rng(0), 0.02, TRUTHS["u-shape along t"])
    assert set(fit(axes, error, forms=["additive"]).scores) == {"additive"}
    assert set(fit(axes, error, forms=["multiplicative"]).scores) == {"multiplicative"}
    named = fit(axes, error, forms=["additive", "broken"]).scores
    assert not any("u-shape" in name for name in named)
    for forms in (["spline"], ["u-shape"], []):
        with pytest.raises(InvalidDataError, match="additive or multiplicative"):
            fit(axes, error, forms=forms)
    assert FORMS[:2] == ("additive", "multiplicative")
