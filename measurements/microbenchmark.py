"""How fast a device is in a fixed test of two seconds: its fingerprint.

``python -m measurements.microbenchmark`` prints the fingerprint of the processor as JSON.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import torch

from measurements.fingerprints import read_fingerprint, write_fingerprint
from measurements.load import LoadMeter
from measurements.records import DeviceInfo, Fingerprint
from measurements.settings import Settings
from models_registry.configuration import Precision
from models_registry.loading import torch_device
from models_registry.loading.precision import in_precision

_SIZE = 2048
_COPIED_BYTES = 64 << 20
_SECONDS = 0.45
"""Of each of the four tests."""


def fingerprint_of(device: torch.device, info: DeviceInfo) -> Fingerprint | None:
    """The device's fingerprint for a timing that is about to be kept.

    Returns:
        None if the setting ``check_device`` is off.
    """
    if not Settings().check_device:
        return None
    kept = read_fingerprint(info)
    if kept is None:
        kept = take_fingerprint(device)
        write_fingerprint(info, kept)
    return kept


def take_fingerprint(device: torch.device) -> Fingerprint:
    """Measures a device: a matrix product by number format, and a copy, in two seconds."""
    load = LoadMeter()
    third: Precision = "int8" if device.type == "cpu" else "fp16"
    formats: tuple[Precision, ...] = ("fp32", "bf16", third)
    gflops: dict[str, float] = {}
    with torch.inference_mode():
        for name in formats:
            linear: Any = in_precision(
                torch.nn.Sequential(torch.nn.Linear(_SIZE, _SIZE, bias=False)), name, device
            )
            dtype = next((p.dtype for p in linear.parameters()), torch.float32)
            states = torch.ones(_SIZE, _SIZE, dtype=dtype, device=device)
            seconds = _fastest_s(partial(linear, states), device)
            gflops[name] = 2 * _SIZE**3 / seconds / 1e9
        block = torch.ones(_COPIED_BYTES // 4, device=device)
        target = torch.empty_like(block)
        copied_s = _fastest_s(lambda: target.copy_(block), device)
    return Fingerprint(
        gflops=gflops,
        copy_gb_s=2 * _COPIED_BYTES / copied_s / 1e9,
        others_cpu_share=load.others_share(),
        created_at=datetime.now(UTC),
    )


def _fastest_s(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of as many runs as the test has time for, after one to warm up."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    run()
    wait()
    began, fastest = time.perf_counter(), math.inf
    while math.isinf(fastest) or time.perf_counter() - began < _SECONDS:
        start = time.perf_counter()
        run()
        wait()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest


if __name__ == "__main__":
    kind = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    sys.stdout.write(take_fingerprint(torch_device(kind)).model_dump_json())
