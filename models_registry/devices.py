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
        source: The data sheet.
    """

    name: str
    kind: str
    flops_per_s: float
    bytes_per_s: float
    memory_bytes: float
    source: str


DEVICES: Registry[Device] = Registry("device", entry_point_group="speechplan.devices")

for _device, _aliases in (
    (Device("nvidia-t4", "cuda", 8.1e12, 320e9, 16e9, "NVIDIA T4 data sheet: FP32"), ("t4",)),
    (Device("nvidia-l4", "cuda", 60e12, 300e9, 24e9, "NVIDIA L4 data sheet: TF32 dense"), ("l4",)),
    (
        Device("nvidia-a100-sxm-80gb", "cuda", 156e12, 2.039e12, 80e9, "A100 data sheet: TF32"),
        ("a100",),
    ),
    (
        Device("nvidia-h100-sxm", "cuda", 494.5e12, 3.35e12, 80e9, "H100 data sheet: TF32 dense"),
        ("h100",),
    ),
    (
        Device("nvidia-h200", "cuda", 494.5e12, 4.8e12, 141e9, "H200 data sheet: TF32 dense"),
        ("h200",),
    ),
):
    DEVICES.add(_device.name, _device, aliases=_aliases)
