"""Memory of this process and of its device: peaks, and what is free."""

from __future__ import annotations

import gc
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from models_registry.loading.freed import trim_memory

_STATUS = Path("/proc/self/status")
_SERVER = """
import models_registry.loading, soundfile
status = open("/proc/self/status").read().split("VmRSS:")[1]
print(status.split()[0])
"""
"""A process that is about to load a model; it prints its resident KiB."""

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class PeakMemory:
    """Peak memory of a stretch of work, in bytes; none where it can't be told.

    Attributes:
        peak_bytes: Resident memory of the whole process (CPU), or what torch's
            allocator reserved (CUDA).
        allocated_bytes: What tensors took of it (CUDA only).
    """

    peak_bytes: int | None
    allocated_bytes: int | None = None


class MemoryMeter:
    """Takes the peak of memory since it was made.

    Args:
        device: Whose memory.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._counts = True
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            return
        try:
            # 5 resets the kernel's high-water mark of this process.
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            self._counts = False

    def read(self) -> PeakMemory:
        """The peak so far."""
        if self._device.type == "cuda":
            return PeakMemory(
                int(torch.cuda.max_memory_reserved(self._device)),
                int(torch.cuda.max_memory_allocated(self._device)),
            )
        return PeakMemory(_status("VmHWM") if self._counts else None)


def used_bytes(device: torch.device) -> int | None:
    """Memory in use now: resident (CPU) or reserved by torch (CUDA)."""
    if device.type == "cuda":
        return int(torch.cuda.memory_reserved(device))
    return _status("VmRSS")


@lru_cache(maxsize=1)
def measuring_bytes() -> int | None:
    """Resident memory that this process holds for measuring alone; None if it can't be told.

    The first call has to come before a model is loaded: it compares this process with one that
    has only imported what loads models.
    """
    own = _status("VmRSS")
    try:
        done = subprocess.run(
            [sys.executable, "-c", _SERVER], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return None if own is None else max(own - int(done.stdout) * 1024, 0)


def free_bytes(device: torch.device) -> int | None:
    """Memory that can still be taken, the limit of a container included."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [_meminfo("MemAvailable"), _cgroup_left()]
    known = [size for size in found if size is not None]
    return min(known) if known else None


def release(device: torch.device) -> None:
    """Gives freed memory back to the system, so that the next peak is the next model's."""
    gc.collect()
    trim_memory()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _status(name: str) -> int | None:
    return _kibibytes(_STATUS, name)


def _meminfo(name: str) -> int | None:
    return _kibibytes(Path("/proc/meminfo"), name)


def _kibibytes(path: Path, name: str) -> int | None:
    if not path.exists():
        return None
    for line in path.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None


def _cgroup_left() -> int | None:
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        current = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return None
    return int(limit) - current if limit.isdigit() else None
