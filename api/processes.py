"""The processes of a service: those that answer, and the worker beside them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from api.memory import starting

if TYPE_CHECKING:
    from litestar import Litestar

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The client library's own variable: where processes keep what they count, as files."""

_LIVED_S = 30.0
"""A worker that lived shorter than this is started again after a pause only."""

_PAUSE_S = 5.0
_NICE = 5


def application() -> Litestar:
    """The application in one of several processes that answer; ends with the one above it."""
    end_with_parent()
    with starting():
        from api.app import served

        return served()


@contextmanager
def counted_together(processes: int) -> Iterator[None]:
    """Lets processes that are begun meanwhile count the requests of all of them."""
    if processes == 1:
        yield
        return
    with TemporaryDirectory(prefix="speechplan-metrics-") as folder:
        os.environ[METRICS_FOLDER] = folder
        yield


def end_with_parent() -> None:
    """Ends this process when the one that spawned it is gone, however that ended.

    Otherwise it would keep the port, and the service could not be started again.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=watch, daemon=True, name="parent").start()


def lower_priority() -> None:
    """Lets answers go before runs where both want the processors."""
    os.nice(_NICE)


class WorkerProcess:
    """A worker that is started again whenever it ends by itself.

    Args:
        device: Where its models run.
    """

    def __init__(self, device: str) -> None:
        self._command = [
            *(sys.executable, "-m", "api.cli", "worker"),
            *("--device", device, "--attached"),
        ]
        self._stopping = threading.Event()
        self._process = self._spawn()
        self._watch = threading.Thread(target=self._watched, daemon=True, name="worker's watch")
        self._watch.start()

    def stop(self) -> None:
        """Ends it and waits for that."""
        self._stopping.set()
        self._process.communicate()
        self._watch.join()

    def _spawn(self) -> subprocess.Popen[bytes]:
        # Its standard input closes with this process; a signal would need this one alive.
        return subprocess.Popen(self._command, stdin=subprocess.PIPE)

    def _watched(self) -> None:
        while True:
            began = time.monotonic()
            self._process.wait()
            short = time.monotonic() - began < _LIVED_S
            if self._stopping.wait(_PAUSE_S if short else 0):
                return
            self._process = self._spawn()
