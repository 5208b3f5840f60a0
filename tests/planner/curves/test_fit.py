"""The fit on truths that are known, and on input that should be refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.curves import fit
from planner.errors import InsufficientDataError, InvalidDataError
from planner.quantiles import t_quantile


def truth(n, t):
    return 0.02 + 0.05 * (n / 1e8) ** -0.6 + 0.01 * (t / 20) ** -1.5


def sample(rng, rows, noise=0.03):
    n = np.exp(rng.uniform(np.log(4e7), np.log(1.5e9), rows))
    t = rng.uniform(5, 30, rows)
    return n, t, truth(n, t) * np.exp(noise * rng.standard_normal(rows))


def test_intervals_cover_unseen_points_of_a_known_truth():
    """Coverage over 30 data sets: would catch a spread that is too narrow or too wide."""
    inside = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        n, t, error = sample(rng, 20)
        model = fit({"n": n, "t": t}, error, seed=seed)
        n, t, unseen = sample(rng, 40)
        _, lower, upper = model.predict({"n": n, "t": t})
        inside.append(np.mean((lower <= unseen) & (unseen <= upper)))
    assert 0.87 <= np.mean(inside) <= 0.97, np.mean(inside)


def test_few_points_over_several_axes_are_not_answered_too_surely():
    """Fewer points than twice the parameters: held-out residuals alone are too small then."""
    inside = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        powers = np.exp(rng.normal(-0.7, 0.6, 2))

        def error(x, powers=powers):
            return 0.02 + 0.08 * np.prod(x**-powers, axis=1)

        x = np.exp(rng.uniform(-1, 1, (4, 2)))
        model = fit({"a": x[:, 0], "b": x[:, 1]}, error(x) * np.exp(0.03 * rng.standard_normal(4)))
        asked = np.exp(rng.uniform(np.log(x.min(0)), np.log(x.max(0)), (20, 2)))
        found = model.predict({"a": asked[:, 0], "b": asked[:, 1]})
        inside.append(np.mean((found.lower <= error(asked)) & (error(asked) <= found.upper)))
    # 0.88 over 300 seeds; 40 have a standard error of 0.03.
    assert 0.85 <= np.mean(inside) <= 0.99, np.mean(inside)


def test_one_outlier_does_not_make_every_interval_useless():
    rng = np.random.default_rng(18)
    n, t, error = sample(rng, 18)
    at = {"n": [2e8], "t": [15]}
    before = fit({"n": n, "t": t}, error).predict(at)
    error[7] *= 28
    after = fit({"n": n, "t": t}, error).predict(at)
    # A conformal factor from the largest score would make it a factor of ten.
    assert after.upper / after.lower < 2.5
    assert after.mean == pytest.approx(before.mean, rel=0.1)


def test_many_rows_are_fitted_like_few():
    """2,000 rows take a sample to choose a form and few steps a refit: the curve is the same."""
    rng = np.random.default_rng(4)
    n, t, error = sample(rng, 2000)
    source = [f"s{row % 5}" for row in range(2000)]
    model = fit({"n": n, "t": t}, error, groups={"source": source})
    n, t, _ = sample(rng, 200)
    found = model.predict({"n": n, "t": t}, groups={"source": ["s0"] * 200})
    assert np.abs(np.log(found.mean / truth(n, t))).max() < 0.03
    assert 0.8 < np.log(found.upper / found.mean).mean() / (1.645 * 0.03) < 1.3


def test_recovers_the_curve():
    rng = np.random.default_rng(0)
    n, t, error = sample(rng, 60, noise=0.01)
    model = fit({"n": n, "t": t}, error)
    n, t, _ = sample(rng, 200)
    assert np.abs(np.log(model.predict({"n": n, "t": t}).mean / truth(n, t))).mean() < 0.02


def test_the_form_of_a_fit_to_nearly_the_same_rows_can_be_kept():
    """Catches offsets that are mixed up where labels are more, fewer, or sorted in between."""
    rng = np.random.default_rng(4)
    n, t, error = sample(rng, 60)
    source = np.array(["b", "d", "f"])[np.arange(60) % 3]
    error = error * np.where(source == "d", 1.5, 1.0)
    known = fit({"n": n, "t": t}, error, groups={"source": list(source)})
    more_n, more_t, more = sample(rng, 6)
    axes = {"n": np.append(n[source != "f"], more_n), "t": np.append(t[source != "f"], more_t)}
    errors = np.append(error[source != "f"], 2 * more)
    labels = [*source[source != "f"], *["c"] * 6]
    kept = fit(axes, errors, groups={"source": labels}, like=known)
    assert (kept.form.terms, kept.form_name) == (known.form.terms, known.form_name)
    searched = fit(axes, errors, groups={"source": labels})
    found, expected = kept.summary().offsets["source"], searched.summary().offsets["source"]
    assert found.keys() == {"b", "c", "d"}
    for label in found:
        assert found[label] / found["b"] == pytest.approx(expected[label] / expected["b"], rel=0.1)
    with pytest.raises(InvalidDataError, match="like is a fit of"):
        fit({"n": n, "t": t}, error, like=known)


def test_changes_without_a_label_are_those_of_a_fit_without_it():
    rng = np.random.default_rng(0)
    n, t, error = sample(rng, 60)
    axes = {"n": n, "t": t}
    source = np.repeat(["a", "b", "c"], 20)
    error = np.where(source == "c", error * (n / n.mean()) ** 0.3, error)
    groups = {"source": source.tolist()}
    model = fit(axes, error, groups=groups, forms=("additive",), delete="source")
    kept = source != "c"
    rest = fit(
        {name: values[kept] for name, values in axes.items()},
        error[kept],
        groups={"source": source[kept].tolist()},
        forms=("additive",),
        like=model,
    )
    asked = {name: values[:5] for name, values in axes.items()}
    at = {"source": ["a"] * 5}
    changes = model.changes_without(asked, groups=at)
    assert list(changes) == ["a", "b", "c"]
    expected = np.log(rest.predict(asked, groups=at).mean / model.predict(asked, groups=at).mean)
    np.testing.assert_allclose(changes["c"], expected, atol=0.05)
    assert np.abs(changes["c"]).max() > 0.05
    assert fit(axes, error, forms=("additive",)).changes_without(asked) == {}
    with pytest.raises(InvalidDataError):
        fit(axes, error, groups=groups, delete="speaker")


def test_offsets_of_sources_are_told_from_the_curve():
    """Two sources, one 1.5 times as hard: mixing them would ruin the curve."""
    rng = np.random.default_rng(1)
    n, t, error = sample(rng, 40, noise=0.01)
    source = np.where(np.arange(40) < 20, "easy", "hard")
    error = np.where(source == "hard", 1.5, 1.0) * error
    model = fit({"n": n, "t": t}, error, groups={"source": source})
    at = {"n": [2e8], "t": [20]}
    easy = model.predict(at, groups={"source": ["easy"]})
    hard = model.predict(at, groups={"source": ["hard"]})
    new = model.predict(at, groups={"source": ["never seen"]})
    assert hard.mean / easy.mean == pytest.approx(1.5, rel=0.03)
    assert np.log(new.upper / new.lower) > 3 * np.log(easy.upper / easy.lower)


@pytest.mark.parametrize("held", ["loosely", "tightly"])
def test_a_label_never_seen_is_as_unsure_as_was_believed(held):
    """Whatever rows held out say of the curve, and however near one another the seen labels are.

    Catches a conformal factor that makes the spread of labels wider, of which no row held out
    says anything.
    """
    rng = np.random.default_rng(1)
    n, t, error = sample(rng, 40, noise=0.01)
    codes = np.arange(40) % 4
    spread = 0.2 if held == "loosely" else 0.0
    error = error * np.exp(spread * np.array([-1.0, 1.0, -0.7, 0.7]))[codes]
    labels = np.array(["a", "b", "c", "d"])[codes]
    model = fit({"n": n, "t": t}, error, groups={"source": labels}, group_sd={"source": 0.2})
    at = {"n": [2e8], "t": [20]}
    for inflation in (model.inflation, 3.0):
        one = replace(model, inflation=inflation)
        among = np.log(one.predict(at).upper / one.predict(at).mean)
        new = one.predict(at, groups={"source": ["never seen"]})
        reach = np.log(new.upper / new.mean)
        expected = t_quantile(0.95, model.freedom) * 0.2
        assert np.sqrt(reach**2 - among**2) == pytest.approx([expected])
        drawn = np.log(one.draws(at, 4000, groups={"source": ["never seen"]}))
        low, high = np.quantile(drawn, [0.05, 0.95])
        assert (high - low) / 2 == pytest.approx(reach[0], rel=0.15)


def test_intervals_hold_labels_that_were_hidden_whole():
    """Rows of a label are off together: of many worlds, one label in each; 90 % are asked for."""
    inside = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        n, t, error = sample(rng, 42)
        codes = np.arange(42) % 7
        error = error * np.exp(0.2 * rng.standard_normal(7))[codes]
        labels, hidden = np.array(list("abcdefg"))[codes], codes == 6
        model = fit(
            {"n": n[~hidden], "t": t[~hidden]},
            error[~hidden],
            groups={"source": labels[~hidden]},
            group_sd={"source": 0.2},
            forms=("additive",),
        )
        found = model.predict({"n": n[hidden], "t": t[hidden]}, groups={"source": labels[hidden]})
        inside.append(np.mean((found.lower <= error[hidden]) & (error[hidden] <= found.upper)))
    # 150 labels have a standard error of 0.025.
    assert 0.84 <= np.mean(inside) <= 0.96, np.mean(inside)


def test_spread_grows_outside_the_data():
    rng = np.random.default_rng(2)
    n, t, error = sample(rng, 30)
    model = fit({"n": n, "t": t}, error)
    _, lower, upper = model.predict({"n": [2e8, 5e6, 5e10], "t": [15, 15, 15]})
    width = np.log(upper / lower)
    assert width[1] > 1.5 * width[0]
    assert width[2] > 1.5 * width[0]
    assert model.at({"n": [2e8, 5e6], "t": [15, 15]}).beyond.tolist() == [False, True]


@pytest.mark.parametrize("noise", [0.002, 0.05])
def test_intervals_beyond_an_axis_hold_what_far_ends_say(noise):
    """Power laws: catches a fixed width, which was several times what curves miss."""
    inside, width = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x = 2.0 ** np.arange(12)
        error = (0.02 + 0.3 * x**-0.4) * np.exp(noise * rng.standard_normal(12))
        found = fit({"x": x[:9]}, error[:9], seed=seed).predict({"x": x[9:]})
        inside.append(np.mean((found.lower <= error[9:]) & (error[9:] <= found.upper)))
        width.append(np.log(found.upper / found.lower).mean() / 2)
    assert np.mean(inside) >= 0.85, np.mean(inside)
    # The fixed width alone was 0.29.
    assert np.mean(width) < 0.2 + 4 * noise, np.mean(width)


def test_an_end_that_curves_miss_widens_what_lies_beyond():
    x = 2.0 ** np.arange(10)
    smooth = 0.3 * x**-0.4
    broken = smooth * np.where(x > 100, (x / 100) ** -1.5, 1.0) * np.where(x < 5, x / 5, 1.0)
    sd = [fit({"x": x}, e, forms=["additive"]).extrapolation_sd for e in (smooth, broken)]
    assert sd[0].shape == (1,)
    assert 2 * sd[0][0] < sd[1][0]


@pytest.mark.parametrize("seed", range(4))
def test_a_middle_is_not_that_of_the_few_refits_that_run_away(seed):
    """Catches a mean over refits: of an axis that was not moved it had 35 to 400 % here."""
    rng = np.random.default_rng(seed)
    n, _, error = sample(rng, 30)
    model = fit({"n": n, "t": np.full(30, 30.0)}, error, seed=seed)
    near, far = model.predict({"n": [2e8, 2e8], "t": [30.0, 7.5]}).mean
    assert near < far < 1.5 * near


def test_the_expected_error_rises_with_what_is_not_known():
    """Of equal medians the surer one is expected to err less; would catch medians for means."""
    rng = np.random.default_rng(6)
    n, t, error = sample(rng, 30)
    at = fit({"n": n, "t": t}, error).at({"n": [2e8, 5e6], "t": [15, 15]})
    above = np.log(at.expected() / at.interval(0.9).mean)
    half = np.log(at.interval(0.9).upper / at.interval(0.9).mean)
    np.testing.assert_allclose(above, np.square(half / 1.645) / 2, rtol=0.01)
    assert 0 < above[0] < above[1]


@given(st.integers(0, 1000), st.permutations(range(12)))
@settings(max_examples=15, deadline=None)
def test_order_of_rows_and_repetition_change_nothing(seed, order):
    n, t, error = sample(np.random.default_rng(seed), 12)
    source = [str(i % 3) for i in range(12)]
    at = {"n": [1e8, 1e9], "t": [10, 25]}
    one = fit({"n": n, "t": t}, error, groups=source, seed=seed).predict(at)
    order = list(order)
    other = fit(
        {"n": n[order], "t": t[order]},
        error[order],
        groups=[source[i] for i in order],
        seed=seed,
    ).predict(at)
    np.testing.assert_array_equal(one, other)


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_intervals_nest_and_draws_agree(seed):
    n, t, error = sample(np.random.default_rng(seed), 15)
    model = fit({"n": n, "t": t}, error, seed=seed)
    at = {"n": [1e8, 3e9], "t": [10, 25]}
    narrow, wide = model.predict(at, 0.5), model.predict(at, 0.9)
    assert (wide.lower <= narrow.lower).all()
    assert (narrow.upper <= wide.upper).all()
    draws = model.draws(at, 4000, seed=seed)
    inside = ((wide.lower <= draws) & (draws <= wide.upper)).mean(axis=0)
    np.testing.assert_allclose(inside, 0.9, atol=0.04)


@pytest.mark.parametrize(
    ("axes", "groups"),
    [
        ({"n": [1.0, 2.0], "t": [1.0, 2.0, 3.0]}, None),
        ({"n": [1.0], "t": [1.0]}, {"sauce": ["a"]}),
        ({"n": [1.0, 2.0], "t": [1.0, 2.0]}, {"source": ["a", "b", "a"]}),
        ({"n": [1.0, 2.0], "t": [1.0, 2.0]}, {"source": ["a"]}),
        ({"n": [1.0]}, None),
    ],
)
def test_rows_that_make_no_sense_are_refused(axes, groups):
    n, t, error = sample(np.random.default_rng(5), 8)
    model = fit({"n": n, "t": t}, error, groups={"source": list("abababab")})
    with pytest.raises(InvalidDataError):
        model.predict(axes, groups=groups)


def test_elasticity_is_the_local_slope():
    rng = np.random.default_rng(3)
    n, t, error = sample(rng, 60, noise=0.005)
    model = fit({"n": n, "t": t}, error)
    at = {"n": [2e8], "t": [20]}
    step = {"n": [2e8 * 1.01], "t": [20]}
    slope = np.log(model.predict(step).mean / model.predict(at).mean) / np.log(1.01)
    assert model.elasticity("n", at).mean[0] == pytest.approx(slope[0], rel=0.05)


@pytest.mark.parametrize(
    ("axes", "error", "options", "expected"),
    [
        ({"n": [1, 2, 3]}, [1, 2, 3], {}, InsufficientDataError),
        ({"n": [1, 2, 3, 0]}, [1, 2, 3, 4], {}, InvalidDataError),
        ({"n": [1, 2, 3, float("nan")]}, [1, 2, 3, 4], {}, InvalidDataError),
        ({"n": [1, 2, 3, 4]}, [1, 2, -3, 4], {}, InvalidDataError),
        ({"n": [1, 2, 3]}, [1, 2, 3, 4], {}, InvalidDataError),
        ({"n": ["a"] * 4}, [1, 2, 3, 4], {}, InvalidDataError),
        ({"n": [1, 2, 3, 4]}, [1, 2, 3, 4], {"error_se": [1, 1, 1, -1]}, InvalidDataError),
        ({"n": [1, 2, 3, 4]}, [1, 2, 3, 4], {"groups": ["a"]}, InvalidDataError),
        ({"n": [1, 2, 3, 4]}, [1, 2, 3, 4], {"forms": ["spline"]}, InvalidDataError),
        ({"n": [1, 2, 3, 4]}, [1, 2, 3, 4], {"seed": -1}, InvalidDataError),
        (
            {"n": [1, 2, 3, 4]},
            [1, 2, 3, 4],
            {"groups": list("aabb"), "group_sd": {"group": 0.0}},
            InvalidDataError,
        ),
        ({}, [1, 2, 3, 4], {}, InvalidDataError),
    ],
)
def test_bad_input_is_refused_by_type(axes, error, options, expected):
    with pytest.raises(expected):
        fit(axes, error, **options)


@pytest.mark.parametrize(
    ("axes", "error"),
    [
        ({"n": [5.0] * 1000}, [0.1] * 1000),
        ({"n": [1, 2, 3, 4]}, [0.1] * 4),
        ({"n": [1, 1e30, 2, 3]}, [0.5, 1e-12, 0.4, 0.3]),
    ],
    ids=["identical rows", "constant error", "extreme values"],
)
def test_degenerate_input_gets_a_finite_answer(axes, error):
    prediction = fit(axes, error).predict({"n": [1, 10]})
    assert np.isfinite(prediction).all()
    assert (prediction.lower <= prediction.mean).all()
    assert (prediction.mean <= prediction.upper).all()
