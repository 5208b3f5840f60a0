"""Memory of the process that serves a configuration, as its operator's limit counts it.

On a CPU it is the peak of the process's resident memory over its life, loading included; on
CUDA what the process holds of the device, torch's reserved memory and the CUDA context. Both
are ``runtime + factor * closed form``: the runtime is the engine with its libraries and what
its allocator keeps, measured by engine, kind of device and precision; the factor is fitted to
peaks measured on a device, around what such processes took elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models_registry.configuration import Precision
from planner.arrays import Array
from planner.curves.solver import Prior
from planner.device.evidence import MemoryPeak
from planner.device.fit import Units, fit_units

ENGINE = "torch"
"""The one that runs configurations today."""

_OWN = {
    "cpu": Prior(np.log([1.0, 20e6]), np.array([0.05, 1.0])),
    "cuda": Prior(np.log([1.03, 20e6]), np.array([0.05, 1.0])),
}
"""The closed form within a twentieth, and some 20 MB that a process keeps for the first run."""


@dataclass(frozen=True)
class RuntimeMemory:
    """What a process takes whatever it runs.

    Attributes:
        engine: Runtime that executes configurations.
        kind: Of the device, ``cpu`` or ``cuda``.
        precision: That configurations run in; None is any.
        bytes: Median.
        log_sd: Spread of its logarithm over machines and versions.
        measured: Whether it was measured, or is an estimate.
        source: Who says so.
    """

    engine: str
    kind: str
    precision: Precision | None
    bytes: float
    log_sd: float
    measured: bool
    source: str


ASSUMED = {
    "cpu": RuntimeMemory(
        ENGINE, "cpu", None, 550e6, 0.25, measured=False, source="assumed, Python with torch"
    ),
    "cuda": RuntimeMemory(
        ENGINE,
        "cuda",
        None,
        450e6,
        0.35,
        measured=False,
        source="estimated, a CUDA context and its libraries take 300 to 800 MB",
    ),
}
"""Where nobody has said more."""


def runtime_of(
    known: Sequence[RuntimeMemory], kind: str, precision: Precision, engine: str = ENGINE
) -> RuntimeMemory:
    """The runtime of an engine on a kind of device at a precision; the nearest that is known."""
    own = [one for one in known if (one.engine, one.kind) == (engine, kind)]
    for wanted in (precision, None):
        for one in own:
            if one.precision == wanted:
                return one
    if not own:
        return ASSUMED[kind]
    largest = max(own, key=lambda one: one.bytes)
    return replace(
        largest, measured=False, source=f"of {largest.precision}, {precision} was not measured"
    )


def fit_own(peaks: Sequence[MemoryPeak], kind: str, seed: int = 0) -> Units:
    """What a byte of the closed form takes, and beside it what the first run does.

    Args:
        peaks: Measured beyond what the process held before; none leave the prior.
        kind: Of the device, ``cpu`` or ``cuda``.
        seed: Seed of the bagged refits.
    """
    amounts = np.array([[peak.predicted, 1.0] for peak in peaks]).reshape(-1, 2)
    taken = np.array([max(peak.measured, 1.0) for peak in peaks])
    return fit_units(amounts, taken, _OWN[kind], np.random.default_rng(seed))


def log_process_bytes(
    own: Array, memory: Units, runtime: Array, runtime_log_sd: Array
) -> tuple[Array, Array]:
    """Mean and standard deviation of the log of a process's memory, each of shape ``(rows,)``.

    Args:
        own: By the closed form, in bytes.
        memory: Fitted to peaks beyond a process's baseline. Its offset is a part of the
            runtime and is not added again.
        runtime: Of the runtime, in bytes.
        runtime_log_sd: Its spread.
    """
    scaled = own * np.exp(memory.log[0])
    total = runtime + scaled
    own_variance = memory.covariance[0, 0] + memory.misfit_sd**2
    variance = np.square(runtime_log_sd * runtime) + own_variance * np.square(scaled)
    return np.log(total), np.sqrt(variance) / total
