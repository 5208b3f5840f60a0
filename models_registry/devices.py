"""Processors by their data sheets: dense peak rates, which nothing reaches in practice."""

from __future__ import annotations

from dataclasses import dataclass

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
    """

    name: str
    kind: str
    flops_per_s: float
    bytes_per_s: float
    memory_bytes: float
    power_w: float
    source: str


DEVICES: Registry[Device] = Registry("device", entry_point_group="speechplan.devices")

_SHEETS: tuple[tuple[Device, tuple[str, ...]], ...] = (
    (Device("nvidia-t4", "cuda", 8.1e12, 320e9, 16e9, 70, "NVIDIA T4: FP32"), ("t4",)),
    (Device("nvidia-l4", "cuda", 60e12, 300e9, 24e9, 72, "NVIDIA L4: TF32 dense"), ("l4",)),
    (
        Device("nvidia-a100-sxm-80gb", "cuda", 156e12, 2.039e12, 80e9, 400, "NVIDIA A100: TF32"),
        ("a100",),
    ),
    (
        Device("nvidia-h100-sxm", "cuda", 494.5e12, 3.35e12, 80e9, 700, "NVIDIA H100: TF32 dense"),
        ("h100",),
    ),
    (
        Device("nvidia-h200", "cuda", 494.5e12, 4.8e12, 141e9, 700, "NVIDIA H200: TF32 dense"),
        ("h200",),
    ),
    (
        Device(
            "amd-epyc-7763", "cpu", 5.02e12, 204.8e9, 4e12, 280,
            "AMD EPYC 7763: 64 cores at 2.45 GHz, 32 FLOPs a cycle, 8 channels of DDR4-3200",
        ),
        (),
    ),
    (
        Device(
            "amd-epyc-9654", "cpu", 7.37e12, 460.8e9, 6e12, 360,
            "AMD EPYC 9654: 96 cores at 2.4 GHz, 32 FLOPs a cycle, 12 channels of DDR5-4800",
        ),
        (),
    ),
    (
        Device(
            "intel-xeon-8480", "cpu", 7.17e12, 307.2e9, 4e12, 350,
            "Intel Xeon 8480+: 56 cores at 2.0 GHz, 64 FLOPs a cycle, 8 channels of DDR5-4800",
        ),
        (),
    ),
)  # fmt: skip

for _device, _aliases in _SHEETS:
    DEVICES.add(_device.name, _device, aliases=_aliases)
