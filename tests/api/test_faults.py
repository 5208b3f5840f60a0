"""Databases that are locked, full or gone: a clear problem, then recovery without a restart."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager

import pytest
from litestar.testing import TestClient
from sqlalchemy.exc import OperationalError

from api.app import create_app
from measurements.jobs import orphans
from measurements.jobs.queue import JobQueue
from measurements.settings import Settings
from measurements.store import Store
from tests.conftest import needs_weights

ROW = {
    "study": "mine",
    "dataset": "calls",
    "provenance": "ours",
    "model": "base",
    "wer": 0.2,
    "unit": "fraction",
}
SWEEP = {"models": ["tiny.en"], "speech": [{"dataset": "demo", "limit": 2}]}
ASKED = {"budget": {"gflops_per_utterance": 200}}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr("api.app.BUSY_S", 0.3)
    monkeypatch.setattr("measurements.jobs.queue.BUSY_S", 0.3)


@contextmanager
def service(url):
    app = create_app(Settings(database_url=url))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def take_in(client, **fields):
    return client.post("/v1/measurements", json={"rows": [{**ROW, **fields}]})


def is_problem(response, status, code):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"].endswith(f"/{code}")
    assert response.json()["status"] == status
    if status == 503:
        assert int(response.headers["retry-after"]) > 0
    return True


@contextmanager
def locked(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("begin immediate")
        yield


def test_a_store_that_somebody_writes_to_is_busy_for_writers_only(tmp_path):
    with service(f"sqlite:///{tmp_path / 'store.db'}") as client:
        with locked(tmp_path / "store.db"):
            is_problem(take_in(client), 503, "store-busy")
            assert client.get("/v1/studies").status_code == 200
            assert client.post("/v1/recommendations", json=ASKED).status_code == 200
        assert take_in(client).json() == {"stored": 1, "known": 0}


def test_a_queue_that_is_locked_keeps_nothing_that_seems_to_run(tmp_path):
    """Catches a request that waits for ever, and a sweep that nobody will ever take up."""
    with service(f"sqlite:///{tmp_path / 'store.db'}") as client:
        with locked(tmp_path / "store-jobs.db"):
            is_problem(client.post("/v1/sweeps", json=SWEEP), 503, "store-busy")
            assert [s["status"] for s in client.get("/v1/sweeps").json()["items"]] == ["cancelled"]
        begun = client.post("/v1/sweeps", json=SWEEP)
        assert (begun.status_code, begun.json()["status"]) == (202, "running")


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder]
    mounted = subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0
    if not mounted:
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_stores_nothing_and_says_so(small_disk):
    with service(f"sqlite:///{small_disk / 'store.db'}") as client:
        assert take_in(client).status_code == 200
        filler = small_disk / "filler"
        with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as stream:
            while True:
                stream.write(b"0" * 4096)
        rows = [{**ROW, "window_s": round(1 + 0.02 * n, 2)} for n in range(60)]
        refused = client.post("/v1/measurements", json={"rows": rows})
        is_problem(refused, 507, "disk-full")
        assert len(client.get("/v1/studies/mine/measurements").json()["items"]) == 1
        filler.unlink()
        stored = client.post("/v1/measurements", json={"rows": rows})
        assert stored.json() == {"stored": 60, "known": 0}


@pytest.mark.real
@needs_weights
def test_a_worker_whose_disk_is_full_goes_on_behind_that(small_disk, tmp_path):
    """Catches runs that fail with the disk, and measurements of which only a part is there."""
    url = f"sqlite:///{small_disk / 'store.db'}"
    sweep = {**SWEEP, "axes": {"window_s": [20, 22]}, "timing": False}
    log, filler = tmp_path / "log", small_disk / "filler"
    with service(url) as client, log.open("w") as logged:
        place = client.post("/v1/sweeps", json=sweep).headers["location"]
        environment = os.environ | {"SPEECHPLAN_DATABASE_URL": url}
        command = [sys.executable, "-m", "api.cli", "worker"]
        worker = subprocess.Popen(command, env=environment, stderr=logged)
        try:

            def until(reached):
                end = time.monotonic() + 900
                while not reached():
                    assert worker.poll() is None, log.read_text()[-2000:]
                    assert time.monotonic() < end, log.read_text()[-2000:]
                    time.sleep(0.3)

            until(lambda: client.get(place).json()["done"])
            with pytest.raises(OSError, match="No space"), filler.open("wb", 0) as stream:
                while True:
                    stream.write(b"0" * 4096)
            until(lambda: "disk is full" in log.read_text())
            found = client.get(place).json()
            assert (found["status"], found["failed"]) == ("running", 0)
            filler.unlink()
            until(lambda: client.get(place).json()["status"] != "running")
        finally:
            worker.kill()
            worker.wait()
        found = client.get(place).json()
        assert (found["status"], found["done"], found["failed"]) == ("done", 3, 0)
    store = Store(url)
    measured = [measurement for _, measurement in store.measurements()]
    assert len(measured) == store.revision() == 3
    assert {len(store.utterances(measurement.key)) for measurement in measured} == {2}
    store.close()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ("DiskFull", 507, "disk-full"),  # 53100
        ("InsufficientResources", 507, "disk-full"),  # 53000
        ("AdminShutdown", 503, "store-unavailable"),
    ],
)
def test_postgresql_s_word_for_it_is_understood(error, status, code, tmp_path, monkeypatch):
    errors = pytest.importorskip("psycopg").errors

    def refuse(*_):
        raise OperationalError("insert", {}, getattr(errors, error)("could not extend file"))

    with service(f"sqlite:///{tmp_path / 'store.db'}") as client:
        monkeypatch.setattr(Store, "add_measurements", refuse)
        is_problem(take_in(client), status, code)


def test_a_file_that_is_gone_is_asked_for_again(tmp_path):
    """Catches writing on into a file that has been removed, and an empty one in its place."""
    place, away = tmp_path / "store.db", tmp_path / "away.db"
    with service(f"sqlite:///{place}") as client:
        assert take_in(client).status_code == 200
        before = client.get("/v1/studies/mine/measurements").json()
        with closing(sqlite3.connect(place)) as connection:
            connection.execute("pragma wal_checkpoint(truncate)")
        place.rename(away)
        for response in (
            client.get("/health"),
            client.get("/v1/studies"),
            client.post("/v1/recommendations", json=ASKED),
            take_in(client, window_s=10),
        ):
            is_problem(response, 503, "store-unavailable")
        assert not place.exists()
        shutil.copy(away, place)  # as from a backup
        assert client.get("/health").status_code == 200
        assert client.get("/v1/studies/mine/measurements").json() == before
        assert take_in(client, window_s=10).json() == {"stored": 1, "known": 0}


def test_a_server_that_stops_and_starts_again(postgres):
    with service(postgres.fresh()) as client:
        assert take_in(client).json() == {"stored": 1, "known": 0}
        assert client.post("/v1/sweeps", json=SWEEP).status_code == 202
        postgres.stop()
        try:
            for response in (
                client.get("/health"),
                client.get("/v1/studies"),
                client.get("/v1/sweeps"),
                client.post("/v1/recommendations", json=ASKED),
                client.post("/v1/sweeps", json=SWEEP),
                take_in(client, window_s=10),
            ):
                is_problem(response, 503, "store-unavailable")
        finally:
            postgres.start()
        assert client.get("/health").status_code == 200
        assert take_in(client).json() == {"stored": 0, "known": 1}
        assert take_in(client, window_s=10).json() == {"stored": 1, "known": 0}
        assert client.post("/v1/sweeps", json=SWEEP).status_code == 202


@needs_weights
def test_a_verification_without_a_job_is_queued_later(tmp_path):
    """As when the service is killed between its note in the store and the queue."""
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'store.db'}")
    body = {
        "question": {"study": "asr-demo", "budget": {"gflops_per_utterance": 400}},
        "configuration": {"model": "tiny.en"},
    }
    with service(settings.database_url) as client:
        with locked(tmp_path / "store-jobs.db"):
            is_problem(client.post("/v1/verifications", json=body), 503, "store-busy")
        (noted,) = client.get("/v1/verifications").json()["items"]
        store, queue = Store(settings.database_url), JobQueue(settings)
        assert queue.job_status(noted["id"]) is None
        assert orphans.adopt(store, queue) == []  # it may still be on its way
        assert orphans.adopt(store, queue, settled_after=orphans.SETTLED_AFTER * 0) == [noted["id"]]
        assert queue.job_status(noted["id"]) == "ENQUEUED"
        assert orphans.adopt(store, queue, settled_after=orphans.SETTLED_AFTER * 0) == []
        queue.close()
        store.close()


@pytest.mark.real
@needs_weights
def test_killed_under_load_nothing_is_lost_doubled_or_half_done(tmp_path):
    """``python -m benchmarks.faults`` does it twenty times."""
    from benchmarks.faults import run

    found = run(2, tmp_path, longest_s=4.0)
    assert (found["lost"], found["doubled"], found["half"]) == ("0", "0", "0")
    assert found["kills"] == "1 service, 1 worker, 0 both"
    assert not found["accepted"].startswith("0 sweeps")
