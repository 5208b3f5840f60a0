"""How the service ends: by real processes and real signals."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from measurements import verification as verifications
from measurements.jobs.queue import JobQueue
from measurements.settings import Settings
from measurements.store import Store
from tests.conftest import needs_weights

httpx = pytest.importorskip("httpx")

QUESTION = {"budget": {"gflops_per_utterance": 200}}


class Service:
    """A service of its own, on a free port, in a process of its own."""

    def __init__(self, folder, *arguments, **environment):
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "api.cli", "serve", *arguments],
                env=os.environ
                | {
                    "SPEECHPLAN_DATABASE_URL": f"sqlite:///{folder / 'store.db'}",
                    "SPEECHPLAN_PORT": str(self.port),
                }
                | environment,
                stderr=log,
                start_new_session=True,
            )

    def client(self):
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)

    def wait_until_ready(self):
        end = time.monotonic() + 180
        with self.client() as client:
            while time.monotonic() < end and self.process.poll() is None:
                try:
                    if client.get("/health/ready").status_code == 200:
                        return
                except httpx.TransportError:
                    time.sleep(0.1)
        pytest.fail(self.log.read_text()[-2000:])

    def lines(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait()


@pytest.fixture
def start(tmp_path):
    services = []

    def started(*arguments, **environment):
        services.append(Service(tmp_path, *arguments, **environment))
        services[-1].wait_until_ready()
        return services[-1]

    yield started
    for service in services:
        service.kill()


def test_a_request_under_way_is_answered_before_the_service_ends(start):
    service = start("--no-worker")
    answers = []

    def ask():
        with service.client() as client:
            answers.append(client.post("/v1/recommendations", json=QUESTION))

    asking = threading.Thread(target=ask)
    asking.start()
    end = time.monotonic() + 180
    with service.client() as client:  # the first answer takes a good part of a second
        while "speechplan_http_requests_in_progress 2.0" not in client.get("/metrics").text:
            assert time.monotonic() < end and not answers
    service.process.send_signal(signal.SIGTERM)
    asking.join()
    assert answers[0].status_code == 200
    assert service.process.wait(timeout=60) == 0
    with pytest.raises(httpx.ConnectError), service.client() as client:
        client.get("/health/live")
    assert all({"event", "level", "logger", "timestamp"} <= set(line) for line in service.lines())


def test_beyond_loopback_it_starts_with_a_key_and_asks_for_it(start):
    """Without one it does not start: tests/api/test_cli.py."""
    key = "correct horse battery"
    service = start("--no-worker", SPEECHPLAN_HOST="0.0.0.0", SPEECHPLAN_API_KEY=key)
    with service.client() as client:
        assert client.get("/v1/models").status_code == 401
        headers = {"Authorization": f"Bearer {key}"}
        assert client.get("/v1/models", headers=headers).status_code == 200
        # A proxy on this machine is believed about whom it speaks for, and by what scheme.
        headers |= {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
        answer = client.get("/v1/models", headers=headers)
        assert "strict-transport-security" in answer.headers
    end = time.monotonic() + 180  # the line follows the answer
    while "192.0.2.7" not in [line.get("client") for line in service.lines()]:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert key not in service.log.read_text()


def test_processes_count_their_requests_together(start):
    """Whichever is asked; catches figures that change with the process that answers."""
    service = start("--no-worker", "--processes", "2")
    for _ in range(12):
        with service.client() as client:  # a connection each, so that both get some
            assert client.get("/v1/devices").status_code == 200
    counted = 'speechplan_http_requests_total{method="GET",route="/v1/devices",status="200"} 12.0'
    for _ in range(4):
        with service.client() as client:
            assert counted in client.get("/metrics").text
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(timeout=120) == 0


@needs_weights
@pytest.mark.real
def test_streams_end_with_the_service_and_the_worker_behind_its_batch(start, tmp_path):
    """SIGTERM, as a container's engine sends it; catches streams that hold the service up."""
    service = start()
    told = []
    with service.client() as client:
        body = {
            "question": {"study": "asr-demo", "budget": {"gflops_per_utterance": 60}},
            "configuration": {"model": "tiny.en"},  # 8 utterances a batch, 5 batches
        }
        headers = {"X-Request-ID": "ask-1"}
        answer = client.post("/v1/verifications", json=body, headers=headers)
        assert answer.status_code == 202, answer.text
        place = answer.headers["location"]
        with client.stream("GET", f"{place}/events", timeout=600) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    told.append(json.loads(line[6:])["verification"])
                    if told[-1]["done"] and service.process.poll() is None:
                        service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(timeout=120) == 0
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    left = verifications.find(told[-1]["id"], store)
    assert left.status == "running"
    assert left.done % 8 == 0 and 8 <= left.done < left.total == 40
    queue = JobQueue(Settings(database_url=store.url))
    assert queue.job_status(left.id) == "PENDING"  # for the next start to take up
    queue.close()
    lines = service.lines()
    assert "worker_stopped" in [line["event"] for line in lines]
    queued, taken_up = (
        next(line for line in lines if line["event"] == f"verification_{what}")
        for what in ("queued", "taken_up")
    )
    assert queued["request_id"] == "ask-1"
    assert queued["job_id"] == taken_up["job_id"] == left.id
    assert not [line for line in lines if line["level"] in ("error", "critical")]
