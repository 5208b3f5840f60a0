"""Tells what would go on for long that the service is about to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopping:
    """Set once, by a signal; asked by event streams and by answers that wait for a run."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def asked(self) -> bool:
        """Whether the service was told to end."""
        return self._event.is_set()

    def ask(self) -> None:
        """Lets streams and waiting answers end with what they have."""
        self._event.set()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Hears of SIGINT and SIGTERM before the server's own handlers do.

        A server waits for its connections before it tells the application anything, and an
        event stream would keep it waiting. Outside of the main thread, where no signal
        arrives, it does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def heard(number: int, frame: FrameType | None) -> None:
            self.ask()
            handler = before[signal.Signals(number)]
            if callable(handler):
                handler(number, frame)

        for number in before:
            signal.signal(number, heard)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
