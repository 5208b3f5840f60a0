"""Times of real runs against what else is known of their device."""

import numpy as np
import pytest

from measurements.profiles import all_device_timings, device_evidence
from measurements.records import (
    DatasetInfo,
    DeviceInfo,
    DeviceTiming,
    Measurement,
    Metric,
    TimingSample,
)
from measurements.speed import ShownRtf, speed_of
from measurements.store import Store
from measurements.timing import real_time_factors
from models_registry import Configuration
from planner.answer import Estimate
from planner.costing import rtf_by_phase
from planner.device import model_of
from planner.workload import Workload

BOX = DeviceInfo(id="cpu-box-2t", kind="cpu", name="a box", threads=2)
USUAL = Workload(durations_s=(8.0,), tokens_per_audio_s=2.5)
SECONDS = {"features": 0.02, "encoder": 0.6, "prefill": 0.01, "decode": 0.2}


def samples(times, seed=0, window_s=30):
    """So many times as long as usual."""
    rng = np.random.default_rng(seed)
    seconds = SECONDS | {"encoder": SECONDS["encoder"] * window_s / 30}
    return tuple(
        TimingSample(
            utterance=name,
            audio_s=8.0,
            passes=((50 * window_s, 20),),
            phases_s={p: s * times * rng.lognormal(0, 0.02) for p, s in seconds.items()},
        )
        for name in "aab"
    )


def measured(configuration, timings, device=BOX, key="run"):
    return Measurement(
        key=key * 16,
        study="asr-x",
        configuration=configuration,
        source="measured",
        provenance="a test",
        dataset=DatasetInfo(name="x"),
        metric=Metric(name="wer", value=0.1),
        device=device,
        timings=timings,
        rtf={"total": real_time_factors(timings)["total"][0]} if timings else {},
    )


def shown(configuration, store, workload=USUAL):
    """What an answer shows of a configuration on the device that was calibrated."""
    model = model_of(BOX.id, device_evidence(all_device_timings(store)))
    mean = sum(rtf_by_phase(configuration, workload, model, 0.0).values())
    return ShownRtf(
        device=BOX.id,
        workload=workload,
        retries=0.0,
        predicted=Estimate(
            mean=mean,
            lower=mean / 2,
            upper=mean * 2,
            level=0.9,
            unit="s/s",
            basis="interpolated",
            source="predicted",
            provenance="a test",
        ),
    )


@pytest.fixture
def store(tmp_path):
    """A device with a few calibrations of one model."""
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    for number, window_s in enumerate((30, 25, 20, 15)):
        store.add_device_timing(
            DeviceTiming(
                key=f"{number}" * 64,
                configuration=Configuration(model="tiny.en", window_s=window_s),
                device=BOX,
                protocol="a test",
                samples=samples(1, number, window_s),
            )
        )
    yield store
    store.close()


def test_a_run_is_as_fast_as_others_of_its_kind_or_not(store):
    """Catches a verdict that compares a run with itself, and one that never fails."""
    unlike = Configuration(model="tiny")
    usual = measured(unlike, samples(1, 9))
    store.add_measurement(usual)
    same = speed_of(usual, store, 0.9, shown(unlike, store))
    assert same.inside
    assert same.device == BOX.id
    assert same.predicted.unit == "s/s"
    assert same.predicted.basis == "interpolated"
    other = Configuration(model="tiny", token_stride=2, reduction_layer=4)
    slow = speed_of(measured(other, samples(5, 9), key="slow"), store, 0.9, shown(other, store))
    assert slow.inside is False
    assert slow.measured == pytest.approx(5 * same.measured, rel=0.2)


def test_what_was_timed_before_or_never_is_no_prediction(store):
    """Catches a measurement that is counted as a prediction that came true."""
    known = Configuration(model="tiny.en", window_s=30)
    assert speed_of(measured(known, samples(1)), store, 0.9) is None
    assert speed_of(measured(Configuration(model="tiny"), ()), store, 0.9) is None
    nowhere = BOX.model_copy(update={"id": "cpu-elsewhere-9t"})
    elsewhere = measured(Configuration(model="tiny"), samples(1), nowhere)
    assert speed_of(elsewhere, store, 0.9) is None


def test_a_run_beside_other_work_judges_nothing(store):
    """Catches predictions that are said to be wrong since the machine was busy."""
    configuration = Configuration(model="base", window_s=12)
    figure = shown(configuration, store)
    run = measured(configuration, samples(30), key="busy")
    speed = speed_of(run.model_copy(update={"others_cpu_share": 0.86}), store, 0.9, figure)
    assert speed.inside is None
    assert "86" in speed.contention
    assert speed_of(run, store, 0.9, figure).inside is False


def test_the_figure_that_was_shown_is_judged_for_its_own_recordings(store):
    """Fails if a run is judged by the prediction for its own tokens, not by the one shown."""
    configuration = Configuration(model="tiny", window_s=30)
    run = measured(configuration, samples(1, 9))  # 8 s of audio a window
    short = Workload(durations_s=(2.0,), tokens_per_audio_s=3.0)
    figure = shown(configuration, store, short)
    speed = speed_of(run, store, 0.9, figure)
    assert (speed.shown, speed.inside) == (figure.predicted, True)
    # A window of 2 s of audio costs as much as one of 8 s, per second four times.
    assert speed.corrected > 2.5 * speed.measured
    assert speed.measured == run.rtf["total"]
    twice = measured(configuration, samples(2, 9), key="twice")
    doubled = speed_of(twice, store, 0.9, figure)
    assert doubled.corrected == pytest.approx(2 * speed.corrected, rel=0.05)
    # Of another device, or of none, nothing was shown.
    elsewhere = figure.model_copy(update={"device": "cpu-elsewhere-9t"})
    for other in (None, elsewhere):
        unjudged = speed_of(run, store, 0.9, other)
        assert (unjudged.shown, unjudged.inside) == (None, None)
        assert unjudged.not_judged
