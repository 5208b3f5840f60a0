"""Timing: the stopping rule on noise of known kinds, summaries, and what is absent."""

import sys
import time
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from measurements.datasets import open_dataset  # noqa: E402
from measurements.energy import energy_counter  # noqa: E402
from measurements.memory import (  # noqa: E402
    MemoryMeter,
    PeakMemory,
    free_bytes,
    measuring_bytes,
    release,
    used_bytes,
)
from measurements.records import TimingSample  # noqa: E402
from measurements.timing import (  # noqa: E402
    StoppingRule,
    latency_summary,
    measured_fields,
    quantile_interval,
    real_time_factors,
    repeat,
    time_utterances,
)
from models_registry.loading.clock import PassCounts, PhaseClock  # noqa: E402

CPU = torch.device("cpu")


def sampled(seconds, name="one", audio_s=10.0, **phases):
    phases = phases or {"encoder": seconds}
    return TimingSample(utterance=name, audio_s=audio_s, passes=((1500, 0),), phases_s=phases)


def spiky(rng, size):
    """One run in seven takes twice as long, as on a machine with other work."""
    return np.exp(0.05 * rng.standard_normal(size)) * np.where(rng.random(size) < 1 / 7, 2, 1)


@pytest.mark.parametrize(
    "draw", [lambda rng, size: np.exp(0.06 * rng.standard_normal(size)), spiky]
)
def test_the_interval_is_honest_although_it_decided_when_to_stop(draw):
    """A rule that stops on luck, or an interval of the mean, covers the median too rarely."""
    rng = np.random.default_rng(0)
    truth = float(np.median(draw(rng, 400_000)))
    rule, inside, stopped = StoppingRule(), 0, 0
    for _ in range(150):
        found = repeat([lambda: sampled(float(draw(rng, 1)[0]))], rule)
        lower, upper = quantile_interval([one.total_s for one in found])
        inside += lower <= truth <= upper
        stopped += len(found) < rule.max_repeats
    assert inside / 150 >= 0.89  # 0.95 less three standard errors
    assert stopped / 150 > 0.8


def test_quiet_recordings_stop_at_six_and_loud_ones_at_the_cap():
    rng = np.random.default_rng(0)
    quiet = repeat([lambda: sampled(1 + 0.001 * rng.random())], StoppingRule())
    assert len(quiet) == 6
    loud = repeat([lambda: sampled(rng.lognormal(0, 1))], StoppingRule(max_repeats=17))
    assert len(loud) == 17


def test_one_loud_recording_keeps_all_of_them_going():
    rng = np.random.default_rng(0)
    found = repeat(
        [lambda: sampled(1.0, "quiet"), lambda: sampled(rng.lognormal(0, 1), "loud")],
        StoppingRule(max_repeats=20),
    )
    assert [sum(s.utterance == name for s in found) for name in ("quiet", "loud")] == [20, 20]


def test_the_cap_of_seconds_is_kept_and_every_recording_run_once(monkeypatch):
    """Catches a cap that is checked after a run, and one that leaves a recording out."""
    now = 0.0

    def run(name):
        def timed():
            nonlocal now
            now += 0.125
            return sampled(0.125, name)

        return timed

    monkeypatch.setattr("measurements.timing.time", SimpleNamespace(perf_counter=lambda: now))
    runs = [run("a"), run("b")]
    found = repeat(runs, StoppingRule(max_seconds=0.7))
    assert (len(found), now) == (5, 0.625)
    assert [s.utterance for s in repeat(runs, StoppingRule(max_seconds=1e-9))] == ["a", "b"]


def test_real_time_factors_are_medians_summed_over_recordings():
    samples = [
        *(sampled(0, "short", 2.0, encoder=e, head=0.1) for e in (1.0, 9.0, 1.2, 1.1, 1.3, 1.4)),
        *(sampled(0, "long", 8.0, encoder=e, head=0.3) for e in (3.0, 3.1, 2.9, 3.2, 2.8, 3.0)),
    ]
    factors = real_time_factors(samples)
    assert set(factors) == {"encoder", "head", "total"}
    assert factors["encoder"][0] == pytest.approx((1.25 + 3.0) / 10)
    assert factors["head"][0] == pytest.approx(0.04)
    lower, upper = factors["encoder"][1]
    assert (lower, upper) == (pytest.approx((1.0 + 2.8) / 10), pytest.approx((9.0 + 3.2) / 10))
    assert real_time_factors(samples[:5])["total"][1] is None  # five repeats have no interval


def test_latency_is_over_recordings_and_repeats():
    samples = [sampled(s, name) for s in np.linspace(1, 2, 101) for name in ("a", "b")]
    summary = latency_summary(samples)
    assert (summary.n, summary.recordings) == (202, 2)
    assert summary.p50_s == pytest.approx(1.5)
    assert summary.p95_s == pytest.approx(1.95, abs=0.01)
    assert summary.p50_interval_s[0] < 1.5 < summary.p50_interval_s[1]
    assert summary.p95_interval_s[0] < 1.95 < summary.p95_interval_s[1]
    few = latency_summary(samples[:20])
    assert few.p50_interval_s is not None
    assert few.p95_interval_s is None  # nothing of 20 runs bounds their 95th percentile


