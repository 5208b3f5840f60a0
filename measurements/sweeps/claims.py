"""Who is at work on a run: claims that live as long as their owner's heart beats."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from measurements.store import Store
from measurements.store.sweeps import Claim

BEAT_S = 5.0
EXPIRES_S = 60.0

_at_work: set[tuple[str, str]] = set()
"""Stores' addresses and runs: what a thread of this process has taken and not left."""

_lock = threading.Lock()


class Claims:
    """Claims of this process on runs in a store.

    A claim whose owner has not beaten for a minute is void, and so is, at once,
    one whose owner was a process of this machine that is no more. Which of its own
    claims a process is at work on it knows itself: one that it could not give up,
    since the database was away, it may take again.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.owner = f"{_place()}:{os.getpid()}:{_started(os.getpid())}"

    def take(self, run: str) -> bool:
        """Claims a run unless somebody alive has it."""
        with _lock:
            if self._at_work(run):
                return False
            _at_work.add((self._store.url, run))
        taken = False
        try:
            taken = self._claim(run)
        finally:
            if not taken:
                self._leave(run)
        return taken

    def seize(self, run: str) -> None:
        """Claims a run whoever has it."""
        with _lock:
            _at_work.add((self._store.url, run))
        try:
            while not self._claim(run):
                other = self._store.claims().get(run)
                if other is not None and self._store.take_over(run, other, self.owner, time.time()):
                    break
        except SQLAlchemyError:
            self._leave(run)
            raise

    def neighbour(self, run: str) -> int | None:
        """The process id of another living process of this machine that has a claim on a run."""
        claim = self._store.claims().get(run)
        if claim is None or claim.owner == self.owner or not alive(claim):
            return None
        place, pid, _ = claim.owner.rsplit(":", 2)
        return int(pid) if place == _place() else None

    def got_on(self, run: str) -> None:
        """Notes that there is a new result of a run whose claim is held."""
        self._store.bear(run, self.owner)

    @contextmanager
    def held(self, run: str) -> Iterator[None]:
        """Keeps a claim that was taken alive, and gives it up at the end."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(BEAT_S):
                # A database that is away for a while must not stop the heart for good.
                with suppress(SQLAlchemyError):
                    self._store.beat(run, self.owner, time.time())

        heart = threading.Thread(target=beat, daemon=True, name="heartbeat")
        heart.start()
        try:
            yield
        finally:
            stop.set()
            heart.join()
            self._leave(run)
            # Without a beat it is void in a minute, and for this process at once.
            with suppress(SQLAlchemyError):
                self._store.release(run, self.owner)

    def taken(self) -> set[str]:
        """Runs that somebody alive is at work on."""
        return {
            run
            for run, claim in self._store.claims().items()
            if (self._at_work(run) if claim.owner == self.owner else alive(claim))
        }

    def deaths(self) -> dict[str, int]:
        """How many owners in a row died at a run that nobody is at work on, and left no result."""
        return {r: claim.barren for r, claim in self._store.claims().items() if not alive(claim)}

    def _claim(self, run: str) -> bool:
        if self._store.claim(run, self.owner, time.time()):
            return True
        other = self._store.claims().get(run)
        if other is not None and other.owner == self.owner:
            return True
        if other is None or alive(other):
            return False
        return self._store.take_over(run, other, self.owner, time.time())

    def _at_work(self, run: str) -> bool:
        return (self._store.url, run) in _at_work

    def _leave(self, run: str) -> None:
        _at_work.discard((self._store.url, run))


def alive(claim: Claim) -> bool:
    """Whether a claim still holds."""
    if time.time() - claim.beat_s > EXPIRES_S:
        return False
    place, pid, started = claim.owner.rsplit(":", 2)
    return place != _place() or _started(int(pid)) == started


def _place() -> str:
    """This machine, and the namespace that its process ids are valid in."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return f"{platform.node()}{namespace}"


def _started(pid: int) -> str:
    """When a process began, so that its id is not mistaken for a later one's; empty if none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "" if Path("/proc/self/stat").exists() else _running(pid)
    # The name in brackets may hold anything; the state is the first field behind it.
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


def _running(pid: int) -> str:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "running"
