"""Devices: what they are called, and what they compute in."""

import pytest

from measurements.devices import cuda_device
from measurements.profiles import all_device_timings, device_evidence
from measurements.studies import evidence_for
from planner.device.check import from_data_sheet
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
