"""Jobs that nobody would take up: whose worker has vanished, or that are on no way any more."""

import os
import platform
import signal
import subprocess
import sys
import time

import pytest
from sqlalchemy import create_engine, text

from measurements.jobs import orphans
from measurements.jobs.names import Names, NameTaken, default_name
from measurements.jobs.queue import JobQueue
from measurements.sweeps.kept import KeptSweep
from measurements.sweeps.spec import Speech, SweepSpec

GONE = "no-such-host:1:0"
SPEC = SweepSpec(models=("tiny.en",), speech=(Speech(dataset="demo", limit=1),), timing=False)


@pytest.fixture
def queue(settings):
    opened = JobQueue(settings)
    yield opened
    opened.close()


def jobs_of(settings, statement, **values):
    """What a statement to the job engine's own table gives, or changes."""
    engine = create_engine(settings.resolved_jobs_url)
    with engine.begin() as connection:
        done = connection.execute(text(statement), values)
        found = [tuple(row) for row in done] if done.returns_rows else []
    engine.dispose()
    return found


def test_two_hosts_workers_have_two_names(store, monkeypatch):
    """Catches a second host's worker that takes up what the first one's is still at."""
    first = default_name(store)
    assert first == default_name(store) == f"{platform.node()}-1"
    monkeypatch.setattr("platform.node", lambda: "another")
    assert default_name(store) == "another-1"


HOLDER = """
import sys
from measurements.jobs.names import Names
from measurements.store import Store
with Names(Store.open(sys.argv[1]), sys.argv[2]).claimed():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_workers_of_a_host_have_two_names(store, settings):
    """Catches a second worker that runs the jobs which the first one is at."""
    first = default_name(store)
    command = [sys.executable, "-c", HOLDER, settings.database_url, first]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        assert default_name(store) == f"{platform.node()}-2"
        with pytest.raises(NameTaken, match=str(holder.pid)), Names(store, first).claimed():
            pass
        holder.kill()
    assert default_name(store) == first
    with Names(store, first).claimed():
        pass


def test_a_worker_has_vanished_that_was_not_there_twice(store):
    """Catches jobs that are taken from workers whose hearts begin to beat again."""
    names, other = Names(store, "a"), Names(store, "b")
    with names.claimed(), other.claimed():
        assert names.vanished(["a", "b"]) == set()
        assert names.vanished(["a", "b", "c"]) == set()
        assert names.vanished(["a", "b", "c"]) == {"c"}
        assert names.vanished([]) == set()
        assert names.vanished(["c"]) == set()
    assert not store.claims()
    assert names.vanished(["b"]) == set()
    assert names.vanished(["a", "b"]) == {"b"}


def test_a_name_passes_from_a_worker_that_was_killed_to_the_next_one(store):
    """Catches a worker in a new container that seems dead while the old one's claim seems alive."""
    with Names(store, "a").claimed():
        ((key, claim),) = store.claims().items()
    assert store.claim(key, GONE, time.time())
    with Names(store, "a").claimed():
        assert store.claims()[key].owner == claim.owner
    assert not store.claims()


WORKER = """
import sys
from unittest.mock import MagicMock
# What runs models takes a minute to import, and nothing is run.
for name in ("verifying", "sequential"):
    sys.modules[f"measurements.{name}"] = MagicMock()
from measurements.jobs import worker
from measurements.settings import Settings
worker._LOOK_S = 0.3
worker.run_worker(Settings(), name=sys.argv[1])
"""


def test_what_a_vanished_worker_was_at_is_taken_up_by_another(settings, store, queue):
    """Catches jobs of containers whose names never come again: they would be lost."""
    sweep = KeptSweep(SPEC, store)
    sweep.cancel()  # so that its job has nothing to do
    queue.enqueue_sweep(sweep.id, "first")
    left = "update workflow_status set status = 'PENDING', executor_id = 'container-1'"
    jobs_of(settings, left)
    environment = os.environ | {"SPEECHPLAN_DATABASE_URL": settings.database_url}
    command = [sys.executable, "-c", WORKER, "container-2"]
    worker = subprocess.Popen(command, env=environment)
    try:
        end = time.monotonic() + 600
        while queue.job_status(f"sweep-first_{sweep.id}") != "SUCCESS":
            assert worker.poll() is None
            assert time.monotonic() < end
            time.sleep(0.2)
        assert queue.taken() == {}
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait()
    assert jobs_of(settings, "select executor_id from workflow_status") == [("container-2",)]


