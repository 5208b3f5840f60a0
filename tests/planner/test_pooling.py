"""Several runs of one configuration: pooled by their words, wider where they disagree."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_registry import Configuration
from planner.evidence import Evidence, Observation
from planner.pooling import pooled, pooled_by
from planner.recommend import Planner

BASE = Configuration(model="base")


def run(key, error, trials=2000.0, *, se=None, **changes):
    if se is None:
        se = 1.5 * math.sqrt(error / (trials or 2000))
    values = {"configuration": BASE, "source": "measured", "provenance": f"run {key}", **changes}
    return Observation(key, "world", error=error, error_se=se, trials=trials, **values)


def test_words_are_added_up_and_the_lowest_does_not_win():
    few, many = run("a", 0.05, 2000), run("b", 0.30, 8000)
    found = pooled([few, many])
    assert found.error == pytest.approx(0.25)
    assert (found.trials, found.runs) == (10_000, 2)
    assert pooled([many, few]).error == pytest.approx(found.error)
    assert "2 runs pooled" in found.provenance
    assert found.disagree
    assert "disagree" in found.provenance
    # What disagrees is the speech: it moves other configurations as well.
    assert found.own_log_se < found.log_se / 5
    assert "run a" in found.provenance
    assert "run b" in found.provenance
    # Two runs a factor of six apart: nothing is known to a tenth.
    assert found.error_se > 0.1


def test_runs_that_agree_are_surer_together():
    runs = [run(str(n), error) for n, error in enumerate((0.100, 0.102, 0.098, 0.101))]
    found = pooled(runs)
    assert found.error == pytest.approx(0.10025)
    assert found.error_se == pytest.approx(runs[0].error_se / 2, rel=0.02)
    assert not found.disagree
    assert "disagree" not in found.provenance


def test_the_variance_between_runs_is_dersimonian_and_laird_s():
    """By hand: equal variances v, so tau^2 is the sample variance less v."""
    errors, v = (0.10, 0.20, 0.24), 0.01**2
    found = pooled([run(str(n), e, None, se=0.01) for n, e in enumerate(errors)])
    mean = sum(errors) / 3
    between = sum((e - mean) ** 2 for e in errors) / 2 - v
    assert found.error == pytest.approx(mean)
    assert found.error_se == pytest.approx(math.sqrt((v + between) / 3))
    assert found.trials is None


def test_runs_without_counts_weigh_by_inverse_variance():
    found = pooled([run("a", 0.100, None, se=0.002), run("b", 0.103, None, se=0.004)])
    assert found.error == pytest.approx((0.100 * 4 + 0.103) / 5)
    assert found.error_se == pytest.approx(1 / math.sqrt(1 / 0.002**2 + 1 / 0.004**2))


def test_the_same_speech_again_is_no_second_sample():
    once = run("a", 0.10, speech="f", paired_se=0.001)
    again = run("b", 0.10, speech="f", paired_se=0.001)
    found = pooled([once, again])
    assert (found.error, found.trials, found.runs) == (0.10, 2000, 2)
    assert found.error_se == pytest.approx(once.error_se)
    assert found.paired_se == pytest.approx(0.001)
    other = pooled([once, again, run("c", 0.10, speech="g")])
    assert other.trials == 4000
    assert other.error_se == pytest.approx(once.error_se / math.sqrt(2), rel=1e-3)


def test_what_was_counted_is_added_up_and_one_run_stays_as_it_is():
    runs = [
        run("a", 0.1, windows=30, retried=3),
        run(
            "b", 0.1, windows=10, retried=1, configuration=BASE.model_copy(update={"batch_size": 8})
        ),
        run("c", 0.1, source="published"),
    ]
    found = pooled(runs)
    assert (found.windows, found.retried, found.source) == (40, 4, "measured")
    assert found.configuration == BASE
    assert pooled(runs[:1]) is runs[0]
    assert len(pooled_by(runs, lambda o: o.configuration)) == 2


@given(
    st.lists(
        st.tuples(st.floats(1e-4, 3.0), st.one_of(st.none(), st.integers(1, 10**6))),
        min_size=1,
        max_size=6,
    )
)
def test_any_runs_make_an_observation_within_them(drawn):
    runs = [run(str(n), error, words) for n, (error, words) in enumerate(drawn)]
    found = pooled(runs)
    assert 0.999 * min(e for e, _ in drawn) <= found.error <= 1.001 * max(e for e, _ in drawn)
    assert 0 < found.error_se < math.inf


def test_the_planner_answers_with_the_pooled_runs():
    def answer(*runs):
        planner = Planner(Evidence(task="asr", study="world", observations=runs))
        (found,) = planner.predict([BASE], 0.95)
        return found["wer"]

    others = [
        run(m, 0.1, configuration=Configuration(model=m))
        for m in ("tiny", "small", "medium", "tiny.en")
    ]
    found = answer(run("a", 0.05, 2000), run("b", 0.30, 8000), *others)
    assert found.mean == pytest.approx(0.25)
    assert found.lower < 0.15
    assert found.upper > 0.35
    assert found.basis == "measured"


def test_a_stated_interval_is_answered_as_stated():
    """Uneven about its middle, beside others whose speech is shared."""
    sds = tuple(math.log(ratio) / 1.959964 for ratio in (0.174 / 0.10, 0.25 / 0.174))
    stated = run("a", 0.174, None, se=0.174 * sum(sds) / 2, log_sds=sds)
    others = [
        run(m, 0.1, se=0.01, paired_se=0.002, configuration=Configuration(model=m))
        for m in ("tiny", "small", "medium", "tiny.en")
    ]
    planner = Planner(Evidence(task="asr", study="world", observations=(stated, *others)))
    (found,) = planner.predict([BASE], 0.95)
    assert (found["wer"].lower, found["wer"].upper) == pytest.approx((0.10, 0.25), rel=1e-5)
    (narrower,) = planner.predict([BASE], 0.5)
    assert found["wer"].lower < narrower["wer"].lower < narrower["wer"].upper < found["wer"].upper


def test_draws_of_a_stated_interval_are_those_of_its_ends():
    from planner.lattice import Lattice

    sds = (0.3, 0.1)
    stated = run("a", 0.2, None, se=0.04, log_sds=sds)
    others = [
        run(m, 0.1, se=0.01, paired_se=0.002, configuration=Configuration(model=m))
        for m in ("tiny", "small", "medium", "tiny.en")
    ]
    planner = Planner(Evidence(task="asr", study="world", observations=(stated, *others)))
    lattice = Lattice.of([BASE], "asr")
    quality = planner.quality.predict(lattice, level=0.9, draws=20_000)
    draws = quality.draws_of(0)
    inside = ((draws >= quality.lower[0]) & (draws <= quality.upper[0])).mean()
    assert inside == pytest.approx(0.9, abs=0.02)
