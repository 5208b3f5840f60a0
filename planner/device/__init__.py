"""What a device takes for a configuration: seconds, bytes, joules."""

from planner.device.evidence import (
    CPU_LAYER_S,
    CUDA_LAYER_S,
    TYPICAL_CPU,
    TYPICAL_CUDA,
    DeviceEvidence,
    DeviceRates,
    Doubt,
    MemoryPeak,
    TimedRun,
)
from planner.device.memory import RuntimeMemory
from planner.device.model import DeviceModel, Timed, fit_device, model_of
from planner.device.work import PHASES

__all__ = [
    "CPU_LAYER_S",
    "CUDA_LAYER_S",
    "PHASES",
    "TYPICAL_CPU",
    "TYPICAL_CUDA",
    "DeviceEvidence",
    "DeviceModel",
    "DeviceRates",
    "Doubt",
    "MemoryPeak",
    "RuntimeMemory",
    "Timed",
    "TimedRun",
    "fit_device",
    "model_of",
]