class Worker:
    """A model that multiplies matrices: phases of its own, batches if asked."""

    device = CPU

    def run_timed(self, waveform, clock):
        with clock.phase("features"):
            matrix = torch.ones(200, 200)
        with clock.phase("head"):
            matrix @ matrix
        return PassCounts(((100, 0),))


class BatchWorker(Worker):
    def run_together(self, waveforms, clock):
        for waveform in waveforms:
            self.run_timed(waveform, clock)
        return PassCounts(((100, 0),) * len(waveforms))


def test_any_phases_are_summed_up_and_what_is_not_there_is_absent():
    speech = open_dataset("demo").utterances[:2]
    fields = measured_fields(Worker(), speech)
    assert set(fields["rtf"]) == {"features", "head", "total"}
    assert fields["joules_per_audio_second"] is None
    assert fields["peak_allocated_bytes"] is None
    assert "rtfx" not in fields
    together = measured_fields(BatchWorker(), speech)
    assert together["rtfx"] > 1
    assert together["rtfx_batch_size"] == 8


def test_memory_that_is_kept_for_others_is_not_the_configuration_s(monkeypatch):
    """What a sweep keeps for its other runs once made every peak look like 3 GB."""
    monkeypatch.setattr(MemoryMeter, "read", lambda self: PeakMemory(1000))
    speech = open_dataset("demo").utterances[:1]
    assert measured_fields(Worker(), speech, held_bytes=300)["peak_memory_bytes"] == 700
    monkeypatch.setattr(MemoryMeter, "read", lambda self: PeakMemory(None))
    assert measured_fields(Worker(), speech, held_bytes=300)["peak_memory_bytes"] is None


def test_energy_is_that_of_the_timed_runs_by_second_of_audio():
    speech = open_dataset("demo").utterances[:3]
    readings = iter([1000.0, 1060.0])
    timing = time_utterances(Worker(), speech, counter=lambda: next(readings))
    audio_s = sum(sample.audio_s for sample in timing.samples)
    assert timing.joules_per_audio_s == pytest.approx(60.0 / audio_s)
    assert energy_counter(CPU) is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a CUDA device")
def test_without_a_driver_energy_is_absent_and_no_error():
    pytest.importorskip("pynvml")
    assert energy_counter(torch.device("cuda")) is None


class FakeNvml(ModuleType):
    """As much of NVML as is asked: two boards, one of them too old to count."""

    class NVMLError(Exception):
        pass

    def __init__(self):
        super().__init__("pynvml")
        self.millijoules = {"GPU-old": None, "GPU-new": iter([5_000_000, 5_000_500, 5_001_250])}
        self.driver = True

    def nvmlInit(self):
        if not self.driver:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetHandleByUUID(self, uuid):
        if uuid not in self.millijoules:
            raise self.NVMLError("Not Found")
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        if self.millijoules[handle] is None:
            raise self.NVMLError("Not Supported")
        return next(self.millijoules[handle])


def test_nvml_counts_millijoules_of_the_board_with_the_device_s_uuid(monkeypatch):
    """Catches joules a thousand times too many, or another board's where CUDA hides some."""
    nvml, board = FakeNvml(), SimpleNamespace(uuid="new")
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: board)
    cuda = torch.device("cuda", 0)
    counter = energy_counter(cuda)
    assert [counter(), counter()] == [5000.5, 5001.25]

    for uuid, driver in (("old", True), ("gone", True), ("new", False)):
        board.uuid, nvml.driver = uuid, driver
        assert energy_counter(cuda) is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert energy_counter(cuda) is None


def test_a_clock_adds_a_phase_up_and_knows_only_what_ran():
    clock = PhaseClock(CPU)
    for _ in range(2):
        with clock.phase("head"):
            time.sleep(0.02)
    assert list(clock.seconds) == ["head"]
    assert 0.04 <= clock.seconds["head"] < 0.4


def test_the_peak_is_of_what_was_freed_again():
    release(CPU)
    before, meter = used_bytes(CPU), MemoryMeter(CPU)
    block = torch.ones(50_000_000)
    del block
    peak = meter.read()
    if peak.peak_bytes is None:
        pytest.skip("this system does not let a process reset its peak")
    assert 0.95 * 200e6 < peak.peak_bytes - before < 300e6
    release(CPU)
    assert used_bytes(CPU) - before < 50e6
    assert 1e6 < free_bytes(CPU) < 1e14


def test_what_is_held_for_measuring_is_no_part_of_a_server():
    """Catches a peak that grows with what the measuring process happens to hold."""
    held = np.ones(40_000_000)
    measuring_bytes.cache_clear()
    before = measuring_bytes()
    assert held.nbytes < before < used_bytes(CPU)
    more = np.ones(40_000_000)
    assert measuring_bytes() == before, "it was told once, before a model was loaded"
    measuring_bytes.cache_clear()
    assert measuring_bytes() - before == pytest.approx(more.nbytes, rel=0.3)
    measuring_bytes.cache_clear()
