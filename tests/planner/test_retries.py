"""How often windows are expected to be run again, and how surely."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_registry import Configuration
from planner.costing import all_costs
from planner.evidence import Evidence, Observation
from planner.lattice import Lattice
from planner.question import Setting
from planner.retries import retry_rates
from planner.workload import Workload


def observed(configuration, retried, windows):
    return Observation(
        key=configuration.key,
        study="s",
        configuration=configuration,
        error=0.1,
        error_se=0.01,
        source="measured",
        provenance="a test",
        windows=windows,
        retried=retried,
    )


def rates_of(configurations, observations):
    return retry_rates(Lattice.of(configurations), observations)


SHORT = Configuration(model="tiny.en", window_s=8)
MIDDLE = Configuration(model="tiny.en", window_s=15)
FULL = Configuration(model="tiny.en")
TRUNCATED = Configuration(model="tiny.en", window_s=8, window_policy="truncate")
EMOTION = Configuration(task="ser", model="tiny.en", window_s=4)


def test_a_measured_rate_is_kept_and_neighbours_follow_it():
    seen = [observed(SHORT, 300, 1000), observed(MIDDLE, 10, 1000)]
    near_short = Configuration(model="tiny.en", window_s=8, token_stride=1.2, reduction_layer=0)
    near_middle = Configuration(model="tiny.en", window_s=16)
    rates = rates_of([SHORT, MIDDLE, near_short, near_middle], seen).mean
    assert rates[0] == pytest.approx(0.3, abs=0.02)
    assert rates[1] == pytest.approx(0.01, abs=0.01)
    assert rates[2] > 0.2 > 0.1 > rates[3] > 0.005


def test_what_was_counted_is_surer_than_its_neighbours_and_they_than_another_model():
    seen = [observed(SHORT, 30, 200), observed(MIDDLE, 10, 200)]
    between = Configuration(model="tiny.en", window_s=11)
    other = Configuration(model="large-v3", window_s=8)
    own, near, far = rates_of([SHORT, between, other], seen).sd
    assert 0 < own < near
    assert own < far


@given(retried=st.integers(0, 100), windows=st.integers(100, 1000))
def test_a_rate_is_one_and_has_a_spread_where_something_can_be_run_again(retried, windows):
    found = rates_of([SHORT, MIDDLE, FULL], [observed(SHORT, retried, windows)])
    assert np.all((found.mean[:2] > 0) & (found.mean[:2] < 1))
    assert np.all(found.sd[:2] > 0)
    assert found.mean[2] == found.sd[2] == 0


def test_more_windows_make_it_surer():
    spreads = [rates_of([SHORT], [observed(SHORT, n // 10, n)]).sd[0] for n in (50, 500, 5000)]
    assert spreads[0] > spreads[1] > spreads[2] > 0


def test_no_retry_where_there_is_no_longer_window():
    seen = [observed(SHORT, 300, 1000)]
    for rates in (rates_of([FULL, TRUNCATED], seen), rates_of([EMOTION], seen)):
        assert not rates.mean.any()
        assert not rates.sd.any()


def test_none_in_a_few_windows_is_not_never():
    (rate,) = rates_of([SHORT], [observed(SHORT, 0, 10), observed(MIDDLE, 50, 1000)]).mean
    assert 0 < rate < 0.05


def test_without_counts_nothing_is_expected_but_it_is_not_sure():
    rates = rates_of([SHORT, FULL], [])
    assert not rates.mean.any()
    assert rates.sd[0] > 0
    assert rates.sd[1] == 0


def test_flops_are_exact_only_where_nothing_can_be_run_again():
    evidence = Evidence("asr", "s", (observed(SHORT, 20, 100), observed(MIDDLE, 2, 100)))
    rows = [SHORT, FULL, TRUNCATED]
    costs = all_costs(Lattice.of(rows), Setting(), evidence, None)
    assert [costs.exact("gflops_per_utterance", row) for row in range(3)] == [False, True, True]
    assert [costs.exact("parameters", row) for row in range(3)] == [True, True, True]
    lower, upper = costs.interval("gflops_per_utterance", 0.9, 0)
    assert lower < costs.centre["gflops_per_utterance"][0] < upper
    again = Setting(convention="seed-2606.22790")
    assert all_costs(Lattice.of(rows), again, evidence, None).exact("gflops_per_utterance", 0)


def test_recordings_that_are_cut_are_not_counted_exactly():
    evidence = Evidence("asr", "s", (observed(SHORT, 20, 100),))
    for duration_s, exact in ((10.0, True), (90.0, False)):
        setting = Setting(workload=Workload.fixed(duration_s))
        costs = all_costs(Lattice.of([FULL]), setting, evidence, None)
        assert costs.exact("gflops_per_utterance", 0) == exact
