"""What operators see: logs, metrics, health, traces."""

import asyncio
import io
import json
import logging
import os
import queue
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from litestar.testing import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.exc import OperationalError
from structlog.stdlib import ProcessorFormatter

from api.app import create_app
from api.heads import with_heads
from api.observing import Observed
from api.tracing import traced
from measurements import logs
from measurements.exchange import from_rows
from measurements.settings import Settings
from measurements.store import Store

KEY = "correct horse battery"


@pytest.fixture
def chosen(tmp_path):
    return Settings(database_url=f"sqlite:///{tmp_path / 'store.db'}", log_format="json")


@pytest.fixture
def client(chosen):
    with TestClient(create_app(chosen)) as opened:
        yield opened


class Logged:
    """Where the logs go meanwhile; pytest puts another standard error in for every phase."""

    def __init__(self, monkeypatch):
        self.text = io.StringIO()
        self._monkeypatch = monkeypatch

    def set_up(self, settings):
        with self._monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", self.text)
            logs.set_up(settings)

    def __call__(self):
        return [json.loads(line) for line in self.text.getvalue().splitlines()]


@pytest.fixture
def lines(chosen, monkeypatch):
    """What was logged since the test began, as parsed JSON."""
    names = ("", "speechplan", "uvicorn", "dbos")
    levels = {name: logging.getLogger(name).level for name in names}
    logged = Logged(monkeypatch)
    logged.set_up(chosen)
    yield logged
    logging.captureWarnings(False)
    # Only ours: what pytest had put there belongs to a phase that is over.
    for handler in logging.getLogger().handlers[:]:
        if isinstance(handler.formatter, ProcessorFormatter):
            logging.getLogger().removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def samples(client, **headers):
    text = client.get("/metrics", headers=headers).text
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_request_is_one_line_with_its_route_and_never_its_secret(tmp_path, lines):
    chosen = Settings(database_url=f"sqlite:///{tmp_path / 'store.db'}", api_key=KEY)
    with TestClient(create_app(chosen)) as client:
        headers = {"Authorization": f"Bearer {KEY}", "X-Request-ID": "ours-1"}
        answer = client.get("/v1/verifications/7f3a?token=hidden", headers=headers)
    assert answer.headers["x-request-id"] == "ours-1"
    (line,) = [one for one in lines() if one["event"] == "request"]
    assert line["route"] == "/v1/verifications/{verification_id}"
    assert (line["method"], line["status"], line["request_id"]) == ("GET", 400, "ours-1")
    assert line["key"] == "SPEECHPLAN_API_KEY"
    assert 0 < line["duration_s"] < 10
    assert KEY not in str(line) and "hidden" not in str(line)


@pytest.mark.parametrize("given", ["", "a b", "x" * 200, "new\tline", "<script>"])
def test_a_request_id_that_is_no_plain_name_is_replaced(client, given):
    """It goes into logs and headers; catches lines forged through it."""
    answer = client.get("/health", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] != given
    assert len(answer.headers["x-request-id"]) == 32


def test_an_unexpected_error_is_logged_whole_and_told_to_nobody(client, lines, monkeypatch):
    secret = "sp_0123456789abcdef_very-secret"

    def broken(*_):
        token = secret  # noqa: F841
        raise RuntimeError(f"postgresql://user:geheim@host/db and {secret}")

    monkeypatch.setattr("api.controllers.catalogue.list_models", broken)
    answer = client.get("/v1/models", headers={"X-Request-ID": "r-2"})
    assert answer.status_code == 500
    assert "geheim" not in answer.text and "RuntimeError" not in answer.text
    logged = lines()
    (error,) = [one for one in logged if one["event"] == "unexpected_error"]
    assert error["request_id"] == "r-2"
    assert error["exception"][0]["exc_type"] == "RuntimeError"
    assert error["exception"][0]["frames"][-1]["name"] == "broken"
    assert "geheim" not in str(logged) and "very-secret" not in str(logged)


def test_libraries_log_the_same_way(lines):
    logging.getLogger("uvicorn.error").info("Started %s", "x")
    logging.getLogger("dbos").warning("a queue is late")
    logging.getLogger("some.library").info("chatter")
    assert [(one["logger"], one["event"]) for one in lines()] == [
        ("uvicorn.error", "Started x"),
        ("dbos", "a queue is late"),
    ]


def test_the_level_is_a_setting(chosen, lines):
    lines.set_up(chosen.model_copy(update={"log_level": "warning"}))
    log = logs.get_logger("test")
    log.info("quiet")
    log.warning("loud", n=1)
    (line,) = lines()
    assert (line["event"], line["n"], line["level"]) == ("loud", 1, "warning")


def test_lines_for_a_reader_carry_no_secret_either(chosen, lines):
    lines.set_up(chosen.model_copy(update={"log_format": "console"}))
    logs.get_logger("test").info("opened", url="postgresql://user:geheim@host/db")
    said = lines.text.getvalue()
    assert "opened" in said and "user" in said and "geheim" not in said


