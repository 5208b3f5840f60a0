"""Connections to the store's database: SQLite's file is looked at again, PostgreSQL's pinged."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DisconnectionError, OperationalError

BUSY_S = 5.0
"""How long a request waits for a database that somebody else has locked."""

PATIENT_S = 60.0
"""How long a run does, which has more to lose."""

_CONNECT_S = 5
_AGAIN_S = 0.05
_LOCK = {"key": 0x5350_4545_4348}
_POOL = 16
_MEMORY = ("", ":memory:")


def make_engine(url: str, busy_s: float) -> Engine:
    """An engine whose connections outlive a database that goes away and comes back.

    Args:
        url: SQLAlchemy URL.
        busy_s: How long to wait for a lock, or for a connection.

    Raises:
        SQLAlchemyError: The URL is not one.
        ImportError: Its driver is not installed.
    """
    if not url.startswith("sqlite"):
        return create_engine(
            url,
            pool_pre_ping=True,
            pool_size=_POOL,
            pool_timeout=busy_s,
            connect_args={"connect_timeout": _CONNECT_S},
        )
    parsed = make_url(url)
    database = parsed.database or ""
    if database in _MEMORY:
        return create_engine(url)
    place = Path(database)
    # A file that is gone is an error, not a new and empty database: only create_file makes one.
    existing = parsed.set(
        database=f"file:{quote(database)}", query={**parsed.query, "mode": "rw", "uri": "true"}
    )
    engine = create_engine(
        existing, pool_size=_POOL, pool_timeout=busy_s, connect_args={"timeout": busy_s}
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, record: Any) -> None:
        record.info["file"] = _identity(place)
        cursor = connection.cursor()
        _write_ahead(cursor, busy_s)
        cursor.execute("pragma synchronous=normal")
        cursor.close()

    @event.listens_for(engine, "checkout")
    def _still_that_file(connection: Any, record: Any, _: Any) -> None:
        # Without this, what is written after a file was removed or restored would be lost.
        if record.info["file"] != _identity(place):
            raise DisconnectionError(f"{place} is another file now")

    return engine


def _write_ahead(cursor: sqlite3.Cursor, busy_s: float) -> None:
    """Has readers and the one writer of a file not wait for each other.

    A new file may be at its first write, by a process that began together with this one: SQLite
    refuses to change the mode then, without waiting as it does for every other lock.
    """
    until = time.monotonic() + busy_s
    while True:
        try:
            cursor.execute("pragma journal_mode=wal")
            return
        except sqlite3.OperationalError as error:
            if not _locked(error) or time.monotonic() > until:
                raise
            time.sleep(_AGAIN_S)


def create_file(url: str) -> None:
    """Makes the file of an SQLite database, and its folder, where they are not there yet."""
    database = make_url(url).database or ""
    if url.startswith("sqlite") and database not in _MEMORY:
        place = Path(database)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()


def is_full(error: BaseException) -> bool:
    """Whether a database refused to write because its disk is full."""
    original = getattr(error, "orig", None)
    return getattr(original, "sqlite_errorname", None) == "SQLITE_FULL" or (
        getattr(original, "sqlstate", None) in ("53100", "53000")
    )


def is_busy(error: BaseException) -> bool:
    """Whether a database can be reached and somebody else keeps it from answering."""
    return isinstance(error, OperationalError) and _locked(error.orig)


def _locked(original: object) -> bool:
    name = str(getattr(original, "sqlite_errorname", ""))
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def _identity(place: Path) -> tuple[int, int] | None:
    try:
        found = place.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def migrating(url: str) -> Iterator[None]:
    """Lets one process at a time, of all that start together, change a database's tables.

    Raises:
        SQLAlchemyError: The database can't be reached.
    """
    if not url.startswith("sqlite"):
        # The job engine takes URLs without a driver; SQLAlchemy would look for another one.
        address = make_url(url).set(drivername="postgresql+psycopg")
        engine = make_engine(address.render_as_string(hide_password=False), BUSY_S)
        try:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                # Asked again and again: an index that is made concurrently waits for every
                # statement under way, and one that waits for the lock would never end.
                while not connection.scalar(text("select pg_try_advisory_lock(:key)"), _LOCK):
                    time.sleep(0.1)
                yield
        finally:
            engine.dispose()  # and with the connection the lock
    elif (database := make_url(url).database or "") in _MEMORY:
        yield
    else:
        # The folder's lock, since SQLite's own are lost when anybody else opens the file.
        folder = os.open(Path(database).parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)
