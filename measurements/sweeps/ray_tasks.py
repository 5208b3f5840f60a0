"""What runs in Ray's processes: tasks that work a sweep off, and the board they report to.

Neither knows Ray. What goes to them and comes back are words and numbers; results go
to the store.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from measurements.store import Store
from measurements.sweeps.runner import Sweep
from measurements.sweeps.states import SweepProgress

TURN_S = 600.0
"""How long a task takes new runs, before others who wait for its GPU have their turn."""

Tell = Callable[[str, dict[str, Any]], object]


class Board:
    """How far the runs under way are, in the words of the processes that are at them."""

    def __init__(self) -> None:
        self._told: dict[str, dict[str, Any]] = {}

    def tell(self, run: str, progress: dict[str, Any]) -> None:
        """Notes how far a run is.

        Args:
            run: Its key.
            progress: Fields of :class:`measurements.progress.Progress`.
        """
        self._told[run] = progress

    def read(self) -> dict[str, dict[str, Any]]:
        """What was told last of each run, those that are over included."""
        return self._told


def work_off(identifier: str, url: str, device: str, tell: Tell, turn_s: float = TURN_S) -> int:
    """Does runs that nobody has, one after the other.

    Args:
        identifier: The sweep's.
        url: The store's.
        device: Where runs go whose device is ``auto``.
        tell: Told how far a run is, as :meth:`Board.tell` is.
        turn_s: After so many seconds no other run is begun.

    Returns:
        How many there were.

    Raises:
        SQLAlchemyError: The database is away.
        StoreError: The store can't be opened here.
        UnknownNameError: The store has no such sweep.
    """

    def report(progress: SweepProgress) -> None:
        for run, now in progress.current.items():
            tell(run, asdict(now))

    began, took = time.monotonic(), 0
    store = Store.open(url)
    try:
        work = Sweep.of(identifier, store, device=device)
        while work.run_next(report):
            took += 1
            if time.monotonic() - began >= turn_s:
                break
        return took
    finally:
        store.close()
