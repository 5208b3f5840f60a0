"""The processes of a service: those that answer, and the worker beside them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from api.memory import starting

if TYPE_CHECKING:
    from litestar import Litestar

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The client library's own variable: where processes keep what they count, as files."""

_FORKS = "forkserver" in multiprocessing.get_all_start_methods()

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
def getting_ready(processes: int) -> Iterator[None]:
    """Lets one process import the application, while this one is at something else.

    Those that answer are forked from it: they begin with what it has imported, share its memory,
    and whichever ended is soon replaced.

    Args:
        processes: How many will answer; one needs nothing of the kind.
    """
    if processes == 1:
        yield
        return
    # Requests are counted in files, so that any process can say what all of them had.
    with TemporaryDirectory(prefix="speechplan-metrics-") as folder:
        os.environ[METRICS_FOLDER] = folder
        if _FORKS:
            multiprocessing.set_forkserver_preload(["__main__", "api.preloaded"])
            forkserver.ensure_running()
        yield


class StartError(RuntimeError):
    """A service that ended before it answered; its log says why."""


def answer_alone(app: Litestar, bound: Sequence[socket.socket], options: Mapping[str, Any]) -> None:
    """Answers in this process.

    Args:
        app: What answers.
        bound: Where it listens.
        options: What else the server is told.

    Raises:
        StartError: It could not be started.
    """
    import uvicorn
    from uvicorn.config import STARTUP_FAILURE

    server = uvicorn.Server(uvicorn.Config(app, **options))
    try:
        with suppress(KeyboardInterrupt):
            server.run(list(bound))
    except SystemExit as error:
        if error.code != STARTUP_FAILURE:
            raise
        raise StartError("the service could not be started: its log says why") from None


def answer_together(
    processes: int, bound: Sequence[socket.socket], options: Mapping[str, Any]
) -> None:
    """Answers in several processes, of which this one only looks after the others.

    Args:
        processes: How many; each makes an application of its own. :func:`getting_ready` for them.
        bound: Where they listen.
        options: What else the server is told.

    Raises:
        StartError: One of them could not be started.
    """
    import uvicorn
    from uvicorn import _subprocess
    from uvicorn.config import STARTUP_FAILURE
    from uvicorn.supervisors import Multiprocess

    if _FORKS:  # The server knows no other way of being told.
        _subprocess.spawn = multiprocessing.get_context("forkserver")  # type: ignore[assignment]
    config = uvicorn.Config(
        f"{__name__}:{application.__name__}", factory=True, workers=processes, **options
    )
    # Elsewhere the last one that asks for a port gets all of its connections.
    linux = sys.platform == "linux"
    listening: list[socket.socket] = [Spread(one) if linux else one for one in bound]
    together = Multiprocess(config, listening)
    together.run()
    if any(one.exitcode == STARTUP_FAILURE for one in together.processes):
        raise StartError("the service could not be started: its log says why")


class Spread(socket.socket):
    """A bound socket of which every process that it is handed to gets one of its own.

    Then the kernel spreads connections over them. Of one that they share, whichever process
    wakes up first takes all that wait, and one of two processors has nothing to do.

    Args:
        bound: What is bound already, so that nobody else may have the address.
    """

    def __init__(self, bound: socket.socket) -> None:
        super().__init__(bound.family, bound.type, bound.proto, bound.detach())
        # Only now: two services that both asked for it would share a port.
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_its_own, (self.family, self.getsockname())


def _of_its_own(family: int, address: Any) -> socket.socket:
    made = socket.socket(family)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(address)
    return made


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
        name: Its name; its own default when left out.
    """

    def __init__(self, device: str, name: str | None = None) -> None:
        self._command = [
            *(sys.executable, "-m", "api.cli", "worker"),
            *("--device", device, "--attached"),
            *(() if name is None else ("--name", name)),
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
