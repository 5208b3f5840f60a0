"""Sweeps on a real Ray on this machine: each run once, deaths survived, stopped and gone on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import make_url
from typer.testing import CliRunner

ray = pytest.importorskip("ray", reason="needs ray: pip install '.[ray]'")
pytest.importorskip("torch", reason="needs torch: pip install '.[measure]'")

from api.cli.main import app  # noqa: E402
from measurements.store import Store  # noqa: E402
from measurements.sweeps import Speech, SweepSpec, on_ray  # noqa: E402
from measurements.sweeps.claims import Claims  # noqa: E402
from measurements.sweeps.ray_cluster import _SETTINGS  # noqa: E402
from measurements.sweeps.runner import Sweep  # noqa: E402
from models_registry import MODELS  # noqa: E402
from tests import pico_whisper  # noqa: E402
from tests.measurements.sweeps import ray_processes  # noqa: E402

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def cluster():
    """The folder of a Ray that is connected; ``RAY_ADDRESS`` names one to use instead.

    Its GPUs are only counted: it gives numbers to processes that do not use them.
    """
    with pytest.MonkeyPatch.context() as patched:
        for name, value in _SETTINGS.items():
            patched.setenv(name, value)
        # Its processes import the tests, whatever folder those are run from.
        patched.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        context = start()
    yield context
    ray.shutdown()


def start():
    if address := os.environ.get("RAY_ADDRESS"):
        return ray.init(address, log_to_driver=False, logging_level="error")
    for again in (True, False):
        try:
            return ray.init(
                "local",
                num_cpus=2,
                num_gpus=2,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="error",
            )
        except Exception as error:  # Ray gives its processes half a minute, and has no setting
            ray.shutdown()
            if not again:
                pytest.skip(f"Ray does not start here, twice: {str(error).splitlines()[0]}")
    return None


@pytest.fixture
def store(tmp_path):
    opened = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


def spec_of(**changes):
    fields = {
        "axes": {"window_s": (10, 15)},
        "centre": {"window_s": 20},
        "timing": False,
        "device": "cpu",
    }
    return SweepSpec(
        models=("tiny.en",), speech=(Speech(dataset="demo", limit=2),), **{**fields, **changes}
    )


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """Tasks whose runs are made up; gives those that came to their end."""
    # A function that is made here goes to Ray's processes by value.
    monkeypatch.setattr(on_ray, "_task", lambda *a: ray_processes.faked(tmp_path, *a))
    return lambda: sorted((tmp_path / "ended").read_text().split())


@pytest.mark.real
def test_it_finds_what_a_local_sweep_finds(cluster, store, tmp_path, monkeypatch):
    """Catches results that are other, in double, or lost on their way, and failures without reason.

    Random weights of a tiny model on noise, by the command line; one run can't be loaded.
    """
    pytest.importorskip("transformers")
    hub = tmp_path / "hub"
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))
    monkeypatch.setattr(MODELS, "_aliases", dict(MODELS._aliases))
    MODELS.add("whisper-pico", pico_whisper.architecture())
    ray_processes.save_hub(hub)
    speech = pico_whisper.save_speech(tmp_path / "speech", utterances=4)
    monkeypatch.setenv("HF_HUB_CACHE", str(hub))
    spec = SweepSpec(
        design="grid",
        models=("whisper-pico",),
        speech=(Speech(dataset=f"manifest:{speech}"),),
        axes={"window_s": (1, 1.2), "precision": ("fp32", "int4")},
        device="cpu",
        timing=False,
    )
    local = Sweep(spec, store)
    expected = local.run()
    assert {s.status for s in expected.states} == {"done", "failed"}

    monkeypatch.setattr(on_ray, "_task", lambda *a: ray_processes.real(hub, *a))
    url = f"sqlite:///{tmp_path / 'ray.db'}"
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", url)
    document = tmp_path / "spec.json"
    document.write_text(spec.model_dump_json())
    # One process at a time: torch takes longer to import than all that it does here.
    options = ["--executor", "ray", "--ray-cpus", "2", "--json"]
    result = CliRunner().invoke(app, ["sweep", "--spec", str(document), *options])
    assert result.exit_code == 1, result.output
    said = json.loads(result.stdout)["runs"]
    assert [{k: v for k, v in run.items() if k != "command"} for run in said] == [
        state.model_dump(mode="json") for state in expected.states
    ]
    there = Store.open(url)
    assert found(there) == found(store)
    there.close()


def found(store):
    """Measurements by key, but for when they were made; no key is there twice."""
    every = [measurement for _, measurement in store.measurements()]
    by_key = {m.key: m.model_dump(exclude={"created_at"}) for m in every}
    assert len(by_key) == len(every) == 2
    return by_key


def test_each_run_is_done_once_whichever_process_dies(cluster, store, fakes, tmp_path):
    """Catches runs taken twice, lost with their process, or counted as failed for its death."""
    (tmp_path / "deadly").touch()
    told = []
    progress = on_ray.run(Sweep(spec_of(), store), told.append)
    assert not (tmp_path / "deadly").exists()
    assert fakes() == ["10.0", "20.0"]
    assert [s.status for s in progress.states] == ["done", "done", "failed"]
    assert progress.states[-1].failure.reason == "one.wav: gone"
    assert progress.states[-1].tries == 1
    assert told[-1] == progress
    assert Sweep(spec_of(), store).status == "done"
    assert not store.claims()


def test_stopped_it_gives_its_runs_back_and_goes_on(cluster, store, fakes, tmp_path):
    """Catches tasks that go on behind a Ctrl-C, claims that outlive it, and progress not shown."""
    (tmp_path / "slow").touch()
    work = Sweep(spec_of(), store)

    def stop(progress):
        # The others are over, and the board has said how far the last one is.
        if progress.count("done") and progress.count("failed") and progress.current:
            ((run, now),) = progress.current.items()
            if now.done:
                (state,) = [s for s in progress.states if s.run.key == run]
                assert (state.run.configuration.window_s, now.total) == (20, 2)
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        on_ray.run(work, stop)
    assert not Claims(store).taken()
    assert (work.progress().count("done"), work.progress().count("waiting")) == (1, 1)
    (tmp_path / "slow").unlink()
    assert on_ray.run(work).count("done") == 2, "the same command goes on"
    assert fakes() == ["10.0", "20.0"]


def test_killed_the_driver_loses_and_repeats_nothing(cluster, store, fakes, tmp_path):
    """Catches results that a killed driver takes with it, and runs that it keeps from the next."""
    (tmp_path / "slow").touch()
    spec = spec_of(axes={"window_s": (10,)})
    code = (
        "import sys; from measurements.sweeps import SweepSpec;"
        " from tests.measurements.sweeps.ray_processes import drive;"
        " drive(sys.argv[1], SweepSpec.model_validate_json(sys.argv[2]), *sys.argv[3:])"
    )
    arguments = [store.url, spec.model_dump_json(), str(tmp_path), cluster.address_info["address"]]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    wait_for(lambda: process.poll() is not None or at(store, spec) == (1, 1))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    # Ray ends the processes of a driver that is no more; their claims are void.
    wait_for(lambda: at(store, spec) == (1, 0))
    (tmp_path / "slow").unlink()
    progress = on_ray.run(Sweep(spec, store))
    assert progress.count("done") == 2
    assert fakes() == ["10.0", "20.0"]
    # A worker gives its claim back after its result, which the driver may have seen by then.
    wait_for(lambda: not store.claims())


def at(store, spec):
    progress = Sweep(spec, store).progress()
    return progress.count("done"), progress.count("running")


def wait_for(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_each_run_has_a_gpu_of_its_own(cluster, store, fakes, tmp_path):
    """Catches two runs on one GPU, and runs that are not told to use theirs."""
    if ray.cluster_resources().get("GPU", 0) < 2:
        pytest.skip("the cluster of RAY_ADDRESS has less than two GPUs")
    (tmp_path / "met").touch()
    spec = spec_of(axes={"window_s": (10,)}, device="auto")
    assert on_ray.run(Sweep(spec, store)).count("done") == 2
    begun = [line.split() for line in (tmp_path / "begun").read_text().splitlines()]
    assert {device for _, device, _ in begun} == {"cuda"}
    assert len({gpu for _, _, gpu in begun}) == 2


def test_no_log_of_ray_shows_the_database(cluster, postgres, fakes):
    """Catches a password that Ray writes down with a task's arguments."""
    pytest.importorskip("psycopg")
    url = make_url(postgres.fresh()).set(password="s3cretive")
    shared = Store.open(url.render_as_string(hide_password=False))
    assert on_ray.run(Sweep(spec_of(axes={}), shared)).count("done") == 1
    shared.close()
    folder = Path(cluster.address_info["session_dir"]) / "logs"
    logs = [path for path in folder.rglob("*") if path.is_file()]
    assert logs
    assert not [path for path in logs if b"s3cretive" in path.read_bytes()]


def test_an_error_of_a_node_is_raised_as_it_is(cluster, store, monkeypatch):
    """Catches Ray's traceback of many lines where one says it, and a password in it."""

    def broken(*_):
        from measurements.store import StoreError

        raise StoreError("postgresql://u:***@h/d: connection refused")

    monkeypatch.setattr(on_ray, "_task", broken)
    with pytest.raises(
        Exception, match=r"^postgresql://u:\*\*\*@h/d: connection refused$"
    ) as caught:
        on_ray.run(Sweep(spec_of(), store))
    assert type(caught.value).__name__ == "StoreError"
