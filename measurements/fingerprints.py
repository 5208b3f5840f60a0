"""How fast this machine is now, and whether timings that were kept still say so."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from pydantic import ValidationError

from measurements.devices import local_device
from measurements.load import BUSY
from measurements.records import DeviceInfo, Fingerprint
from measurements.settings import Settings
from models_registry.paths import cache_dir

NEAR = 1.5
"""Largest ratio of two rates that count as the same speed; repeats on one host differ by 1.2."""

VALID_FOR = timedelta(hours=12)

_TIMEOUT_S = 60.0

_RETRY_S = 600.0
"""Seconds after which one that failed, or was taken beside other work, is taken again."""

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def local_fingerprint() -> Fingerprint | None:
    """The fingerprint of this machine, taken by another process unless one is kept.

    Returns:
        None if the setting ``check_device`` is off, torch is not installed, or it failed.
    """
    if not Settings().check_device or find_spec("torch") is None:
        return None
    info = local_device()
    kept = read_fingerprint(info)
    if kept is None:
        kept = _taken(info.kind, int(time.time() / _RETRY_S))
    if kept is not None:
        write_fingerprint(info, kept)
    return kept


@lru_cache(maxsize=1)
def _taken(kind: str, period: int) -> Fingerprint | None:
    """Takes it in a process of its own, since this one may not import torch; once a period."""
    command = [sys.executable, "-m", "measurements.microbenchmark", kind]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
        return Fingerprint.model_validate_json(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValidationError):
        return None


def typical(fingerprints: Iterable[Fingerprint | None]) -> Fingerprint | None:
    """The medians of several fingerprints of a device; None if there is none.

    Those that were taken beside other work count only if there are no others.
    """
    every = [one for one in fingerprints if one is not None]
    known = [one for one in every if not is_busy(one)] or every
    if not known:
        return None
    formats = dict.fromkeys(name for one in known for name in one.gflops)
    return Fingerprint(
        gflops={
            name: statistics.median([one.gflops[name] for one in known if name in one.gflops])
            for name in formats
        },
        copy_gb_s=statistics.median(one.copy_gb_s for one in known),
    )


def difference(now: Fingerprint, then: Fingerprint) -> tuple[str, float]:
    """The test in which two fingerprints differ most, and the ratio of the first's rate."""
    ratios = {
        name: now.gflops[name] / then.gflops[name] for name in then.gflops if name in now.gflops
    }
    ratios["copy"] = now.copy_gb_s / then.copy_gb_s
    name = max(ratios, key=lambda one: abs(math.log(ratios[one])))
    return name, ratios[name]


def is_near(ratio: float) -> bool:
    """Whether a ratio of rates is within what one machine varies by."""
    return 1 / NEAR <= ratio <= NEAR


def is_busy(fingerprint: Fingerprint) -> bool:
    """Whether other processes took so much of the processors that it says little."""
    return (fingerprint.others_cpu_share or 0.0) > BUSY


def _file(info: DeviceInfo) -> Path:
    return cache_dir() / "fingerprints" / f"{info.id}.json"


def _boot() -> str:
    return _BOOT.read_text().strip() if _BOOT.exists() else ""


def read_fingerprint(info: DeviceInfo) -> Fingerprint | None:
    """The fingerprint that is kept of this machine; None if there is none, or it is too old.

    One that was taken before the last start of the system, or beside other work, is too old.
    """
    try:
        kept = json.loads(_file(info).read_bytes())
        found = Fingerprint.model_validate(kept["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if kept.get("boot") != _boot() or found.created_at is None or is_busy(found):
        return None
    age = datetime.now(UTC) - found.created_at
    return found if timedelta(0) <= age < VALID_FOR else None


def write_fingerprint(info: DeviceInfo, fingerprint: Fingerprint) -> None:
    """Keeps a fingerprint of this machine in the cache folder."""
    file = _file(info)
    document = {"boot": _boot(), "fingerprint": fingerprint.model_dump(mode="json")}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document))
    except OSError:
        # Without a cache it is taken again the next time.
        return
