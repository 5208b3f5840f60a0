"""This machine's processors: their names, and how fast numpy finds them."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import time
from functools import lru_cache
from pathlib import Path

import numpy as np

from measurements.records import DeviceInfo
from models_registry.devices import DEVICES
from planner.device import CPU_LAYER_S, DeviceRates

LOCAL = "local"


@lru_cache(maxsize=1)
def local_cpu() -> DeviceInfo:
    """The processor of this machine with the cores that this process uses."""
    name = _cpu_name()
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    # torch and numpy take no more of them than they are told to.
    told = os.environ.get("OMP_NUM_THREADS", "")
    threads = min(threads or 1, int(told)) if told.isdigit() and int(told) else threads or 1
    return DeviceInfo(id=f"cpu-{_slug(name)}-{threads}t", kind="cpu", name=name, threads=threads)


def cuda_device(name: str) -> DeviceInfo:
    """A CUDA device by the name that its driver gives it, or by its data sheet's."""
    slug = f"cuda-{_slug(name)}"
    known = DEVICES.canonical(slug) if slug in DEVICES else slug
    return DeviceInfo(id=known, kind="cuda", name=name)


@lru_cache(maxsize=1)
def local_device() -> DeviceInfo:
    """The device that ``local`` means: the GPU where there is one, the processor otherwise."""
    tool = shutil.which("nvidia-smi")
    if tool:
        query = [tool, "--query-gpu=name", "--format=csv,noheader"]
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)
        if answer.returncode == 0 and answer.stdout.strip():
            return cuda_device(answer.stdout.strip().splitlines()[0])
    return local_cpu()


def probe() -> DeviceRates:
    """Measures this processor's arithmetic and memory rates with numpy, in about 0.2 s."""
    size = 768
    matrix = np.ones((size, size), dtype=np.float32)
    flops = 2 * size**3 / _fastest(lambda: matrix @ matrix)
    block = np.ones(8 << 20, dtype=np.float32)
    copy = np.empty_like(block)
    moved = 2 * block.nbytes / _fastest(lambda: np.copyto(copy, block))
    return DeviceRates(
        flops_per_s=flops, bytes_per_s=moved, layer_s=CPU_LAYER_S, source="a numpy probe"
    )


def _fastest(run: object, repeats: int = 3) -> float:
    assert callable(run)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        if found:
            return found.group(1).strip()
    return platform.processor() or platform.machine() or "unknown"


def _slug(name: str) -> str:
    plain = re.sub(r"\((r|tm)\)|@.*|\bcpu\b|processor", " ", name.lower())
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "unknown"
