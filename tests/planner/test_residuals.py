"""Random effects about curves whose truth is known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from models_registry import Configuration
from planner.axes import MISFIT_SHARES, SLOPE_SDS, kinds_of
from planner.evidence import Evidence, Observation
from planner.lattice import Lattice
from planner.recommend import Planner
from planner.residuals import MOST_ROWS, Residuals, nearest, noise_covariance

WINDOWS = (8.0, 12.0, 16.0, 20.0, 30.0)
STUDY = "asr-s"


def observation(configuration, error, se=0.02, study=STUDY, **fields):
    return Observation(
        key=f"{study} {configuration.key}",
        study=study,
        configuration=configuration,
        error=error,
        error_se=se * error,
        paired_se=se * error,
        source="measured",
        provenance="made",
        **fields,
    )


ASKED = Configuration(model="base", window_s=20)


def on_a_flat_curve(rows, sd=0.1, asked=ASKED):
    """Effects of a configuration about a curve that says 0.1 of every row."""
    residuals = Residuals(rows, "asr", STUDY, np.full((len(rows), 8), math.log(0.1)), sd)
    effects = residuals.effects(Lattice.of([asked]))
    distance = effects.distance(np.full((1, 8), math.log(0.1), np.float32))
    part = slice(0, 1)
    expected = float(effects.expected(part, distance)[0, 0])
    return expected, math.sqrt(float(effects.variance(part, distance)[0]))


def test_shares_add_up():
    for shares in MISFIT_SHARES.values():
        assert sum(map(sum, shares.values())) == pytest.approx(1)
    assert MISFIT_SHARES.keys() == SLOPE_SDS.keys() == {"asr", "ser"}


def test_a_precise_row_keeps_its_value_and_a_noisy_one_is_drawn_to_the_curve():
    asked = Configuration(model="base", window_s=20)
    precise, sure = on_a_flat_curve([observation(asked, 0.11, se=0.005)])
    noisy, unsure = on_a_flat_curve([observation(asked, 0.11, se=0.3)])
    assert precise == pytest.approx(math.log(1.1), rel=0.02)
    assert 0 < noisy < 0.4 * math.log(1.1)
    assert sure < 0.006 < unsure


def test_a_residual_is_carried_to_neighbours_and_less_so_to_strangers():
    """Catches a published row that corrects nothing but itself."""
    row = [observation(Configuration(model="base", window_s=30), 0.12, se=0.01)]
    window, _ = on_a_flat_curve(row)
    precision, _ = on_a_flat_curve(row, asked=Configuration(model="base", precision="bf16"))
    model, _ = on_a_flat_curve(row, asked=Configuration(model="small", window_s=30))
    elsewhere, _ = on_a_flat_curve([replace(row[0], study="asr-other")])
    # What a study has in common is told by any of its rows, the rest by their like.
    assert math.log(1.2) > window > precision > model > elsewhere >= 0


def test_the_sample_of_a_corpus_says_more_than_another_corpus():
    configuration = Configuration(model="base", window_s=20)
    other = observation(configuration, 0.12, se=0.01, study="asr-s, other speech")
    same_corpus, _ = on_a_flat_curve([replace(other, corpus=STUDY)])
    another, _ = on_a_flat_curve([other])
    assert same_corpus > another > 0


def test_an_outlier_keeps_most_of_its_value_and_is_not_carried_far():
    """Catches a configuration that fails, drawn to where others do well, or drawing them along."""
    others = [observation(Configuration(model="base", window_s=w), 0.1) for w in WINDOWS if w != 20]
    asked = Configuration(model="base", window_s=20)
    rows = [*others, observation(asked, 0.5)]
    kept, _ = on_a_flat_curve(rows)
    beside, _ = on_a_flat_curve(rows, asked=Configuration(model="base", window_s=18))
    assert kept > 0.9 * math.log(5)
    assert abs(beside) < 0.1


def test_noise_that_rows_share_is_no_effect():
    """Catches rows on the same speech taken for independent: their residuals move together."""
    up = np.array([0.08, -0.08, 0.08, -0.08])
    rows = [
        observation(
            Configuration(model="base", window_s=w), 0.11, se=0.16, deviations=up, speech="f"
        )
        for w in WINDOWS
    ]
    together, _ = on_a_flat_curve(rows)
    alone, _ = on_a_flat_curve([replace(o, deviations=None) for o in rows])
    assert 0 < together < alone


def test_a_noise_covariance_is_symmetric_and_positive():
    rng = np.random.default_rng(0)
    rows = [
        observation(
            Configuration(model="base", window_s=w),
            0.1,
            se=0.05,
            deviations=rng.normal(0, 0.02, 5),
            speech="f",
        )
        for w in WINDOWS
    ]
    covariance = noise_covariance(rows)
    np.testing.assert_allclose(covariance, covariance.T, rtol=1e-12)
    assert np.linalg.eigvalsh(covariance).min() > 0
    assert (np.diag(covariance) >= 0.05**2 - 1e-15).all()


def test_draws_have_the_stated_spread():
    rows = [observation(Configuration(model="base", window_s=w), 0.11) for w in WINDOWS]
    residuals = Residuals(rows, "asr", STUDY, np.full((len(rows), 8), math.log(0.1)), 0.1)
    lattice = Lattice.product(("base", "small"), [("chunk", 20.0)], [(1.0, 1.0), (2.0, 0.5)])
    effects = residuals.effects(lattice)
    drawn = effects.draws(np.random.default_rng(0), 20_000)
    np.testing.assert_allclose(drawn.std(axis=1), np.sqrt(np.diag(effects.covariance)), rtol=0.05)


def test_the_study_s_own_rows_come_first():
    own = [observation(Configuration(model="base", window_s=w), 0.1) for w in WINDOWS]
    other = observation(Configuration(model="base"), 0.1, study="asr-other")
    many = [replace(other, key=str(n)) for n in range(MOST_ROWS)]
    kept = nearest([*many, *own], STUDY)
    assert len(kept) == MOST_ROWS
    assert {o.key for o in kept[: len(own)]} == {o.key for o in own}


def test_kinds_differ_where_tokens_are_reduced():
    lattice = Lattice.product(("base",), [("chunk", 20.0)], [(1.0, 1.0), (2.0, 0.0), (3.0, 0.0)])
    kinds = kinds_of(lattice)
    assert kinds[0] != kinds[1] == kinds[2]


def test_measuring_elsewhere_on_other_languages_moves_english_little():
    """Catches German clips that pull the English figure of the same model along."""
    models = ("tiny", "base", "small", "medium")
    english = [
        observation(Configuration(model=m, window_s=w), 0.2 / (n + 1) * (1 + 2 / w), study=STUDY)
        for n, m in enumerate(models)
        for w in WINDOWS
    ]
    german = [
        observation(
            Configuration(model=m, window_s=w), 0.6 / (n + 1), study="asr-de", language="de"
        )
        for n, m in enumerate(models)
        for w in WINDOWS
    ]
    asked = [Configuration(model=m, window_s=14) for m in models]

    def wers(rows):
        found = Planner(Evidence("asr", STUDY, tuple(rows))).predict(asked)
        return np.array([one["wer"].mean for one in found])

    np.testing.assert_allclose(wers([*english, *german]), wers(english), rtol=0.05)
