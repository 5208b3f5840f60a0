"""Devices: what they are called, and what they compute in."""

import pytest

from measurements.devices import cuda_device
from measurements.studies import evidence_for
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
        ("cpu-amd-epyc-2t", {"fp32", "int8", "bf16"}),
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
