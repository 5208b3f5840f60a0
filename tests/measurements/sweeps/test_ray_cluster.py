"""Clusters that can't be used: one line, soon, with what to do about it; no Ray is needed."""

import socket
import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from api.cli.main import app
from measurements.sweeps import SweepError
from measurements.sweeps.ray_cluster import connected


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@pytest.fixture
def ray(monkeypatch):
    """A Ray that is not connected; ``errors`` holds what connecting raises."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    errors, calls = [], []

    def init(**options):
        calls.append(options)
        if errors:
            raise errors[0]

    module = SimpleNamespace(
        is_initialized=lambda: False,
        init=init,
        shutdown=lambda: calls.append("shutdown"),
        errors=errors,
        calls=calls,
    )
    monkeypatch.setitem(sys.modules, "ray", module)
    return module


def refusal(address=None):
    with pytest.raises(SweepError) as caught, connected(address):
        pass
    (line,) = str(caught.value).splitlines()
    return line


def test_without_ray_the_extra_is_named(monkeypatch):
    """Catches a traceback of the import."""
    monkeypatch.setitem(sys.modules, "ray", None)
    assert refusal() == "a Ray cluster needs ray: pip install 'speechplan[ray]'"


def test_an_address_that_nobody_answers_at(ray, monkeypatch):
    """Catches Ray's minutes of retries, behind which it ends the process."""
    address = f"127.0.0.1:{free_port()}"
    line = refusal(address)
    assert line.startswith(f"no Ray cluster answers at {address}: start one")
    assert "ray start --head" in line
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert refusal() == line
    assert not ray.calls


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ray://127.0.0.1:10001", "run the sweep on a node of the cluster"),
        ("garbage", "HOST:PORT, not 'garbage'"),
        ("host:port", "HOST:PORT, not 'host:port'"),
        ("127.0.0.1:99999", "no Ray cluster answers at 127.0.0.1:99999"),
    ],
)
def test_an_address_that_is_none(ray, address, said):
    """Catches addresses that Ray would take for something else."""
    assert said in refusal(address)
    assert not ray.calls


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("Version mismatch:\n    Ray: 2.1\n    Python: 3.9"), "Ray: 2.1 Python: 3.9"),
        (
            ConnectionError("Failed to connect to Ray cluster at h:1"),
            "set RAY_AUTH_MODE=token where it asks for its token",
        ),
        (SystemExit(15), "the Ray cluster can't be used: 15"),
    ],
)
def test_what_ray_says_is_passed_on(ray, error, said):
    """Catches a message cut behind its heading, and Ray ending the process."""
    ray.errors.append(error)
    assert refusal().endswith(said)


def test_a_cluster_of_its_own_is_left_and_another_s_kept(ray):
    """Catches processes of Ray that outlive the sweep, and a caller's connection that is cut."""
    with connected() as module:
        assert module is ray
    assert ray.calls[1:] == ["shutdown"]
    del ray.calls[:]
    ray.is_initialized = lambda: True
    with connected("127.0.0.1:1"):
        pass
    assert not ray.calls


def sweep(tmp_path, monkeypatch, *options):
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", f"sqlite:///{tmp_path / 'store.db'}")
    return CliRunner().invoke(app, ["sweep", "--model", "tiny.en", *options])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ray-address", "h:6379"], "are for --executor ray"),
        (["--executor", "ray", "--queue"], "choose one"),
    ],
)
def test_options_that_contradict_each_other(tmp_path, monkeypatch, options, said):
    """Catches an option that is silently left out of account."""
    result = sweep(tmp_path, monkeypatch, *options)
    assert result.exit_code == 2
    assert said in result.output


def test_the_command_line_says_it_in_one_line(ray, tmp_path, monkeypatch):
    """Catches a traceback, and a cluster that is asked for the GPU that a sweep names."""
    address = f"127.0.0.1:{free_port()}"
    result = sweep(tmp_path, monkeypatch, "--executor", "ray", "--ray-address", address)
    assert result.exit_code == 2
    assert f"speechplan: no Ray cluster answers at {address}" in result.stderr
    assert "Traceback" not in result.output
    result = sweep(tmp_path, monkeypatch, "--executor", "ray", "--device", "cuda:1")
    assert "Ray chooses the GPU of a run: device cuda, not cuda:1" in result.stderr
    assert not ray.calls
