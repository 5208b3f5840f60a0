"""How often windows are expected to be run again."""

import numpy as np
import pytest

from models_registry import Configuration
from planner.evidence import Observation
from planner.lattice import Lattice
from planner.retries import retry_rates


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


def test_a_measured_rate_is_kept_and_neighbours_follow_it():
    seen = [observed(SHORT, 300, 1000), observed(MIDDLE, 10, 1000)]
    near_short = Configuration(model="tiny.en", window_s=8, token_stride=1.2, reduction_layer=2)
    near_middle = Configuration(model="base", window_s=16)
    rates = rates_of([SHORT, MIDDLE, near_short, near_middle], seen)
    assert rates[0] == pytest.approx(0.3, abs=0.01)
    assert rates[1] == pytest.approx(0.01, abs=0.01)
    assert rates[2] > 0.2 > 0.1 > rates[3] > 0.01


def test_no_retry_where_there_is_no_longer_window():
    seen = [observed(SHORT, 300, 1000)]
    full = Configuration(model="tiny.en")
    truncated = Configuration(model="tiny.en", window_s=8, window_policy="truncate")
    emotion = Configuration(task="ser", model="tiny.en", window_s=4)
    assert rates_of([full, truncated], seen).tolist() == [0, 0]
    assert rates_of([emotion], seen).tolist() == [0]


def test_none_in_a_few_windows_is_not_never():
    (rate,) = rates_of([SHORT], [observed(SHORT, 0, 10), observed(MIDDLE, 50, 1000)])
    assert 0 < rate < 0.05


def test_without_counts_nothing_is_expected():
    assert np.all(rates_of([SHORT], []) == 0)
