"""The latency model on devices whose truth is known."""

import numpy as np
import pytest

from models_registry import Configuration
from planner.latency import PHASES, DeviceRates, TimedRun, fit_latency, work

RATES = DeviceRates(flops_per_s=2e11, bytes_per_s=2e10, layer_s=5e-4, source="made up")


def true_seconds(configuration, windows, tokens):
    amounts = amounts_of(configuration, windows, tokens)
    units = {
        "features": [8e-6],
        "encoder": [5e-4, 1 / 1.2e11],
        "prefill": [1e-3, 1 / 0.8e11],
        "decode": [6e-4, 1 / 0.9e10, 1 / 1.5e10],
    }
    return {phase: float((amounts[phase] @ np.array(units[phase]))[0]) for phase in PHASES}


def amounts_of(configuration, windows, tokens):
    return work(
        configuration.architecture,
        frames=configuration.frames,
        token_stride=configuration.token_stride,
        reduction_layer=configuration.reduction_layer,
        precision=configuration.precision,
        windows=windows,
        output_tokens=tokens,
    )


def runs(configurations, rng, noise=0.05):
    made = []
    for configuration in configurations:
        for tokens in (10, 25, 40):
            seconds = true_seconds(configuration, 1, tokens)
            noisy = {p: s * np.exp(noise * rng.standard_normal()) for p, s in seconds.items()}
            made.append(TimedRun(configuration, ((configuration.frames, tokens),), noisy))
    return made


TRAINED = [
    Configuration(model=model, window_s=window_s)
    for model in ("tiny.en", "base", "small.en")
    for window_s in (10, 20, 30)
]
HELD_OUT = [
    Configuration(model="tiny.en", window_s=15, token_stride=2, reduction_layer=0),
    Configuration(model="base", window_s=25, token_stride=1.5, reduction_layer=3),
    Configuration(model="medium.en", window_s=20),
]


def test_predicts_configurations_it_was_not_timed_on():
    model = fit_latency("d", RATES, runs(TRAINED, np.random.default_rng(0)))
    for configuration in HELD_OUT:
        centre, spread = model.log_seconds(amounts_of(configuration, 1, 25), "fp32")
        truth = np.log(sum(true_seconds(configuration, 1, 25).values()))
        assert abs(centre[0] - truth) < 0.15
        assert abs(centre[0] - truth) < 3 * spread[0]


def test_a_device_never_timed_is_answered_widely():
    timed = fit_latency("d", RATES, runs(TRAINED, np.random.default_rng(0)))
    never = fit_latency("d", RATES, [])
    amounts = amounts_of(HELD_OUT[0], 1, 25)
    assert never.log_seconds(amounts, "fp32")[1][0] > 4 * timed.log_seconds(amounts, "fp32")[1][0]
    assert "never timed" in never.source
    assert timed.fits["fp32"].runs == 27
    # A precision of the device that was never timed is as unsure as the device would be.
    assert timed.log_seconds(amounts, "int8")[1][0] > 0.3


def test_measured_configurations_are_answered_as_measured():
    made = runs(TRAINED, np.random.default_rng(0))
    slow = Configuration(model="tiny.en", window_s=12)
    tripled = {phase: 3 * s for phase, s in true_seconds(slow, 1, 25).items()}
    surprise = [TimedRun(slow, ((slow.frames, 25),), tripled)] * 3
    correction, error = fit_latency("d", RATES, [*made, *surprise]).corrections[slow]
    centre, _ = fit_latency("d", RATES, [*made, *surprise]).log_seconds(
        amounts_of(slow, 1, 25), "fp32"
    )
    measured = np.log(3 * sum(true_seconds(slow, 1, 25).values()))
    assert centre[0] + correction == pytest.approx(measured, abs=1e-6)
    assert error < 0.1


def test_fitting_is_deterministic():
    made = runs(TRAINED, np.random.default_rng(0))
    one, other = fit_latency("d", RATES, made, seed=3), fit_latency("d", RATES, made, seed=3)
    for phase in PHASES:
        np.testing.assert_array_equal(
            one.fits["fp32"].seconds_per_unit[phase], other.fits["fp32"].seconds_per_unit[phase]
        )
