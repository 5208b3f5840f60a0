"""How contended a machine is: a timing beside other work says little."""

from __future__ import annotations

import math
import os
from pathlib import Path

BUSY = 0.1
"""Share of the processors above which a timing beside other processes is contended."""

SLOW = 0.5
"""Share of the fastest speed seen below which processors are slow; a quiet host varies by a
third."""

_STAT = Path("/proc/stat")
_IDLE = (3, 4)
"""Places of idle time and of waiting for disks among a processor's times."""


def contention(others_share: float | None, speed: float | None) -> str | None:
    """What slowed a timing down, in words; None if nothing did.

    Args:
        others_share: Share of the processors that other processes took; None if unknown.
        speed: Speed of the processors, as a share of the fastest seen; None if unknown.
    """
    reasons = []
    if others_share is not None and others_share > BUSY:
        reasons.append(f"other processes took {others_share:.0%} of the processors")
    if speed is not None and speed < SLOW:
        reasons.append(f"the processors ran at {speed:.0%} of their fastest speed")
    return " and ".join(reasons) or None


def slowdown_log_sd(others_share: float | None, speed: float | None) -> float:
    """How much longer than on a quiet machine a timing may have taken, in log seconds.

    Args:
        others_share: Share of the processors that other processes took; None if unknown.
        speed: Speed of the processors, as a share of the fastest seen; None if unknown.

    Returns:
        0 of a timing that is not contended; otherwise the log of the factor by which it
        would be longer if all that was taken was missing to it.
    """
    if contention(others_share, speed) is None:
        return 0.0
    taken, slow = others_share or 0.0, 1.0 if speed is None else speed
    return -math.log(max(1 - taken, 0.05)) - math.log(min(max(slow, 0.05), 1.0))


class LoadMeter:
    """Counts processor time from when it is made."""

    def __init__(self) -> None:
        self._began = _times()

    def others_share(self) -> float | None:
        """Share of all processors' time that other processes took; none off Linux."""
        now = _times()
        if now is None or self._began is None:
            return None
        total, busy, own = (after - before for after, before in zip(now, self._began, strict=True))
        return min(max((busy - own) / total, 0.0), 1.0) if total > 0 else None


def _times() -> tuple[float, float, float] | None:
    """Seconds of all processors, those not idle, and those of this process."""
    try:
        fields = _STAT.read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    ticks = [int(field) / os.sysconf("SC_CLK_TCK") for field in fields]
    idle = sum(ticks[place] for place in _IDLE)
    mine = os.times()
    return sum(ticks), sum(ticks) - idle, mine.user + mine.system
