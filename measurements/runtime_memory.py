"""Memory of the runtimes, as measured: by engine, kind of device and precision."""

from __future__ import annotations

import csv
from functools import lru_cache
from typing import cast

from measurements.catalogue import HERE
from models_registry.configuration import Precision
from planner.device import RuntimeMemory

FILE = HERE / "runtime_memory.csv"
"""A row an engine, kind and precision; written by ``python -m benchmarks.memory --store``."""


@lru_cache(maxsize=1)
def runtime_memory() -> tuple[RuntimeMemory, ...]:
    """Every runtime that the catalogue knows."""
    with FILE.open(encoding="utf-8", newline="") as stream:
        return tuple(
            RuntimeMemory(
                engine=row["engine"],
                kind=row["kind"],
                precision=cast(Precision, row["precision"]) or None,
                bytes=float(row["bytes"]),
                log_sd=float(row["log_sd"]),
                measured=row["basis"] == "measured",
                source=row["source"],
            )
            for row in csv.DictReader(stream)
        )
