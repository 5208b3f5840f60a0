"""Energy of a CUDA device, by NVML's counter."""

from __future__ import annotations

from collections.abc import Callable

import torch

EnergyCounter = Callable[[], float]
"""Joules since some fixed moment."""


def energy_counter(device: torch.device) -> EnergyCounter | None:
    """The counter of a device's whole board, or none where there is no such thing.

    It needs CUDA, ``nvidia-ml-py`` (the extra ``energy``) and a GPU that counts: Volta
    or later. Other programs on the same board are counted in.
    """
    if device.type != "cuda":
        return None
    try:
        import pynvml
    except ModuleNotFoundError:
        return None
    try:
        pynvml.nvmlInit()
        # By its UUID: NVML numbers devices as they are built in, CUDA as they are visible.
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:
        return None
    return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000
