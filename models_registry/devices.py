"""Processors by their data sheets: dense peak rates, which nothing reaches in practice."""

from __future__ import annotations

from dataclasses import dataclass

from models_registry.configuration import Precision
from models_registry.registry import Registry


@dataclass(frozen=True)
class Device:
    """A processor's data sheet.

    Attributes:
        name: Name in the registry.
        kind: ``cpu`` or ``cuda``.
        flops_per_s: Dense single-precision arithmetic without sparsity, FLOPs
            per second; TF32 tensor cores where the device has them.
        bytes_per_s: Memory bandwidth, bytes per second.
        memory_bytes: Memory, in bytes.
        power_w: Most power that it draws, in watts.
        source: The data sheet.
        precisions: Number formats that it runs natively, where they are known.
        instruction_sets: Those that decide how fast each format is (CPU), as Linux names them.
    """

    name: str
    kind: str
    flops_per_s: float
    bytes_per_s: float
    memory_bytes: float
    power_w: float
    source: str
    precisions: frozenset[Precision] | None = None
    instruction_sets: frozenset[str] = frozenset()


DEVICES: Registry[Device] = Registry("device", entry_point_group="speechplan.devices")

_PLAIN: frozenset[Precision] = frozenset({"fp32", "int8"})
_TURING: frozenset[Precision] = _PLAIN | {"fp16"}
_AMPERE: frozenset[Precision] = _TURING | {"bf16", "int4"}
"""And the generations since."""

CPU_PRECISIONS: tuple[Precision, ...] = ("fp32", "int8", "bf16")
"""What torch runs on any processor, in the order of their use."""

_SHEETS: tuple[tuple[Device, tuple[str, ...]], ...] = (
    (
        Device("nvidia-t4", "cuda", 8.1e12, 320e9, 16e9, 70, "NVIDIA T4: FP32", _TURING),
        ("t4", "cuda-tesla-t4"),
    ),
    (
        Device("nvidia-l4", "cuda", 60e12, 300e9, 24e9, 72, "NVIDIA L4: TF32 dense", _AMPERE),
        ("l4", "cuda-nvidia-l4"),
    ),
    (
        Device(
            "nvidia-a100-sxm-80gb", "cuda", 156e12, 2.039e12, 80e9, 400,
            "NVIDIA A100: TF32", _AMPERE,
        ),
        ("a100", "cuda-nvidia-a100-sxm4-80gb"),
    ),
    (
        Device(
            "nvidia-h100-sxm", "cuda", 494.5e12, 3.35e12, 80e9, 700,
            "NVIDIA H100: TF32 dense", _AMPERE,
        ),
        ("h100", "cuda-nvidia-h100-80gb-hbm3"),
    ),
    (
        Device(
            "nvidia-h200", "cuda", 494.5e12, 4.8e12, 141e9, 700,
            "NVIDIA H200: TF32 dense", _AMPERE,
        ),
        ("h200", "cuda-nvidia-h200"),
    ),
    (
        Device(
            "amd-epyc-7763", "cpu", 5.02e12, 204.8e9, 4e12, 280,
            "AMD EPYC 7763: 64 cores at 2.45 GHz, 32 FLOPs a cycle, 8 channels of DDR4-3200",
            _PLAIN, frozenset({"avx2"}),
        ),
        (),
    ),
    (
        Device(
            "amd-epyc-9654", "cpu", 7.37e12, 460.8e9, 6e12, 360,
            "AMD EPYC 9654: 96 cores at 2.4 GHz, 32 FLOPs a cycle, 12 channels of DDR5-4800",
            _PLAIN | {"bf16"},
            frozenset({"avx2", "avx512f", "avx512_vnni", "avx512_bf16"}),
        ),
        (),
    ),
    (
        Device(
            "intel-xeon-8480", "cpu", 7.17e12, 307.2e9, 4e12, 350,
            "Intel Xeon 8480+: 56 cores at 2.0 GHz, 64 FLOPs a cycle, 8 channels of DDR5-4800",
            _PLAIN | {"bf16", "fp16"},
            frozenset(
                {"avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8",
                 "amx_bf16"}
            ),
        ),
        (),
    ),
)  # fmt: skip

# The aliases that begin with cuda are what drivers call them.
for _device, _aliases in _SHEETS:
    DEVICES.add(_device.name, _device, aliases=_aliases)
