"""Leaving one architecture out, on a device whose truth is known."""

import numpy as np

from models_registry import Configuration
from planner.device import DeviceEvidence, TimedRun, fit_device
from planner.device.check import leave_one_architecture_out
from tests.planner.test_device import RATES, runs

TIMED = [
    Configuration(model=model, window_s=window_s)
    for model in ("tiny", "tiny.en", "base", "small", "medium")
    for window_s in (10, 30)
]


def test_a_device_that_follows_the_model_is_predicted_and_covered():
    made = runs(TIMED, np.random.default_rng(0), noise=0.03)
    check = leave_one_architecture_out("d", DeviceEvidence(RATES, tuple(made)))
    assert (check.groups, check.configurations) == (4, 30)
    assert check.median_error < 0.15
    assert check.coverage >= 0.8


def test_a_twin_is_not_predicted_from_its_twin():
    """tiny and tiny.en leave together: a secret of their shape can't be known."""
    made = runs(TIMED, np.random.default_rng(0), noise=0.03)
    odd = [
        run.__class__(
            run.configuration, run.passes,
            {phase: 5 * s for phase, s in run.phases_s.items()},
        )
        if "tiny" in run.configuration.model
        else run
        for run in made
    ]  # fmt: skip
    assert leave_one_architecture_out("d", DeviceEvidence(RATES, tuple(odd))).coverage < 0.8


def test_what_each_model_has_of_its_own_widens_the_others():
    """Models off the law by a fifth each: known ones stay narrow, others are covered."""
    rng = np.random.default_rng(1)
    names = ("tiny", "base", "small", "medium", "large-v3", "distil-small.en", "distil-large-v3")
    every = [Configuration(model=name, window_s=w) for name in names for w in (10, 20, 30)]
    own = {name: float(np.exp(0.2 * rng.standard_normal())) for name in names}
    made = [
        TimedRun(
            run.configuration,
            run.passes,
            {
                phase: s * own[run.configuration.model.removeprefix("whisper-")]
                for phase, s in run.phases_s.items()
            },
        )
        for run in runs(every, rng, noise=0.02)
    ]
    known = DeviceEvidence(RATES, tuple(made))
    fitted = fit_device("d", known).fits["fp32"]
    assert fitted.stretch_of_others > fitted.stretch
    assert leave_one_architecture_out("d", known).coverage >= 0.7


def test_too_few_architectures_say_nothing():
    made = runs(TIMED[:6], np.random.default_rng(0))
    assert leave_one_architecture_out("d", DeviceEvidence(RATES, tuple(made))) is None
