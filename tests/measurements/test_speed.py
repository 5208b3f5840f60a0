"""Times of real runs against what else is known of their device."""

import numpy as np
import pytest

from measurements.records import (
    DatasetInfo,
    DeviceInfo,
    DeviceTiming,
    Measurement,
    Metric,
    TimingSample,
)
from measurements.speed import speed_of
from measurements.store import Store
from measurements.timing import real_time_factors
from models_registry import Configuration

BOX = DeviceInfo(id="cpu-box-2t", kind="cpu", name="a box", threads=2)
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
    same = speed_of(usual, store, 0.9)
    assert same.inside
    assert same.device == BOX.id
    assert same.predicted.unit == "s/s"
    assert same.predicted.basis == "interpolated"
    other = Configuration(model="tiny", token_stride=2, reduction_layer=4)
    slow = speed_of(measured(other, samples(5, 9), key="slow"), store, 0.9)
    assert not slow.inside
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
    run = measured(Configuration(model="base", window_s=12), samples(3), key="busy")
    speed = speed_of(run.model_copy(update={"others_cpu_share": 0.86}), store, 0.9)
    assert speed.inside is None
    assert "86" in speed.contention
    assert speed_of(run, store, 0.9).inside is False