def test_requests_are_counted_by_route_not_by_path(client):
    before = samples(client)
    for name in ("a", "b", "c"):
        client.get(f"/v1/sweeps/{name}")
    client.get("/anything/at/all")
    after = samples(client)

    def grown(*key):
        return after.get(key, 0) - before.get(key, 0)

    total = "speechplan_http_requests_total"
    assert grown(total, "/v1/sweeps/{sweep_id}", "404", "GET") == 3
    assert grown(total, "404", "GET", "none") == 1
    count = "speechplan_http_request_duration_seconds_count"
    assert grown(count, "/v1/sweeps/{sweep_id}", "GET") == 3
    assert not any("/v1/sweeps/a" in key for key in after)


def test_answers_are_counted_by_whether_a_run_should_come_first(client):
    before = samples(client)
    question = {"budget": {"gflops_per_utterance": 200}}
    body = client.post("/v1/recommendations", json=question).json()
    needed = body["recommendation"]["verification"]["needed"]
    key = ("speechplan_recommendations_total", "needed" if needed else "not_needed")
    assert samples(client)[key] - before.get(key, 0) == 1
    # The page asks the same, by another way.
    assert client.get("/?gflops=200").status_code == 200
    assert samples(client)[key] - before.get(key, 0) == 2


def test_runs_and_queues_are_read_from_the_store(database_url):
    """They are the worker's doing, another process: no counter of this one can know them."""
    with TestClient(create_app(Settings(database_url=database_url))) as client:
        assert client.get("/health/ready").status_code == 200
        _counts_of_the_store(client, database_url)


def _counts_of_the_store(client, url):
    row = {
        "study": "own",
        "dataset": "ours",
        "provenance": "me",
        "model": "tiny.en",
        "wer": 0.05,
        "unit": "fraction",
    }
    rows = from_rows([{**row, "window_s": w, "source": "published"} for w in (5, 6, 7)])
    store = Store(url)
    store.add_measurements(rows)
    spec = {"models": ["tiny.en"], "speech": [{"dataset": "demo"}], "axes": {"window_s": [9, 8]}}
    started = client.post("/v1/sweeps", json=spec).json()
    found = samples(client)
    assert found["speechplan_measurements", "asr", "published"] == 3
    assert found["speechplan_sweep_runs", "waiting"] == len(store.sweep_runs(started["id"]))
    assert found["speechplan_jobs", "enqueued"] == 1
    assert found["speechplan_store_up",] == 1
    store.close()


def test_metrics_need_a_key_where_there_are_keys(tmp_path):
    chosen = Settings(database_url=f"sqlite:///{tmp_path / 'store.db'}", api_key=KEY)
    with TestClient(create_app(chosen)) as client:
        assert client.get("/metrics").status_code == 401
        assert samples(client, Authorization=f"Bearer {KEY}")["speechplan_store_up",] == 1


def test_metrics_in_the_format_that_is_asked_for(client):
    plain = client.get("/metrics").headers["content-type"]
    assert plain.startswith("text/plain; version=") and plain.count("charset") == 1
    answer = client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_live_and_ready_are_apart(client, chosen):
    """A store that is not as it should be is no reason to restart the process."""
    assert client.get("/health/ready").json()["status"] == "ok"
    file = chosen.database_url.removeprefix("sqlite:///")
    with sqlite3.connect(file) as connection:
        connection.execute("update alembic_version set version_num = '0001'")
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert list(answer.json()["not_ready"]) == ["store"]
    assert "db upgrade" in answer.json()["detail"]
    assert client.get("/health/live").status_code == 200
    with sqlite3.connect(file) as connection:
        connection.execute("drop table alembic_version")
        connection.execute("drop table verifications")
    assert client.get("/health/ready").status_code == 503
    assert samples(client)["speechplan_store_up",] == 0


def test_metrics_say_that_the_store_is_away(tmp_path, monkeypatch):
    """Catches a scrape that fails just when the figures are looked at."""

    def away(_):
        raise OperationalError("select", {}, Exception("connection refused"))

    settings = Settings(database_url=f"sqlite:///{tmp_path / 'store.db'}", api_key=KEY)
    with TestClient(create_app(settings)) as client:
        headers = {"Authorization": f"Bearer {KEY}"}
        assert samples(client, **headers)["speechplan_store_up",] == 1
        for name in ("counts", "api_keys", "revision", "record_state"):
            monkeypatch.setattr(Store, name, away)
        found = samples(client, **headers)
    assert found["speechplan_store_up",] == 0
    assert "speechplan_http_requests_total" in {name for name, *_ in found}


def test_ready_names_a_job_engine_that_is_gone(chosen, client):
    assert client.get("/health/ready").status_code == 200
    jobs = chosen.resolved_jobs_url.removeprefix("sqlite:///")
    with sqlite3.connect(jobs) as connection:
        (name,) = connection.execute(
            "select name from sqlite_master where name like '%workflow_status'"
        ).fetchone()
        connection.execute(f'alter table "{name}" rename to gone')
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert list(answer.json()["not_ready"]) == ["queue"]