def test_what_a_worker_has_left_off_it_takes_up_itself(settings, store, queue):
    """Catches jobs that are "under way" for ever since the engine could not write of them."""
    sweep = KeptSweep(SPEC, store)
    sweep.cancel()  # so that its job has nothing to do
    environment = os.environ | {"SPEECHPLAN_DATABASE_URL": settings.database_url}
    worker = subprocess.Popen([sys.executable, "-c", WORKER, "one"], env=environment)
    try:
        for turn in ("first", "second"):
            end = time.monotonic() + 600
            if turn == "first":
                queue.enqueue_sweep(sweep.id, turn)
            else:  # the first, as if its end had not been written
                left = "update workflow_status set status = 'PENDING', output = null"
                jobs_of(settings, left)
            while queue.job_status(f"sweep-first_{sweep.id}") != "SUCCESS":
                assert worker.poll() is None
                assert time.monotonic() < end
                time.sleep(0.2)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait()
    assert queue.taken() == {}


def died_on_its_way(store, sweep, turn):
    """As a service leaves it that is killed between its notes in the store and the queue."""
    assert store.claim(f"sweep {sweep} {turn}", GONE, 0.0)


def test_a_sweep_that_was_left_on_its_way_into_the_queue_is_queued(store, queue):
    """Catches one that is "running" for ever, and one that runs though a command has it."""
    sweep = KeptSweep(SPEC, store)
    assert orphans.adopt(store, queue) == []  # as a command's own, however long that is gone
    with orphans.handing_over(sweep.id, "own", store):
        assert orphans.adopt(store, queue) == []
    assert orphans.adopt(store, queue) == []
    died_on_its_way(store, sweep.id, "first")
    assert orphans.adopt(store, queue) == [sweep.id]
    assert queue.job_status(f"sweep-first_{sweep.id}") == "ENQUEUED"
    assert not store.claims()
    assert orphans.adopt(store, queue) == []


@pytest.mark.parametrize("ended", ["cancelled", "never noted"])
def test_a_sweep_that_is_not_to_run_is_not_queued(store, queue, ended):
    """Catches one that goes on though it was cancelled, and a look that ends at a missing one."""
    if ended == "cancelled":
        KeptSweep(SPEC, store).cancel()
    died_on_its_way(store, SPEC.id, "first")
    assert orphans.adopt(store, queue) == []
    assert queue.job_status(f"sweep-first_{SPEC.id}") is None
    assert not store.claims()


def test_jobs_that_wait_go_on_to_a_newer_protocol(settings, store, queue):
    """Catches work that no worker takes up after an upgrade, and a newer one's given back."""
    queue.enqueue_sweep("s", "first")
    queue.enqueue_verification("v")
    queue.enqueue_verification("at-work")
    queue.enqueue_verification("newer")
    changed = "update workflow_status set application_version = :version"
    jobs_of(settings, changed, version="0.1.0")
    jobs_of(settings, f"{changed} where workflow_uuid = 'newer'", version="jobs-9")
    jobs_of(
        settings,
        "update workflow_status set status = 'PENDING' where workflow_uuid = 'at-work'",
    )
    assert sorted(orphans.renew(store, queue)) == ["sweep-first_s", "v"]
    found = jobs_of(settings, "select workflow_uuid, application_version from workflow_status")
    assert dict(found) == {
        "sweep-first_s": "jobs-1",
        "v": "jobs-1",
        "at-work": "0.1.0",
        "newer": "jobs-9",
    }
    assert queue.job_status("v") == queue.job_status("sweep-first_s") == "ENQUEUED"
    assert orphans.renew(store, queue) == []
    assert not store.claims()
