"""Waits for slow spells of the processors, such as a neighbour on the same host makes.

What others take of this machine is counted by the system; a neighbour that shares its cores or
its memory from outside of it is not, and may slow everything down two- to fourfold.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import lru_cache

import torch

from measurements.load import SLOW

_EVERY_S = 1.0
_NAP_S = 0.25
_TRIES = 3

_fastest_s = float("inf")
"""Of this process: a neighbour that is there from the first probe to the last is not seen."""


class SlowSpells:
    """Watches the processors' speed while something is timed.

    Args:
        patience_s: Seconds to wait for slow spells to pass, all together.
        probe: Seconds of a short fixed computation.
    """

    def __init__(self, patience_s: float, probe: Callable[[], float] | None = None) -> None:
        self._left_s = patience_s
        self._probe = probe or probe_s
        self._speeds: list[float] = []
        self._looked = -float("inf")

    @property
    def speed(self) -> float | None:
        """Median speed when something was timed, as a share of the fastest seen."""
        return statistics.median(self._speeds) if self._speeds else None

    def wait(self) -> float:
        """Waits while the processors are slow; looks once a second at most.

        Returns:
            Seconds that it took.
        """
        began = time.perf_counter()
        if began - self._looked < _EVERY_S:
            return 0.0
        speed = self._look()
        while speed < SLOW and time.perf_counter() - began < self._left_s:
            time.sleep(_NAP_S)
            speed = self._look()
        self._speeds.append(speed)
        self._looked = time.perf_counter()
        took_s = self._looked - began
        self._left_s -= took_s
        return took_s

    def _look(self) -> float:
        global _fastest_s
        seconds = min(self._probe() for _ in range(_TRIES))
        _fastest_s = min(_fastest_s, seconds)
        return _fastest_s / seconds


def probe_s() -> float:
    """Seconds of some arithmetic and some reading of weights, on this process's threads."""
    square, weights, vector = _operands()
    began = time.perf_counter()
    torch.mm(square, square)
    torch.mv(weights, vector)
    return time.perf_counter() - began


@lru_cache(maxsize=1)
def _operands() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.ones(768, 768), torch.ones(4096, 4096), torch.ones(4096)
