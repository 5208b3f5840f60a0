"""Where ``speechplan serve`` listens: the URL that it prints answers, or it says why not."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from api.cli.main import app
from api.listening import ListenError, listen, shown

SERVE = [sys.executable, "-m", "api.cli", "serve", "--no-worker"]


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@contextmanager
def taken(host="", family=socket.AF_INET):
    """A port that somebody listens on, as ``python -m http.server`` does."""
    with socket.socket(family) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((host, 0))
        one.listen()
        yield one.getsockname()[1]


@pytest.fixture
def environment(tmp_path):
    return os.environ | {"SPEECHPLAN_DATABASE_URL": f"sqlite:///{tmp_path / 'serve.db'}"}


@pytest.mark.parametrize(
    ("options", "host"),
    [
        ((), "127.0.0.1"),
        (("--processes", "2"), "127.0.0.1"),
        (("--host", "localhost"), "localhost"),
        pytest.param(("--host", "::1"), "[::1]", marks=needs_ipv6),
        pytest.param(("--host", "::1", "--processes", "2"), "[::1]", marks=needs_ipv6),
    ],
)
def test_the_url_that_is_printed_is_the_one_that_answers(options, host, environment):
    import httpx

    command = [*SERVE, "--port", "0", "--json", *options]
    service = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        lines = []
        while not lines or lines[-1] != "}\n":
            lines.append(service.stdout.readline())
            assert lines[-1], "it ended before it said where it listens"
        url = json.loads("".join(lines))["url"]
        assert url.startswith(f"http://{host}:")
        assert int(url.rpartition(":")[2]) not in (0, 8000)
        assert _answer(httpx, f"{url}/health").json()["status"] == "ok"
        service.send_signal(signal.SIGTERM)
        assert service.wait(60) == 0
    finally:
        service.kill()
        service.wait(60)
        service.stdout.close()


def _answer(httpx, url):
    end = time.monotonic() + 120
    while True:
        try:
            return httpx.get(url, trust_env=False, timeout=60)
        except httpx.TransportError:
            assert time.monotonic() < end
            time.sleep(0.1)


@pytest.mark.parametrize("options", [(), ("--processes", "2")])
@pytest.mark.parametrize(
    "family", [socket.AF_INET, pytest.param(socket.AF_INET6, marks=needs_ipv6)]
)
def test_a_port_in_use_ends_it_with_one_line(options, family, environment):
    """3 would say that no configuration is feasible."""
    with taken(family=family) as port:
        ended = subprocess.run(
            [*SERVE, "--port", str(port), *options],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("speechplan: ")
    assert f"127.0.0.1:{port}" in line
    assert ended.stdout == ""


def test_no_worker_is_begun_where_the_port_is_in_use(monkeypatch, tmp_path):
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", f"sqlite:///{tmp_path / 's.db'}")
    begun = []
    monkeypatch.setattr("api.processes.WorkerProcess", lambda *given: begun.append(given))
    with taken("127.0.0.1") as port:
        assert CliRunner().invoke(app, ["serve", "--port", str(port)]).exit_code == 1
    assert begun == []


def test_a_service_that_can_t_start_ends_with_1(environment, tmp_path):
    """The server's own code for it is 3. Catches a start whose failure looks like an answer."""
    broken = tmp_path / "sitecustomize.py"
    broken.write_text(
        "import uvicorn.lifespan.on as on\n"
        "async def startup(self):\n"
        "    self.should_exit = True\n"
        "on.LifespanOn.startup = startup\n"
    )
    path = os.pathsep.join([str(tmp_path), environment.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [*SERVE, "--port", "0"],
        env={**environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("speechplan: ")


@pytest.mark.parametrize("port", ["70000", "65536", "-1", "x", "1.5"])
def test_a_number_that_is_no_port_is_refused_however_it_is_given(port, monkeypatch):
    given = CliRunner().invoke(app, ["serve", "--no-worker", f"--port={port}"])
    monkeypatch.setenv("SPEECHPLAN_PORT", port)
    set_ = CliRunner().invoke(app, ["serve", "--no-worker"])
    assert (given.exit_code, set_.exit_code) == (2, 2)


def test_names_and_ports_that_can_t_be_had():
    with pytest.raises(ListenError, match=r"nowhere\.invalid:8000"):
        listen("nowhere.invalid", 8000)
    with pytest.raises(ListenError, match=r"192\.0\.2\.1:8000"):
        listen("192.0.2.1", 8000)  # reserved for documentation: no machine has it
    assert shown("::1", 18081) == "[::1]:18081"


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address of Linux's")
def test_all_addresses_of_a_name_have_one_port(monkeypatch):
    """And one that the machine has not is passed over, as IPv6 often is."""
    hosts = ("127.0.0.1", "192.0.2.1", "127.0.0.2")
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0)) for host in hosts]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    bound = listen("service", 0)
    try:
        addresses = [one.getsockname() for one in bound]
        assert [host for host, _ in addresses] == ["127.0.0.1", "127.0.0.2"]
        assert len({port for _, port in addresses}) == 1
    finally:
        for one in bound:
            one.close()
