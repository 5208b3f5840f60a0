"""This machine's processors: what identifies them, and how fast numpy finds them."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import time
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from measurements.records import DeviceInfo
from models_registry.devices import DEVICES
from planner.device import CPU_LAYER_S, DeviceRates

LOCAL = "local"

INSTRUCTION_SETS = (
    "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_int8", "amx_bf16", "amx_fp16",
    "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2",
)  # fmt: skip
"""Flags of ``/proc/cpuinfo`` that decide how fast each number format is, x86 and then Arm."""

_WIDEST = (
    ("amx_bf16", "amx"),
    ("amx_int8", "amx"),
    ("avx512_bf16", "avx512bf16"),
    ("avx512_vnni", "avx512vnni"),
    ("avx512f", "avx512"),
    ("avx_vnni", "avx2vnni"),
    ("avx2", "avx2"),
    ("sve2", "sve2"),
    ("sve", "sve"),
    ("asimd", "neon"),
)
"""What stands for the instruction sets in an id: the first that is there."""

_CPUINFO = Path("/proc/cpuinfo")
_MEMORY_CONTROLLERS = Path("/sys/devices/system/edac/mc")


@lru_cache(maxsize=1)
def local_cpu() -> DeviceInfo:
    """The processor of this machine with the threads that this process uses."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    # torch and numpy take no more of them than they are told to.
    told = os.environ.get("OMP_NUM_THREADS", "")
    threads = min(threads or 1, int(told)) if told.isdigit() and int(told) else threads or 1
    cpuinfo = _CPUINFO.read_text() if _CPUINFO.exists() else ""
    return described_cpu(
        cpuinfo, threads=threads, library=torch_build(), memory_channels=_memory_channels()
    )


def described_cpu(
    cpuinfo: str,
    *,
    threads: int,
    library: str | None = None,
    memory_channels: int | None = None,
) -> DeviceInfo:
    """A processor by what the system says of it.

    Args:
        cpuinfo: Content of ``/proc/cpuinfo``; empty where there is none.
        threads: Threads that torch uses.
        library: Version of torch.
        memory_channels: Memory channels in use, if known.
    """
    facts: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip().lower(), value.strip())
    flags = set(facts.get("flags", facts.get("features", "")).split())
    if not cpuinfo and platform.machine() in ("arm64", "aarch64"):
        flags.add("asimd")
    name = facts.get("model name") or platform.processor() or platform.machine() or "unknown"
    numbers = [facts.get(key) for key in ("cpu family", "model", "stepping")]
    if not any(numbers):
        numbers = [facts.get(key) for key in ("cpu part", "cpu variant", "cpu revision")]
    return identified(
        DeviceInfo(
            id="",
            kind="cpu",
            name=name,
            threads=threads,
            vendor=facts.get("vendor_id") or facts.get("cpu implementer"),
            model="-".join(number for number in numbers if number) or None,
            instruction_sets=tuple(one for one in INSTRUCTION_SETS if one in flags),
            memory_channels=memory_channels,
            library=library,
        )
    )


def identified(cpu: DeviceInfo) -> DeviceInfo:
    """A processor under the id that all its fields make."""
    fields = cpu.model_dump_json(exclude={"id"})
    digest = hashlib.sha256(fields.encode()).hexdigest()[:6]
    widest = next((short for flag, short in _WIDEST if flag in cpu.instruction_sets), "plain")
    parts = ["cpu", _slug(cpu.name), widest, f"{cpu.threads}t", digest]
    return cpu.model_copy(update={"id": "-".join(parts)})


def former_id(device: DeviceInfo) -> str:
    """The id of a processor before 0.2: its name and threads, whatever the processor."""
    return f"cpu-{_slug(device.name)}-{device.threads}t"


def cuda_device(
    name: str, *, capability: str | None = None, library: str | None = None
) -> DeviceInfo:
    """A CUDA device by the name that its driver gives it, or by its data sheet's."""
    slug = f"cuda-{_slug(name)}"
    known = DEVICES.canonical(slug) if slug in DEVICES else slug
    return DeviceInfo(
        id=known, kind="cuda", name=name, vendor="NVIDIA", model=capability, library=library
    )


@lru_cache(maxsize=1)
def local_device() -> DeviceInfo:
    """The device that ``local`` means: the GPU where there is one, the processor otherwise."""
    tool = shutil.which("nvidia-smi")
    if tool:
        query = [tool, "--query-gpu=name,compute_cap", "--format=csv,noheader"]
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)
        if answer.returncode == 0 and answer.stdout.strip():
            name, _, capability = answer.stdout.strip().splitlines()[0].rpartition(",")
            return cuda_device(name.strip(), capability=capability.strip(), library=torch_build())
    return local_cpu()


def torch_build() -> str | None:
    """Version of torch with its build, such as ``torch 2.13.0+cpu``; None if not installed."""
    try:
        return f"torch {version('torch')}"
    except PackageNotFoundError:
        return None


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


def _memory_channels() -> int | None:
    """Memory channels with a module, by the kernel's memory controllers; None in most guests."""
    locations = _MEMORY_CONTROLLERS.glob("mc*/dimm*/dimm_location")
    channels = set()
    for location in locations:
        if found := re.search(r"channel (\d+)", location.read_text()):
            channels.add((location.parent.parent.name, found.group(1)))
    return len(channels) or None


def _slug(name: str) -> str:
    plain = re.sub(r"\((r|tm)\)|@.*|\bcpu\b|processor", " ", name.lower())
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "unknown"
