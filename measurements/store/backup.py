"""Copies of a store: taken while it is in use, checked before they replace anything.

SQLite by its online backup, PostgreSQL by ``pg_dump`` and ``pg_restore``. The job engine's
database is not in a copy: what was unfinished is queued again from the store.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, make_url

from measurements.settings import without_password
from measurements.store.store import SCHEMA_REVISION, Store, StoreError

_SCHEMA = "public"
"""The store's own; the job engine keeps its tables in another."""


def back_up(url: str, file: Path, *, force: bool = False) -> None:
    """Writes a copy of a store to a file.

    Args:
        url: The store.
        file: Where the copy goes; it appears there when it is whole.
        force: Whether a file that is there is replaced.

    Raises:
        StoreError: There is no store, a file is in the way, or the copy fails.
    """
    if file.exists() and not force:
        raise StoreError(f"{file} is there already; --force replaces it")
    if not file.parent.is_dir():
        raise StoreError(f"there is no folder {file.parent}")
    if not _holds_something(url):
        raise StoreError(f"there is no store at {without_password(url)}")
    part = file.with_name(file.name + ".part")
    try:
        if _is_sqlite(url):
            with closing(sqlite3.connect(_path(url))) as at, closing(sqlite3.connect(part)) as to:
                at.backup(to)
                to.execute("pragma journal_mode=delete")  # one file, readable on its own
        else:
            command = ["--format=custom", f"--schema={_SCHEMA}", f"--file={part}"]
            _postgres("pg_dump", make_url(url), *command)
        part.replace(file)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{file}: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def restore(url: str, file: Path, *, force: bool = False) -> None:
    """Puts a copy in a store's place and brings its tables up to date.

    Args:
        url: The store.
        file: A copy that :func:`back_up` made, of this version's schema or an older one's.
        force: Whether a store that holds something is replaced.

    Raises:
        StoreError: The file is no copy of a store, is a newer version's or the other
            database's, or a store is in the way.
    """
    if not file.is_file():
        raise StoreError(f"there is no file {file}")
    revision = _sqlite_revision(file) if _is_sqlite(url) else _postgres_revision(file)
    if revision > SCHEMA_REVISION:
        raise StoreError(
            f"{file} was written by a newer speechplan (schema {revision}; this one knows"
            f" {SCHEMA_REVISION})"
        )
    if not force and _holds_something(url):
        raise StoreError("there is a store already; --force replaces what is in it")
    if _is_sqlite(url):
        _path(url).parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(_read_only(file)) as copy, closing(sqlite3.connect(_path(url))) as store:
                copy.backup(store)
        except sqlite3.Error as error:
            raise StoreError(f"{_path(url)}: {error}") from error
    else:
        # In one transaction: a copy that is damaged leaves the store as it was.
        command = ["--clean", "--if-exists", "--no-owner", "--single-transaction"]
        _postgres("pg_restore", make_url(url), *command, "--dbname", "", str(file))
    Store.open(url).close()


def _holds_something(url: str) -> bool:
    if not Store.exists(url):
        return False
    store = Store(url)
    try:
        return store.schema() is not None
    finally:
        store.close()


def _is_sqlite(url: str) -> bool:
    return url.startswith("sqlite")


def _path(url: str) -> Path:
    return Path(make_url(url).database or "")


def _sqlite_revision(file: Path) -> str:
    try:
        with closing(_read_only(file)) as copy:
            (state,) = copy.execute("pragma integrity_check").fetchone()
            if state != "ok":
                raise StoreError(f"{file} is damaged: {state}")
            (found,) = copy.execute("select version_num from alembic_version").fetchone()
            copy.execute("select key from measurements limit 1")
            return str(found)
    except (sqlite3.Error, TypeError) as error:
        raise StoreError(f"{file} is no copy of a store on SQLite: {error}") from error


def _read_only(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(file))}?mode=ro&immutable=1", uri=True)


def _postgres_revision(file: Path) -> str:
    """The schema that a copy holds, read from the copy itself."""
    command = ["--data-only", f"--schema={_SCHEMA}", "--table=alembic_version", "--file=-"]
    try:
        text = _run("pg_restore", [*command, str(file)], {})
    except StoreError as error:
        raise StoreError(f"{file} is no copy of a store on PostgreSQL: {error}") from error
    lines = text.splitlines()
    begins = (k for k, line in enumerate(lines) if line.startswith("COPY public.alembic_version"))
    place = next(begins, None)
    if place is None:
        raise StoreError(f"{file} is no copy of a store on PostgreSQL")
    return lines[place + 1]


def _postgres(tool: str, url: URL, *arguments: str) -> None:
    """Runs a tool of PostgreSQL's; the password goes by the environment, where nobody reads it."""
    place = {
        "PGHOST": url.host,
        "PGPORT": None if url.port is None else str(url.port),
        "PGUSER": url.username,
        "PGPASSWORD": url.password,
        "PGDATABASE": url.database,
    } | {f"PG{name.upper()}": str(value) for name, value in url.query.items()}
    named = [url.database or "" if one == "" else one for one in arguments]
    _run(tool, named, {name: value for name, value in place.items() if value is not None})


def _run(tool: str, arguments: list[str], environment: dict[str, str]) -> str:
    found = shutil.which(tool)
    if found is None:
        raise StoreError(f"{tool} is not installed: it comes with PostgreSQL's client")
    done = subprocess.run(
        [found, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise StoreError(f"{tool}: {lines[0]}")
    return done.stdout