def test_a_job_engine_out_of_reach_keeps_no_answer_back(tmp_path):
    """It is connected to when it is needed: what needs it says so, and tries again."""
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'store.db'}",
        jobs_url="postgresql://speechplan@127.0.0.1:1/speechplan",
    )
    question = {"task": "asr", "budget": {"gflops_per_utterance": 200}}
    with TestClient(create_app(settings)) as client:
        assert client.post("/v1/recommendations", json=question).status_code == 200
        ready = client.get("/health/ready")
        assert (ready.status_code, list(ready.json()["not_ready"])) == (503, ["queue"])
        sweep = {"models": ["tiny.en"], "speech": [{"dataset": "demo"}], "axes": {"window_s": [20]}}
        assert client.post("/v1/sweeps", json=sweep).status_code == 503


def test_requests_are_spans_named_by_their_route_and_lines_carry_them(chosen, lines):
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    from opentelemetry.sdk.trace import TracerProvider

    exporter, provider = memory.InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    app = create_app(chosen)
    assert isinstance(app.asgi_handler, Observed)
    app.asgi_handler = traced(app.asgi_handler, provider)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with TestClient(app) as client:
        client.get("/v1/sweeps/none", headers={"traceparent": parent})
        client.get("/health")
    (span,) = exporter.get_finished_spans()
    assert span.name == "GET /v1/sweeps/{sweep_id}"
    assert span.attributes["http.route"] == "/v1/sweeps/{sweep_id}"
    assert f"{span.context.trace_id:032x}" == parent.split("-")[1]
    (line,) = [one for one in lines() if one["event"] == "request"]
    assert line["trace_id"] == parent.split("-")[1]


@pytest.fixture
def collected(monkeypatch):
    """What arrives at a collector that OpenTelemetry's own variable names."""
    pytest.importorskip("opentelemetry.instrumentation.asgi")
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    arrived = queue.Queue()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            arrived.put((self.path, zlib.decompress(body, 31) if body[:1] == b"\x1f" else body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", place)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield arrived
        server.shutdown()


def test_an_endpoint_turns_tracing_on(chosen, collected):
    """Spans arrive where OpenTelemetry's own variable says, by its own protocol."""
    with TestClient(create_app(chosen)) as client:
        client.get("/v1/sweeps/none")
    path, body = collected.get(timeout=90)
    assert path == "/v1/traces"
    assert b"GET /v1/sweeps/{sweep_id}" in body and b"speechplan" in body


def test_a_job_is_a_span_of_the_request_that_asked_for_it(chosen, collected, tmp_path):
    """Catches spans that a worker keeps for itself when it ends, and jobs without their request."""
    pytest.importorskip("torch")
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"traceparent": parent, "X-Request-ID": "ours-7"}
    spec = {"models": ["tiny.en"], "speech": [{"dataset": "demo"}], "axes": {"window_s": [9]}}
    with TestClient(create_app(chosen)) as client:
        sweep = client.post("/v1/sweeps", json=spec, headers=headers).json()["id"]
        assert client.delete(f"/v1/sweeps/{sweep}").json()["status"] == "cancelled"
    while not collected.empty():
        collected.get()
    log = tmp_path / "log"
    environment = os.environ | {
        "SPEECHPLAN_DATABASE_URL": chosen.database_url,
        "OTEL_BSP_SCHEDULE_DELAY": "60000",
    }
    command = [sys.executable, "-m", "api.cli", "worker"]
    with log.open("w") as stream:
        worker = subprocess.Popen(command, env=environment, stderr=stream)
    try:
        for _ in range(2000):
            if "sweep_ended" in log.read_text() or worker.poll() is not None:
                break
            time.sleep(0.1)
        worker.terminate()
        # Spans of the service's own requests may come first.
        body = b""
        while f"sweep-{sweep}".encode() not in body:
            _, body = collected.get(timeout=180)
    finally:
        worker.kill()
        worker.wait()
    assert bytes.fromhex(parent.split("-")[1]) in body
    assert b"ours-7" in body
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (ended,) = [line for line in lines if line["event"] == "sweep_ended"]
    assert (ended["request_id"], ended["trace_id"]) == ("ours-7", parent.split("-")[1])


def test_a_start_costs_nothing_that_was_not_asked_for(tmp_path):
    """Catches an import of OpenTelemetry or the job engine by a service that does not use it."""
    code = (
        "import sys, api.app; api.app.create_app();"
        " assert not [m for m in sys.modules if m.startswith('opentelemetry.sdk')];"
        " assert not {'torch', 'dbos', 'psycopg'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, timeout=180)


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
def test_probes_may_ask_for_the_head(client, path):
    """With the length that GET's body has, and counted as what was asked."""
    full, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == full.headers["content-length"]
    assert f'method="HEAD",route="{path}"' in client.get("/metrics").text


def test_an_answer_to_head_has_no_body():
    """The test client drops one by itself, and so would hide it."""
    sent, scope = [], {"type": "http", "method": "HEAD", "path": "/health/live"}

    async def app(scope, receive, send):
        assert scope["method"] == "GET"
        await send({"type": "http.response.body", "body": b"{}"})

    async def send(message):
        sent.append(message)

    asyncio.run(with_heads(app)(scope, None, send))
    assert [message["body"] for message in sent] == [b""]
    assert scope["method"] == "HEAD"
