"""How much of the machine other processes take: a timing beside them says little."""

from __future__ import annotations

import os
from pathlib import Path

_STAT = Path("/proc/stat")
_IDLE = (3, 4)
"""Places of idle time and of waiting for disks among a processor's times."""


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
