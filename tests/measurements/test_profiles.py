"""Devices: what they are called, and what they compute in."""

import pytest

from measurements.catalogue import device_timings
from measurements.devices import cuda_device
from measurements.profiles import all_device_timings, device_evidence
from measurements.runtime_memory import runtime_memory
from measurements.studies import evidence_for
from planner.cost import memory_bytes
from planner.device.check import from_data_sheet
from planner.errors import NoFeasibleConfigurationError
from planner.question import Budget, Question
from planner.recommend import Planner

STUDY = "asr-librispeech-mini-test-other"


@pytest.mark.parametrize(
    ("driver", "name"),
    [
        ("NVIDIA H200", "nvidia-h200"),
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-sxm"),
        ("Tesla T4", "nvidia-t4"),
        ("NVIDIA GeForce RTX 4090", "cuda-nvidia-geforce-rtx-4090"),
    ],
)
def test_a_gpu_is_called_as_its_data_sheet(driver, name):
    """Or its timings and its data sheet would be two devices."""
    assert cuda_device(driver).id == name


@pytest.mark.parametrize(
    ("device", "precisions"),
    [
        ("cpu-amd-epyc-avx2-2t-f97b39", {"fp32", "int8", "bf16"}),
        ("nvidia-h200", {"fp32", "fp16", "bf16", "int8"}),
        ("nvidia-t4", {"fp32", "fp16", "int8"}),
        (None, {"fp32", "int8", "bf16"}),
    ],
)
def test_a_device_is_offered_what_it_computes_in(device, precisions):
    """Catches 16-bit floats that are recommended for a processor, or left out for a GPU."""
    evidence = evidence_for("asr", STUDY if device else None, None)
    question = Question(budget=Budget(gflops_per_utterance=100), device=device)
    offered = Planner(evidence).lattice(question).labels["precision"]
    assert {offered.names[code] for code in set(offered.codes.tolist())} == precisions


def test_a_gpu_that_is_known_by_its_data_sheet_alone_is_covered_in_every_format():
    """Catches formats that a data sheet makes fast: of an H200's int8 times 7 % were inside."""
    devices = device_evidence(all_device_timings(None))
    checks = from_data_sheet("nvidia-h200", devices)
    assert sum(check.configurations for check in checks.values()) == 97
    assert set(checks) == {"fp32", "fp16", "bf16", "int8", "int4"}
    for precision, check in checks.items():
        assert check.coverage >= 0.8, precision


def timing(kind, **update):
    """A timing of the catalogue in which weights are quantised, with memory that is made up."""
    found = next(
        t
        for t in device_timings()
        if t.device.kind == kind and t.configuration.precision == "int8" and t.output_tokens
    )
    memory = {"baseline_memory_bytes": 600_000_000, "peak_memory_bytes": 900_000_000}
    return found.model_copy(update=memory | update)


def peaks_of(record):
    return device_evidence([record])[record.device.id].memory


def test_a_peak_is_what_a_timing_took_beyond_its_process_and_no_loading():
    record = timing("cpu", memory_protocol="trimmed-1")
    (peak,) = peaks_of(record)
    parts = memory_bytes(record.configuration, record.output_tokens, retried=0)
    assert peak.measured == 300_000_000
    assert peak.predicted == parts["weights"] + parts["kv_cache"] + parts["activations"]
    # torch keeps reserved on a GPU what quantising took there.
    gpu = timing("cuda")
    (peak,) = peaks_of(gpu)
    parts = memory_bytes(gpu.configuration, gpu.output_tokens, "cuda", retried=0)
    assert peak.predicted == sum(parts.values())


def test_peaks_of_processes_that_kept_what_was_freed_are_left_out():
    """Catches timings of before that double what int8 takes."""
    assert peaks_of(timing("cpu", memory_protocol=None)) == ()
    assert peaks_of(timing("cpu", memory_protocol="trimmed-1", peak_memory_bytes=None)) == ()


def test_the_runtime_of_torch_is_known_with_a_source_and_of_a_gpu_it_is_an_estimate():
    known = {(one.engine, one.kind, one.precision): one for one in runtime_memory()}
    for precision in ("fp32", "bf16", "int8"):
        one = known["torch", "cpu", precision]
        assert one.measured
        assert "torch 2" in one.source
        assert 3e8 < one.bytes < 9e8
        assert 0.03 < one.log_sd < 0.4
    gpu = known["torch", "cuda", None]
    assert not gpu.measured
    assert gpu.log_sd >= 0.3


@pytest.mark.parametrize("device", [None, "cpu-amd-epyc-avx2-2t-f97b39", "nvidia-t4"])
def test_three_tenths_of_a_gib_hold_no_whisper_base(device):
    """As they were said to with certainty: the runtime was left out."""
    evidence = evidence_for("asr", STUDY, None)
    question = Question(budget=Budget(memory_gib=0.45), models=("base",), device=device, risk=0.001)
    with pytest.raises(NoFeasibleConfigurationError):
        Planner(evidence).recommend(question)
    answer = Planner(evidence).recommend(
        question.model_copy(update={"budget": Budget(memory_gib=3)})
    )
    memory = answer.predictions["memory_gib"]
    assert 0.45 < memory.lower < memory.mean < memory.upper < 3
    assert set(answer.costs.memory_bytes) == {
        "runtime", "weights", "kv_cache", "activations", "loading",
    }  # fmt: skip
