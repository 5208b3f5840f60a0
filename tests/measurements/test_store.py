"""The store: one row a run, whole rows only, migrations."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Timer

import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import OperationalError

from measurements.catalogue import catalogue
from measurements.records import UtteranceResult
from measurements.store import Store, StoreError
from measurements.store.engine import make_engine
from measurements.store.store import SCHEMA_REVISION
from measurements.store.tables import Base


@pytest.fixture
def store(database_url):
    opened = Store.open(database_url)
    yield opened
    opened.close()


def result(name, words=10):
    return UtteranceResult(
        utterance=name,
        audio_s=1.5,
        substitutions=1,
        deletions=0,
        insertions=2,
        reference_words=words,
        hypothesis="what was heard",
        passes=((1500, 5), (1500, 7)),
        text_tokens=10,
        windows=2,
    )


def test_measurements_come_back_as_they_were(store):
    kept = catalogue()[:20]
    for measurement in kept:
        assert store.add_measurement(measurement)
    assert [m for _, m in store.measurements()] == list(kept)
    assert store.measurement(kept[3].key) == kept[3]
    assert store.measurement("nothing") is None


def test_the_same_run_twice_is_one_row(store):
    one = catalogue()[0]
    assert store.add_measurement(one)
    before = store.revision()
    assert not store.add_measurement(one)
    assert store.revision() == before == 1


def test_what_speech_a_study_is_of(store):
    """One run for each set of utterances, the largest first; no run that left no results."""
    known = next(m for m in catalogue() if m.dataset.fingerprint)
    for key, fingerprint, count in (("a", "few", 1), ("b", "many", 2), ("c", "many", 2)):
        dataset = known.dataset.model_copy(update={"fingerprint": fingerprint, "utterances": count})
        update = {"key": key, "study": "mine", "dataset": dataset, "provenance": f"run {key}"}
        store.add_measurement(known.model_copy(update=update))
        store.add_utterances(key, [result(f"u{n}") for n in range(count)])
    bare = known.dataset.model_copy(update={"fingerprint": "imported"})
    store.add_measurement(known.model_copy(update={"key": "d", "study": "mine", "dataset": bare}))
    found = store.speech_of("mine")
    assert [(said, [r.utterance for r in results]) for said, results in found] == [
        ("run c", ["u0", "u1"]),
        ("run a", ["u0"]),
    ]
    assert store.speech_of("other") == []


def test_pages(store):
    for measurement in catalogue()[:7]:
        store.add_measurement(measurement)
    first = store.measurements(limit=3)
    second = store.measurements(after=first[-1][0], limit=3)
    assert len({m.key for _, m in [*first, *second]}) == 6
    assert store.measurements(study="no such study") == []


def test_checkpoints_are_written_once_however_often(store):
    assert store.add_utterances("run", [result("b"), result("a")]) == 2
    assert store.add_utterances("run", [result("a", words=99), result("c")]) == 1
    assert [r.utterance for r in store.utterances("run")] == ["a", "b", "c"]
    assert store.utterances("run")[0] == result("a")
    assert store.utterances("other") == []


def test_writers_do_not_trip_over_each_other(store):
    def write(index):
        other = Store(store.url)
        new = other.add_utterances("run", [result(f"{n:03d}") for n in range(50)])
        other.close()
        return new

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(write, range(6))) == 50
    assert len(store.utterances("run")) == 50


def test_whoever_comes_second_with_a_sweep_finds_it_there(store):
    """Processes that start one sweep together all note it; none of them fails."""
    others = [Store(store.url) for _ in range(4)]
    together = Barrier(len(others), timeout=180)

    def write(other):
        for n in range(30):
            together.wait()
            other.put_sweep(f"s{n}", status="running", document={})
            other.put_verification(f"v{n}", study="s", status="queued", document={})
        other.close()

    with ThreadPoolExecutor(len(others)) as pool:
        list(pool.map(write, others))
    assert len(store.sweeps()) == len(store.verifications()) == 30


def test_verifications(store):
    store.put_verification("v1", study="s", status="queued", document={"n": 1})
    store.put_verification("v1", study="s", status="failed", document={"n": 2}, error="why")
    row = store.verification("v1")
    assert (row.status, row.document, row.error) == ("failed", {"n": 2}, "why")
    assert store.verification("v2") is None
    # A worker that was about to note its progress does not bring a cancelled one back.
    store.put_verification("v3", study="t", status="cancelled", document={})
    store.put_verification("v3", study="t", status="running", document={"n": 1})
    assert store.verification("v3").status == "cancelled"
    assert [r.id for r in store.verifications(study="s", status="failed")] == ["v1"]
    assert list(store.verifications(status="queued")) == []


def test_opening_twice_changes_nothing_and_schemas_agree(store):
    store.add_measurement(catalogue()[0])
    Store.open(store.url).close()
    assert store.revision() == 1
    engine = create_engine(store.url)
    with engine.connect() as connection:
        found = inspect(connection)
        columns = {
            table: {column["name"] for column in found.get_columns(table)}
            for table in Base.metadata.tables
        }
        revision = connection.execute(text("select version_num from alembic_version")).scalar()
    engine.dispose()
    assert revision == SCHEMA_REVISION
    assert columns == {
        name: {column.name for column in table.columns}
        for name, table in Base.metadata.tables.items()
    }


def test_a_newer_store_is_left_alone(store):
    engine = create_engine(store.url)
    with engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StoreError, match="newer speechplan"):
        Store.open(store.url)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////proc/none/x.db",
        "postgresql+psycopg://nobody@127.0.0.1:1/none",
        "not a url",
        "oracle://x/y",
    ],
)
def test_a_store_out_of_reach_is_one_line(url):
    if url.startswith("postgresql"):
        pytest.importorskip("psycopg")
    with pytest.raises(StoreError) as caught:
        Store.open(url)
    assert "\n" not in str(caught.value)


def test_not_a_database(tmp_path):
    (tmp_path / "x.db").write_bytes(b"this is not a database, it only says so" * 50)
    with pytest.raises(StoreError):
        Store.open(f"sqlite:///{tmp_path / 'x.db'}")


def test_a_new_file_at_its_first_write_is_waited_for(tmp_path):
    """Catches processes that start together: SQLite does not wait to change the mode."""
    place = tmp_path / "store.db"
    writer = sqlite3.connect(place, isolation_level=None, check_same_thread=False)
    writer.execute("create table begun (x)")
    writer.execute("begin immediate")
    writer.execute("insert into begun values (1)")
    with pytest.raises(OperationalError, match="locked"):
        make_engine(f"sqlite:///{place}", 0.2).connect()
    done = Timer(0.3, lambda: writer.execute("commit"))
    done.start()
    with make_engine(f"sqlite:///{place}", 30.0).connect() as connection:
        assert connection.scalar(text("pragma journal_mode")) == "wal"
        assert connection.scalar(text("select count(*) from begun")) == 1
    done.join()
    writer.close()
