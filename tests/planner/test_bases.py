"""What times, memory and precisions of an answer rest on."""

import numpy as np
import pytest

from models_registry import Configuration
from models_registry.devices import DEVICES as SHEETS
from planner.costing import GIB
from planner.device import DeviceEvidence, DeviceRates, MemoryPeak, RuntimeMemory
from planner.evidence import Evidence
from planner.question import Budget, Question
from planner.recommend import Planner
from planner.workload import Workload
from tests.planner.test_device import TRAINED, runs
from tests.planner.test_recommend import STAR, observed

RATES = DeviceRates(2e11, 2e10, 5e-4, "made up")
PEAKS = tuple(MemoryPeak(size, 1.1 * size) for size in np.geomspace(1e8, 1e9, 12))
RUNTIME = RuntimeMemory("torch", "cpu", None, 500e6, 0.1, measured=True, source="a test")
TIMED = tuple(runs(TRAINED, np.random.default_rng(0)))
STUDIED = Workload(durations_s=(4.0, 9.5), tokens_per_audio_s=3.0)
TIMED_ONE = Configuration(model="tiny.en", window_s=10)


def evidence(**fields):
    return Evidence(
        task="asr",
        study="world",
        observations=tuple(observed([*STAR, TIMED_ONE])),
        workload=STUDIED,
        devices={
            "box": DeviceEvidence(RATES, TIMED, PEAKS),
            "sheet": DeviceEvidence(RATES),
            "half": DeviceEvidence(RATES, native=frozenset({"fp32", "fp16"})),
        },
        runtimes=(RUNTIME,),
        runnable=frozenset({"whisper-tiny.en"}),
        **fields,
    )


@pytest.fixture(scope="module")
def planner():
    return Planner(evidence(here="box"))


def question(workload=None, device="box", models=None, **bounds):
    return Question(budget=Budget(**bounds), device=device, workload=workload, models=models)


def costs_of(planner, configuration, asked):
    rows = planner.lattice(asked)
    costs = planner.table(rows, asked).costs
    return costs, int(rows.rows_of([configuration])[0])


def test_a_time_is_measured_where_recordings_like_these_were_timed(planner):
    """Catches 300 s that nobody ever ran and a p95 of them, both called measured."""
    own, row = costs_of(planner, TIMED_ONE, question(rtf=9))
    assert own.basis_of("rtf", row) == own.basis_of("latency_p95_s", row) == "measured"
    long, row = costs_of(planner, TIMED_ONE, question(STUDIED.only(300.0), rtf=9))
    assert long.basis_of("rtf", row) == long.basis_of("latency_p50_s", row) == "interpolated"
    assert long.log_sd["rtf"][row] > own.log_sd["rtf"][row]
    one_long = Workload(durations_s=(4.0, 9.5, 300.0), weights=(50, 49, 1), tokens_per_audio_s=3)
    mixed, row = costs_of(planner, TIMED_ONE, question(one_long, rtf=9))
    assert mixed.basis_of("latency_p50_s", row) == "measured"


@pytest.mark.parametrize(
    ("model", "precision", "basis"),
    [
        ("base.en", "fp32", "interpolated"),
        ("large-v3", "fp32", "extrapolated"),
        ("base", "bf16", "extrapolated"),
    ],
)
def test_a_time_is_extrapolated_beyond_the_shapes_and_precisions_timed(
    planner, model, precision, basis
):
    """Catches a device that is trusted with large-v3 since tiny and small were timed on it."""
    asked = question(rtf=100)
    configuration = Configuration(model=model, precision=precision, window_s=20)
    found = planner.table(planner.lattice(asked).of([configuration]), asked).costs
    assert found.basis_of("rtf", 0) == basis


def test_a_time_that_was_never_measured_here_calls_for_a_run_where_it_decides(planner):
    """Catches a budget of time that rests on a model's size alone, on the machine to run it."""

    def reasons(planner, **asked):
        plan = planner.recommend(question(models=("large-v3",), **asked)).verification
        return [reason for reason in plan.reasons if "timed here" in reason]

    (reason,) = reasons(planner, rtf=100)
    assert "rtf may be off" in reason
    assert reasons(planner, gflops_per_utterance=1e4) == []
    assert reasons(planner, rtf=100, device="sheet") == []
    elsewhere = Planner(evidence())
    assert reasons(elsewhere, rtf=100) == []


def test_memory_has_an_interval_and_says_what_it_rests_on(planner):
    """Catches a closed form that is held with 100 %, on a device or on none."""
    for device, basis, said in (
        (None, "extrapolated", "no device is named"),
        ("box", "interpolated", "12 measured peaks on box"),
    ):
        asked = question(device=device, memory_gib=1.0)
        answer = planner.recommend(asked)
        memory = answer.predictions["memory_gib"]
        assert memory.lower < memory.mean < memory.upper
        assert memory.basis == basis
        assert said in memory.provenance
        assert RUNTIME.source in memory.provenance
        parts = answer.costs.memory_bytes
        assert sum(parts.values()) == pytest.approx(memory.mean * GIB, abs=1)
        assert parts["runtime"] >= RUNTIME.bytes
        assert memory.mean == pytest.approx(answer.costs.memory_gib)
        costs, row = costs_of(planner, answer.configuration, asked)
        assert costs.holding("memory_gib", memory.mean, row) == pytest.approx(0.5)


def test_a_device_is_offered_the_precisions_that_it_runs(planner):
    """Catches bf16 for a T4, which has none, and fp16 for no device at all."""
    bf16 = Configuration(model="base", precision="bf16")
    planner = Planner(
        Evidence(
            task="asr",
            study="world",
            observations=tuple(observed([*STAR, bf16])),
            devices=planner.evidence.devices,
        )
    )

    def offered(device):
        labels = planner.lattice(question(device=device, parameters=1e9)).labels["precision"]
        return {labels[row] for row in range(len(labels))}

    assert offered("half") == {"fp32", "fp16"}
    assert offered("sheet") == offered(None) == {"fp32", "bf16"}
    assert "bf16" not in SHEETS.get("t4").precisions
    assert {"bf16", "fp16"} <= SHEETS.get("h100").precisions
