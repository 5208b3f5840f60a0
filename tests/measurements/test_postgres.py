"""Store and jobs on one PostgreSQL: what is accepted is done, once, by whoever takes it."""

import os
import subprocess
import sys
import time

import pytest
from litestar.testing import TestClient

from api.app import create_app
from measurements.settings import Settings
from measurements.store import Store
from tests.conftest import needs_weights

_CLAIM = """
import sys
from measurements.store import Store
from measurements.sweeps.claims import Claims

claims = Claims(Store(sys.argv[1]))
sys.stdin.readline()
taken = [run for run in map(str, range(int(sys.argv[2]))) if claims.take(run)]
print(*taken, flush=True)
sys.stdin.readline()  # A process that ends gives its claims away.
"""


def test_of_two_processes_one_takes_each_run(database_url):
    """Catches counts of rows that PostgreSQL's driver does not give unless it is asked."""
    Store.open(database_url).close()
    command = [sys.executable, "-c", _CLAIM, database_url, "200"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    taken = [process.stdout.readline().split() for process in processes]
    for process in processes:
        process.communicate("end\n", timeout=180)
    assert sorted(taken[0] + taken[1], key=int) == list(map(str, range(200)))


def test_processes_that_start_together_on_a_new_database(database_url):
    """As a service and its workers do under an orchestrator."""
    code = (
        "import sys; from measurements.jobs.queue import JobQueue; from measurements.settings"
        " import Settings; from measurements.store import Store;"
        " Store.open(sys.argv[1]); JobQueue(Settings(database_url=sys.argv[1])).prepare()"
    )
    command = [sys.executable, "-c", code, database_url]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in started:
        said = process.communicate(timeout=300)[1]
        assert process.returncode == 0, said


@pytest.mark.real
@needs_weights
def test_a_worker_does_what_was_handed_in_once(postgres, monkeypatch):
    settings = Settings(database_url=postgres.fresh())
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", settings.database_url)
    sweep = {
        "models": ["tiny.en"],
        "speech": [{"dataset": "demo", "limit": 2}],
        "axes": {"window_s": [20, 24]},
        "timing": False,
    }
    question = {"study": "asr-demo", "budget": {"gflops_per_utterance": 400}}
    named = {"model": "tiny.en", "window_s": 22}
    verification = {"question": question, "configuration": named, "limit": 2}
    key = {"Idempotency-Key": "once"}
    with TestClient(create_app(settings)) as client:

        def begun(path, body):
            answers = [client.post(path, json=body, headers=key) for _ in range(2)]
            assert {answer.status_code for answer in answers} == {202}, answers[0].text
            (place,) = {answer.headers["location"] for answer in answers}
            return place

        places = [begun("/v1/verifications", verification), begun("/v1/sweeps", sweep)]
        worker = subprocess.Popen([sys.executable, "-m", "api.cli", "worker"])
        try:
            end = time.monotonic() + 900
            statuses = []
            while statuses != ["succeeded", "done"]:
                assert worker.poll() is None
                assert time.monotonic() < end, statuses
                time.sleep(0.3)
                found = [client.get(place).json() for place in places]
                statuses = [one.get("verification", one)["status"] for one in found]
                assert "failed" not in statuses, found
        finally:
            worker.kill()
            worker.wait()
        events = client.get(f"{places[1]}/events").text
        assert '"status":"done"' in events
        assert client.post("/v1/sweeps", json=sweep, headers=key).json()["status"] == "done"
    store = Store(settings.database_url)
    measured = [m for _, m in store.measurements()]
    # 30 s is the star's centre.
    assert sorted(m.configuration.window_s for m in measured) == [20, 22, 24, 30]
    assert all(len(store.utterances(m.key)) == 2 for m in measured)
    assert len(store.verifications()) == 1
    assert store.revision() == 4
    store.close()


@pytest.mark.real
@needs_weights
def test_a_worker_goes_on_when_its_database_is_back(postgres, tmp_path):
    """Catches a job that fails with the database, or that nobody works on behind it."""
    settings = Settings(database_url=postgres.fresh())
    sweep = {
        "models": ["tiny.en"],
        "speech": [{"dataset": "demo", "limit": 1}],
        "axes": {"window_s": [20, 22]},
        "timing": False,
    }
    log = tmp_path / "log"
    with TestClient(create_app(settings)) as client, log.open("w") as stream:
        place = client.post("/v1/sweeps", json=sweep).headers["location"]
        environment = os.environ | {"SPEECHPLAN_DATABASE_URL": settings.database_url}
        command = [sys.executable, "-m", "api.cli", "worker"]
        worker = subprocess.Popen(command, env=environment, stderr=stream)
        try:

            def until(reached):
                end = time.monotonic() + 900
                while not reached(found := client.get(place).json()):
                    assert worker.poll() is None, log.read_text()[-2000:]
                    assert time.monotonic() < end, (found, log.read_text()[-2000:])
                    time.sleep(0.3)
                return found

            assert until(lambda found: found["done"])["status"] == "running"
            postgres.stop()
            try:
                time.sleep(1.5)  # so that the worker comes upon it
                assert client.get(place).status_code == 503
            finally:
                postgres.start()
            found = until(lambda found: found["status"] != "running")
        finally:
            worker.kill()
            worker.wait()
    # 30 s is the star's centre.
    assert (found["status"], found["done"], found["failed"]) == ("done", 3, 0)
    store = Store(settings.database_url)
    assert len(store.measurements()) == store.revision() == 3
    store.close()
