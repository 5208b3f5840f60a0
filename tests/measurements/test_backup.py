"""Copies of a store, on SQLite and on PostgreSQL: taken in use, checked, put back."""

import os
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from measurements.exchange import from_rows
from measurements.store import Store, StoreError, backup
from measurements.store.backup import back_up, restore

ROW = {
    "study": "own",
    "dataset": "ours",
    "provenance": "me",
    "model": "tiny.en",
    "wer": 0.05,
    "unit": "fraction",
}


def rows(*windows):
    return from_rows([{**ROW, "window_s": window} for window in windows])


def held(store):
    return [measurement.configuration.window_s for _, measurement in store.measurements()]


@pytest.fixture
def store(database_url):
    opened = Store.open(database_url)
    opened.add_measurements(rows(5, 6))
    opened.add_api_key("k1", name="ours", scope="plan", digest="d")
    yield opened
    opened.close()


def test_what_was_copied_comes_back_and_nothing_else_does(store, tmp_path):
    """Under an open store, as it is under a service; its later rows are gone, its keys are not."""
    copy = tmp_path / "copy"
    back_up(store.url, copy)
    assert not list(tmp_path.glob("*.part"))
    store.add_measurements(rows(7))
    store.revoke_api_key("k1")
    restore(store.url, copy, force=True)
    store.close()
    again = Store.open(store.url)
    assert held(again) == [5, 6]
    assert again.api_key("k1").revoked_at is None
    assert again.add_measurements(rows(5, 8)) == 1
    again.close()


def test_nothing_is_replaced_unless_told_to(store, tmp_path):
    copy = tmp_path / "copy"
    back_up(store.url, copy)
    before = copy.read_bytes()
    with pytest.raises(StoreError, match="--force"):
        back_up(store.url, copy)
    assert copy.read_bytes() == before
    with pytest.raises(StoreError, match="--force"):
        restore(store.url, copy)
    store.add_measurements(rows(9))
    assert held(store) == [5, 6, 9]
    back_up(store.url, copy, force=True)


@pytest.mark.parametrize("content", [b"", b"not a database" * 100, b"PGDMP" + b"\0" * 200])
def test_a_file_that_is_no_copy_changes_nothing(store, tmp_path, content):
    broken = tmp_path / "broken"
    broken.write_bytes(content)
    with pytest.raises(StoreError, match="no copy of a store"):
        restore(store.url, broken, force=True)
    assert held(store) == [5, 6]


def test_a_damaged_copy_changes_nothing(store, tmp_path):
    """Half a file still has a good head; catches a store that is half replaced."""
    store.add_measurements(rows(*range(7, 30)))
    copy = tmp_path / "copy"
    back_up(store.url, copy)
    content = copy.read_bytes()
    copy.write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError):
        restore(store.url, copy, force=True)
    assert len(held(store)) == 25


def test_a_copy_of_another_version_is_upgraded_or_refused(store, tmp_path):
    engine = create_engine(store.url)

    def set_revision(revision):
        with engine.begin() as connection:
            connection.execute(text(f"update alembic_version set version_num = '{revision}'"))

    copy = tmp_path / "copy"
    known = store.schema()
    set_revision("9999")
    back_up(store.url, copy)
    set_revision(known)
    engine.dispose()
    with pytest.raises(StoreError, match="newer speechplan"):
        restore(store.url, copy, force=True)
    assert held(store) == [5, 6]


def test_a_copy_of_an_older_version_is_brought_up_to_date(database_url, tmp_path):
    from alembic import command
    from alembic.config import Config

    old = Store(database_url)
    Store.open(database_url).close()
    config = Config()
    config.set_main_option("script_location", str(Path("measurements/store/migrations").resolve()))
    engine = create_engine(database_url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
    copy = tmp_path / "copy"
    back_up(database_url, copy)
    restore(database_url, copy, force=True)
    old.check_schema()
    old.close()
    engine.dispose()


@pytest.mark.parametrize(
    ("copy", "said"), [("no/such/folder/copy", "no folder"), ("copy", "no store")]
)
def test_what_can_t_be_copied_is_named(tmp_path, copy, said):
    with pytest.raises(StoreError, match=said):
        back_up(f"sqlite:///{tmp_path / 'none.db'}", tmp_path / copy)
    assert not list(tmp_path.iterdir())


def test_a_copy_restores_where_there_was_no_store(store, tmp_path, request):
    copy = tmp_path / "copy"
    back_up(store.url, copy)
    if store.url.startswith("sqlite"):
        fresh = f"sqlite:///{tmp_path / 'another' / 'new.db'}"
    else:
        fresh = request.getfixturevalue("postgres").fresh()
    restore(fresh, copy)
    found = Store.open(fresh)
    assert held(found) == [5, 6]
    found.close()


def test_the_password_is_on_no_command_line(monkeypatch, tmp_path):
    """Every user of the machine reads those. A script in pg_dump's place notes what it is given."""
    tools = tmp_path / "bin"
    tools.mkdir()
    script = tools / "pg_dump"
    script.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/args\nenv > {tmp_path}/env\nexit 1\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    url = "postgresql+psycopg://me:geheim@db:6543/plans?sslmode=require"
    monkeypatch.setattr(backup, "_holds_something", lambda _: True)
    with pytest.raises(StoreError, match="pg_dump: exit code 1"):
        backup.back_up(url, tmp_path / "copy")
    assert "geheim" not in (tmp_path / "args").read_text()
    told = set((tmp_path / "env").read_text().splitlines())
    assert told >= {"PGPASSWORD=geheim", "PGSSLMODE=require", "PGHOST=db", "PGPORT=6543"}


def test_sqlite_is_copied_while_somebody_writes(tmp_path):
    """A half-written transaction is not in the copy, and does not keep it from being made."""
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    store.add_measurements(rows(5))
    with sqlite3.connect(tmp_path / "store.db") as writer:
        writer.execute("begin immediate")
        writer.execute("delete from measurements")
        back_up(store.url, tmp_path / "copy")
        writer.rollback()
    found = Store.open(f"sqlite:///{tmp_path / 'copy'}")
    assert held(found) == [5]
    found.close()
    store.close()
