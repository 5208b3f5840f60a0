"""The latency model on devices whose truth is known."""

import numpy as np
import pytest

from models_registry import Configuration
from planner.device import (
    PHASES,
    DeviceEvidence,
    DeviceRates,
    TimedRun,
    fit_device,
)
from planner.device.work import read_out_work, run_work, work

RATES = DeviceRates(flops_per_s=2e11, bytes_per_s=2e10, layer_s=5e-4, source="made up")


def true_seconds(configuration, windows, tokens):
    amounts = amounts_of(configuration, windows, tokens)
    units = {
        "features": [8e-6],
        "encoder": [5e-4, 1 / 1.2e11],
        "prefill": [1e-3, 1 / 0.8e11],
        "decode": [6e-4, 1 / 0.9e10, 1 / 1.5e10, 1 / 2e11],
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


def fit(device, made, seed=0):
    return fit_device(device, DeviceEvidence(RATES, tuple(made)), seed=seed)


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
    model = fit("d", runs(TRAINED, np.random.default_rng(0)))
    for configuration in HELD_OUT:
        centre, spread = model.log_seconds(amounts_of(configuration, 1, 25), configuration)
        truth = np.log(sum(true_seconds(configuration, 1, 25).values()))
        assert abs(centre[0] - truth) < 0.15
        assert abs(centre[0] - truth) < 3 * spread[0]


def test_a_device_never_timed_is_answered_widely():
    timed = fit("d", runs(TRAINED, np.random.default_rng(0)))
    never = fit("d", [])
    asked = HELD_OUT[0]
    amounts = amounts_of(asked, 1, 25)
    assert never.log_seconds(amounts, asked)[1][0] > 4 * timed.log_seconds(amounts, asked)[1][0]
    assert "never timed" in never.source
    assert timed.fits["fp32"].runs == 27
    # A precision of the device that was never timed is as unsure as the device would be.
    rounded = asked.model_copy(update={"precision": "int8"})
    assert timed.log_seconds(amounts, rounded)[1][0] > 0.3


def test_measured_configurations_are_answered_as_measured():
    made = runs(TRAINED, np.random.default_rng(0))
    slow = Configuration(model="tiny.en", window_s=12)
    tripled = {phase: 3 * s for phase, s in true_seconds(slow, 1, 25).items()}
    surprise = [TimedRun(slow, ((slow.frames, 25),), tripled)] * 3
    timed = fit("d", [*made, *surprise]).timed[slow]
    centre, _ = fit("d", [*made, *surprise]).log_seconds(amounts_of(slow, 1, 25), slow)
    measured = np.log(3 * sum(true_seconds(slow, 1, 25).values()))
    assert centre[0] + timed.log_ratio == pytest.approx(measured, abs=1e-6)
    assert timed.sd < 0.1
    # Of ten times as much, nothing was timed.
    assert timed.like(float(centre[0]))
    assert not timed.like(float(centre[0]) + np.log(10))


def test_fitting_is_deterministic():
    made = runs(TRAINED, np.random.default_rng(0))
    one, other = fit("d", made, seed=3), fit("d", made, seed=3)
    for phase in PHASES:
        np.testing.assert_array_equal(
            one.fits["fp32"].units[phase].log, other.fits["fp32"].units[phase].log
        )


def test_a_batch_shares_launches_and_weights():
    """Eight windows together take less than eight alone, and no less than their arithmetic."""
    alone = Configuration(model="base", window_s=10)
    together = Configuration(model="base", window_s=10, batch_size=8)
    one = run_work(TimedRun(alone, ((500, 20),), {}))
    eight = run_work(TimedRun(together, ((500, 20),) * 8, {}))
    np.testing.assert_allclose(eight["encoder"], one["encoder"] * [1, 8])
    np.testing.assert_allclose(eight["decode"], one["decode"] * [1, 1, 8, 8])
    # All of them go on until the longest has ended.
    uneven = run_work(TimedRun(together, (*(((500, 5),) * 7), (500, 20)), {}))
    np.testing.assert_allclose(uneven["decode"], eight["decode"])


def test_an_early_exit_runs_fewer_layers():
    whole = Configuration(task="ser", model="wav2vec2-base", window_s=3)
    half = Configuration(task="ser", model="wav2vec2-base", window_s=3, exit_layer=6)
    deep, early = read_out_work(whole, 150)["encoder"], read_out_work(half, 150)["encoder"]
    assert early[0, 0] == deep[0, 0] - 6
    assert 0.5 * deep[0, 1] < early[0, 1] < deep[0, 1]
    # Short clips are run at their own length.
    assert read_out_work(whole, 50)["encoder"][0, 1] < 0.4 * deep[0, 1]


def test_encoders_alone_are_predicted_from_their_runs():
    made = []
    rng = np.random.default_rng(0)
    for model in ("tiny", "base", "small", "wav2vec2-base"):
        for window_s in (1, 2, 4):
            c = Configuration(task="ser", model=model, window_s=window_s)
            amounts = read_out_work(c, 50 * window_s)["encoder"][0]
            seconds = amounts @ [3e-4, 1 / 1.1e11] * np.exp(0.03 * rng.standard_normal())
            made.append(TimedRun(c, ((50 * window_s, 0),), {"features": 5e-4, "encoder": seconds}))
    asked = Configuration(task="ser", model="medium", window_s=3)
    amounts = read_out_work(asked, 150)
    centre, spread = fit("d", made).log_seconds(amounts, asked)
    truth = np.log(amounts["encoder"][0] @ [3e-4, 1 / 1.1e11])
    assert abs(centre[0] - truth) < min(0.15, 3 * spread[0])


def test_power_is_what_was_counted_or_a_share_of_what_is_stated():
    stated = DeviceRates(1e14, 1e12, 1e-4, "a sheet", power_w=400)
    assert fit_device("d", DeviceEvidence(RATES)).power_w is None
    watts, spread = fit_device("d", DeviceEvidence(stated)).power_w
    assert 100 < watts < 400
    assert spread > 0.2
    counted = fit_device("d", DeviceEvidence(stated, power_w=(240, 250, 260)))
    assert counted.power_w[0] == pytest.approx(250)
    assert counted.power_w[1] < 0.1
