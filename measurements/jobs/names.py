"""Workers' names: the engine knows whose a job is by them, and the store which of them live."""

from __future__ import annotations

import hashlib
import itertools
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from measurements.store import Store
from measurements.sweeps.claims import Claims


class NameTaken(ValueError):
    """Another worker of the name lives on this machine, and both would run one's jobs."""


def default_name(store: Store) -> str:
    """HOST-1, or the first HOST-N of which no worker lives here: the same after a restart."""
    claims = Claims(store)
    names = (f"{platform.node()}-{number}" for number in itertools.count(1))
    return next(name for name in names if claims.neighbour(_claim(name)) is None)


class Names:
    """A worker's own name, which it claims for as long as it lives, and who else lives.

    Args:
        store: Where the claims are.
        own: Its name.
    """

    def __init__(self, store: Store, own: str) -> None:
        self._claims = Claims(store)
        self._own = own
        self._silent: set[str] = set()

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Holds the name; an earlier worker's claim on it, which may not be void yet, is taken.

        Raises:
            NameTaken: A living worker on this machine has it.
        """
        if (pid := self._claims.neighbour(_claim(self._own))) is not None:
            raise NameTaken(
                f"a worker called {self._own} runs here already (process {pid}):"
                " each needs a name of its own, by --name"
            )
        self.renew()
        with self._claims.held(_claim(self._own)):
            yield

    def renew(self) -> None:
        """Takes the name again, should another worker of the same one have had it since."""
        self._claims.seize(_claim(self._own))

    def vanished(self, names: Iterable[str]) -> set[str]:
        """Those of the others that had no living worker now, nor when this was asked last.

        Only once may be the moment when a database has come back and hearts beat again.
        """
        living = self._claims.taken()
        silent = {name for name in names if _claim(name) not in living} - {self._own}
        vanished = silent & self._silent
        self._silent = silent
        return vanished


def _claim(name: str) -> str:
    # A name may be longer than a claim's.
    return f"worker {hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}"
