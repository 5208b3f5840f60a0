"""Memory of a process: the runtime, and what the closed form takes beside it."""

import numpy as np
import pytest

from models_registry import Configuration
from planner.costing import GIB, all_costs
from planner.device import DeviceEvidence, DeviceRates, MemoryPeak, RuntimeMemory, fit_device
from planner.device.memory import ASSUMED, fit_own, log_process_bytes, runtime_of
from planner.evidence import Evidence
from planner.lattice import Lattice
from planner.question import Setting

RATES = DeviceRates(1e11, 1e10, 1e-3, "made up")


def runtime(precision="fp32", kind="cpu", engine="torch", size=500e6, log_sd=0.1):
    return RuntimeMemory(engine, kind, precision, size, log_sd, measured=True, source="a test")


def costs_of(configurations, runtimes=(), device=None):
    evidence = Evidence("asr", "none", (), runtimes=tuple(runtimes))
    return all_costs(Lattice.of(configurations), Setting(), evidence, device)


def test_the_runtime_is_that_of_the_engine_the_kind_and_the_precision():
    known = [
        runtime("fp32"),
        runtime("int8", size=600e6),
        runtime(None, kind="cuda", size=400e6),
        runtime("fp32", engine="other", size=100e6),
    ]
    assert runtime_of(known, "cpu", "fp32").bytes == 500e6
    assert runtime_of(known, "cpu", "int8").bytes == 600e6
    assert runtime_of(known, "cpu", "fp32", "other").bytes == 100e6
    assert runtime_of(known, "cuda", "bf16").bytes == 400e6
    unknown = runtime_of(known, "cpu", "fp16")
    assert (unknown.bytes, unknown.measured) == (600e6, False)
    assert runtime_of((), "cuda", "fp32") == ASSUMED["cuda"]
    assert not any(one.measured for one in ASSUMED.values())


def test_peaks_beyond_the_baseline_do_not_count_the_runtime_twice():
    sizes = np.array([3e7, 1.5e8, 4e8, 1e9, 3e9])
    peaks = tuple(MemoryPeak(size, 1.02 * size + 3e7) for size in sizes)
    model = fit_device("d", DeviceEvidence(RATES, memory=peaks, kind="cpu"))
    own, base, sure = np.array([6e7, 2e9]), np.full(2, 5e8), np.zeros(2)
    centre, spread = log_process_bytes(own, model.memory, base, sure)
    np.testing.assert_allclose(np.exp(centre), 5e8 + 1.02 * own, rtol=0.03)
    never = log_process_bytes(own, fit_own((), "cpu"), base, sure)[1]
    assert (spread < never).all()


def test_the_spread_of_a_small_model_is_that_of_the_runtime():
    own, base = np.array([1e6, 1e12]), np.full(2, 5e8)
    memory = fit_own((), "cpu")
    spread = log_process_bytes(own, memory, base, np.full(2, 0.2))[1]
    assert spread[0] == pytest.approx(0.2, rel=0.02)
    assert spread[1] == pytest.approx(memory.covariance[0, 0] ** 0.5, rel=0.02)


def test_a_budget_that_the_runtime_alone_breaks_is_not_held():
    """Catches a runtime that is left out: base needs more than 0.3 GiB whatever its precision."""
    configurations = [Configuration(model="base", precision=p) for p in ("fp32", "bf16", "int8")]
    known = [runtime(p) for p in ("fp32", "bf16", "int8")]
    for costs in (costs_of(configurations), costs_of(configurations, known)):
        for row in range(3):
            assert costs.holding("memory_gib", 0.3, row) < 0.05
            assert costs.holding("memory_gib", 2.0, row) > 0.9
            assert costs.centre["memory_gib"][row] > 500e6 / GIB


def test_each_row_has_the_runtime_of_its_precision_and_of_its_device():
    rows = [Configuration(model="base", precision=p) for p in ("fp32", "int8", "fp32")]
    known = [runtime("fp32"), runtime("int8", size=900e6), runtime(None, "cuda", size=100e6)]
    plain = costs_of(rows, [*known[:1], runtime("int8")]).centre["memory_gib"] * GIB
    more = costs_of(rows, known).centre["memory_gib"] * GIB
    np.testing.assert_allclose(more - plain, [0, 400e6, 0], atol=1)
    gpu = fit_device("g", DeviceEvidence(RATES, kind="cuda"))
    there = costs_of(rows[:1], known, gpu).centre["memory_gib"] * GIB
    assert there[0] < plain[0] - 350e6


def test_what_memory_rests_on_says_whether_the_runtime_was_measured():
    row = [Configuration(model="base")]
    cpu = fit_device("d", DeviceEvidence(RATES, kind="cpu"))
    assert costs_of(row, [runtime()], cpu).basis_of("memory_gib", 0) == "interpolated"
    assert costs_of(row, [], cpu).basis_of("memory_gib", 0) == "extrapolated"
    # Without a device a CPU is assumed.
    assert costs_of(row, [runtime()]).basis_of("memory_gib", 0) == "extrapolated"
