"""Number formats on devices that were not timed in them."""

from dataclasses import replace

import numpy as np
import pytest

from planner.device import DeviceEvidence, fit_device
from planner.device.precisions import ELSEWHERE_SD, UNKNOWN_SD, learn
from tests.planner.test_device import RATES, TRAINED, amounts_of, runs

ASKED = TRAINED[4]


def in_precision(precision, slower):
    made = runs([c.model_copy(update={"precision": "fp32"}) for c in TRAINED], rng(), noise=0.0)
    return [
        replace(
            run,
            configuration=run.configuration.model_copy(update={"precision": precision}),
            phases_s={phase: slower * s for phase, s in run.phases_s.items()},
        )
        for run in made
    ]


def rng():
    return np.random.default_rng(0)


def asked_of(devices, device, precision):
    model = fit_device(device, devices[device], offsets=learn(device, devices))
    configuration = ASKED.model_copy(update={"precision": precision})
    centre, sd = model.log_seconds(amounts_of(configuration, 1, 25), configuration)
    return float(centre[0]), float(sd[0]), model.source_of(precision)


def box(made=(), kind="cuda"):
    return DeviceEvidence(RATES, tuple(made), native=frozenset({"fp32", "int8"}), kind=kind)


def test_a_data_sheet_promises_no_gain_that_nobody_measured():
    """Catches weights of a quarter of the bytes that are answered with a quarter of the time."""
    plain, sure, _ = asked_of({"box": box()}, "box", "fp32")
    for precision in ("int8", "int4", "bf16"):
        centre, sd, source = asked_of({"box": box()}, "box", precision)
        assert centre == pytest.approx(plain, abs=1e-6)
        assert sd == pytest.approx(np.hypot(sure, UNKNOWN_SD), abs=1e-6)
        assert f"{precision} taken to gain nothing" in source


def test_a_format_is_what_it_was_on_devices_of_the_kind():
    """Catches int8 that is twice as fast as fp32 by a data sheet, and half as fast when timed."""
    timed = box([*in_precision("fp32", 1.0), *in_precision("int8", 2.0)])
    other = box([*in_precision("fp32", 1.0), *in_precision("int8", 0.5)], kind="cpu")
    devices = {"sheet": box(), "timed": timed, "processor": other}
    plain, sure, _ = asked_of(devices, "sheet", "fp32")
    centre, sd, source = asked_of(devices, "sheet", "int8")
    assert centre - plain == pytest.approx(np.log(2), abs=1e-6)
    assert sd == pytest.approx(np.hypot(sure, ELSEWHERE_SD), abs=1e-6)
    assert source.endswith("int8 by 27 configurations timed in int8 and fp32 on timed")


def test_a_device_timed_in_fp32_alone_is_moved_from_its_own_times():
    """Catches what was learned elsewhere that is put on a data sheet instead of on its times."""
    timed = box([*in_precision("fp32", 1.0), *in_precision("int8", 2.0)])
    devices = {"timed": timed, "half": box(in_precision("fp32", 3.0))}
    plain, _, source = asked_of(devices, "half", "fp32")
    assert source == "27 timed runs on half"
    assert asked_of(devices, "half", "int8")[0] - plain == pytest.approx(np.log(2), abs=0.01)


def test_nothing_is_learned_for_a_device_that_was_timed_in_all():
    """Catches its own runs that are taken for another's, and work for nothing."""
    timed = box([*in_precision("fp32", 1.0), *in_precision("int8", 2.0)])
    assert learn("timed", {"timed": timed, "twin": timed}) == {}
