"""Sweeps in a store: each run once, by whoever; failures noted; killed and gone on."""

import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy.exc import OperationalError

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("torch")
pytest.importorskip("transformers")

from measurements.datasets import DEMO_FOLDER, open_dataset  # noqa: E402
from measurements.jobs.queue import JobQueue  # noqa: E402
from measurements.settings import Settings  # noqa: E402
from measurements.store import Store  # noqa: E402
from measurements.sweeps import Speech, SweepSpec, claims  # noqa: E402
from measurements.sweeps.claims import Claims  # noqa: E402
from measurements.sweeps.runner import Sweep  # noqa: E402
from models_registry.weights import WHEELS  # noqa: E402
from tests.conftest import needs_base_weights, needs_weights  # noqa: E402

KILLS = int(os.environ.get("SPEECHPLAN_TEST_KILLS", "2"))
"""How often the sweep is killed; ``SPEECHPLAN_TEST_KILLS=10`` for the long version."""


@pytest.fixture
def store(tmp_path):
    opened = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


def spec_of(*speech, **changes):
    fields = {"models": ("tiny.en",), "centre": {"window_s": 20}, "timing": False, **changes}
    return SweepSpec(speech=speech or (Speech(dataset="demo", limit=3),), **fields)


def test_one_process_takes_a_run_and_a_dead_one_loses_it(store, monkeypatch):
    mine, yours = Claims(store), "elsewhere:1:1"
    assert mine.take("r")
    assert not store.claim("r", yours, time.time())
    assert mine.taken() == {"r"}
    with mine.held("r"):
        assert store.beat("r", mine.owner, time.time())
    assert store.claim("r", yours, time.time())
    assert not mine.take("r")
    # A heart that has not beaten for longer than the limit.
    monkeypatch.setattr(claims, "EXPIRES_S", -1.0)
    assert mine.take("r")
    monkeypatch.undo()

    # A process of this machine that is no more: its claim is void at once.
    code = (
        "import sys; from measurements.store import Store; from measurements.sweeps.claims import"
        " Claims; Claims(Store(sys.argv[1])).take('d')"
    )
    subprocess.run([sys.executable, "-c", code, store.url], check=True)
    assert store.claims()["d"][1] > time.time() - 60
    assert mine.take("d")


def test_a_claim_that_could_not_be_given_up_is_nobodys_in_this_process(store, monkeypatch):
    """Catches a run that its own living process keeps from itself, its database back."""
    mine = Claims(store)

    def away(*_):
        raise OperationalError("delete", {}, Exception("the database is away"))

    assert mine.take("r")
    with monkeypatch.context() as patched, mine.held("r"):
        patched.setattr(store, "release", away)
        assert not Claims(store).take("r"), "another thread's"
    assert set(store.claims()) == {"r"}
    assert not mine.taken()
    assert not mine.deaths(), "nobody died"
    assert mine.take("r")
    assert mine.taken() == {"r"}


@pytest.mark.real
@needs_weights
def test_two_sweeps_at_once_measure_each_run_once(store, tmp_path):
    """Two processes on one store; each run is in the log of one of them only."""
    spec = spec_of(Speech(dataset="demo", limit=2), axes={"window_s": (10, 15)})
    logs = [str(tmp_path / name) for name in "ab"]
    processes = [start(store.url, spec, log) for log in logs]
    assert [process.wait(600) for process in processes] == [0, 0]
    done = Counter(line for log in logs for line in read_log(log))
    assert len(done) == 6
    assert set(done.values()) == {1}
    assert Sweep(spec, store).progress().count("done") == 3


def test_a_cancelled_sweep_takes_no_run_until_it_goes_on(store):
    """Catches a worker that goes on with what its owner has stopped."""
    work = Sweep(spec_of(axes={"window_s": (10, 15)}), store)
    work.cancel()
    assert not work.run_next()
    assert (work.status, work.progress().count("waiting")) == ("cancelled", 3)
    work.go_on()
    assert work.status == "running"


@pytest.mark.real
@needs_weights
def test_a_worker_told_to_stop_ends_behind_the_batch_of_a_sweep(store, monkeypatch):
    """Catches a stop that waits for a whole run, or that counts as the run's failure."""
    from measurements.evaluation import evaluation_of
    from measurements.jobs.worker import _Context, _LeftOff

    monkeypatch.setattr(_Context, "stop", threading.Event())
    work, told = Sweep(spec_of(Speech(dataset="demo", limit=20)), store), []

    def report(progress):
        told.append(progress)
        if len(told) == 2:  # before the first batch, and behind it
            _Context.stop.set()
        _Context.go_on()

    with pytest.raises(_LeftOff):
        work.run_next(report)
    assert not Claims(store).taken()
    (state,) = work.states()
    assert (state.status, state.tries, state.failure) == ("waiting", 0, None)
    evaluation = evaluation_of(state.run.configuration, state.run.speech.open(), store)
    assert len(store.utterances(evaluation.key)) == len(evaluation.batches[0]) < 20


SCRIPT = """
import sys
from models_registry.loading.whisper import WhisperTranscriber
from measurements.store import Store
from measurements.sweeps import SweepSpec
from measurements.sweeps.runner import Sweep

url, spec, log = sys.argv[1:]
transcribe = WhisperTranscriber.transcribe_batch

def logged(self, waveforms, *rest):
    with open(log, "a") as stream:
        for waveform in waveforms:
            stream.write(f"{self.configuration.label()}: {len(waveform)} {waveform.sum():.9g}\\n")
    return transcribe(self, waveforms, *rest)

WhisperTranscriber.transcribe_batch = logged
Sweep(SweepSpec.model_validate_json(spec), Store.open(url)).run()
"""


def start(url, spec, log):
    command = [sys.executable, "-c", SCRIPT, url, spec.model_dump_json(), log]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def read_log(path):
    try:
        with open(path) as stream:  # noqa: PTH123
            return stream.read().splitlines()
    except FileNotFoundError:
        return []


@pytest.mark.real
@needs_weights
def test_killed_at_random_moments_it_loses_nothing_and_repeats_nothing(store, tmp_path):
    """SIGKILL, again and again; only the batch under way is transcribed once more."""
    spec = spec_of(
        Speech(dataset="demo", limit=9),
        centre={"window_s": 30},
        axes={"window_s": (29.8,) if KILLS < 5 else (29.8, 29.6)},
    )
    batch, runs = 8, len(spec.configurations())
    log, rng, kills = str(tmp_path / "log"), random.Random(0), 0
    while kills < KILLS:
        process = start(store.url, spec, log)
        before = len(read_log(log))
        if kills % 2:
            # At any moment, imports and loading included.
            time.sleep(rng.uniform(0.5, 12))
        else:
            # In the middle of transcribing, some of which is in the store.
            stored = kept_utterances(store)
            while process.poll() is None and (
                len(read_log(log)) == before or kept_utterances(store) == stored
            ):
                time.sleep(0.05)
            time.sleep(rng.uniform(0, 1))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills == KILLS, "the sweep ended before it was killed often enough"
    process = start(store.url, spec, log)
    assert process.wait(900) == 0

    straight = Store.open(f"sqlite:///{tmp_path / 'straight.db'}")
    uninterrupted = Sweep(spec, straight).run()
    assert uninterrupted.count("done") == runs
    assert Sweep(spec, store).states() == uninterrupted.states
    assert contents(store) == contents(straight)
    straight.close()
    transcribed = Counter(read_log(log))
    assert len(transcribed) == runs * spec.speech[0].limit
    assert sum(transcribed.values()) - len(transcribed) <= kills * batch
    print(
        f"killed {kills} times: {len(transcribed)} utterances,"
        f" {sum(transcribed.values()) - len(transcribed)} transcribed again"
    )


def kept_utterances(store):
    with store._engine.connect() as connection:
        return connection.exec_driver_sql("select count(*) from utterance_results").scalar_one()


def contents(store):
    """All that is kept, when and how fast left out."""
    measurements = {
        m.key: m.model_copy(update={"created_at": None}) for _, m in store.measurements()
    }
    assert len(measurements) == len(store.measurements())
    return measurements, {key: store.utterances(key) for key in measurements}


def manifest(folder, name, samples=None, rate=16_000, text="hello there", raw=None):
    """A data set of one file beside a good one."""
    root = folder / name
    root.mkdir()
    good = next((DEMO_FOLDER / "audio").iterdir())
    shutil.copy(good, root / f"good{good.suffix}")
    if raw is None:
        soundfile.write(root / "one.wav", samples, rate)
    else:
        (root / "one.wav").write_bytes(raw)
    rows = ["audio,text", f"good{good.suffix},hello there", f"one.wav,{text}"]
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return Speech(dataset=f"manifest:{root / 'manifest.csv'}")


def three_hours(path):
    """A WAV file of three hours of silence that takes no room on the disk."""
    size = 3 * 3600 * 16_000 * 2
    header = b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt "
    header += struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    with path.open("wb") as stream:
        stream.write(header + b"data" + struct.pack("<I", size))
        stream.truncate(44 + size)


@pytest.mark.real
@needs_weights
def test_faulty_speech_fails_by_name_and_the_sweep_goes_on(store, tmp_path):
    """A corrupt file fails its measurement: it is never left out without a word."""
    noise = np.random.default_rng(0).normal(0, 0.05, 32_000)
    broken = noise.copy()
    broken[100] = np.nan
    faults = {
        "corrupt": (manifest(tmp_path, "corrupt", raw=b"not audio"), r"one\.wav"),
        "nothing": (manifest(tmp_path, "nothing", raw=b""), r"one\.wav"),
        "silent": (manifest(tmp_path, "silent", np.zeros(0)), r"one\.wav: holds no audio"),
        "comma": (manifest(tmp_path, "comma", noise, text="a, b"), r":3: text: 3 cells"),
        "long": (manifest(tmp_path, "long", noise), r"one\.wav: more than the 2\.3 hours"),
        "gone": (Speech(dataset="manifest:/none.csv"), "/none.csv: no such file"),
        "escaped": (manifest(tmp_path, "escaped", noise), r"outside\.wav: lies outside"),
        "half": (manifest(tmp_path, "half", noise), r"one\.wav: cut short"),
        "far": (Speech(dataset=f"librispeech:{tmp_path / 'far'}"), r"evil\.flac: lies outside"),
    }
    three_hours(tmp_path / "long" / "one.wav")
    shutil.copy(tmp_path / "comma" / "one.wav", tmp_path / "outside.wav")
    (tmp_path / "escaped" / "manifest.csv").write_text("audio,text\n../outside.wav,hello\n")
    half = tmp_path / "half" / "one.wav"
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    chapter = tmp_path / "far" / "test" / "1" / "2"
    chapter.mkdir(parents=True)
    (chapter / "1-2.trans.txt").write_text("../../../../evil HELLO\n")
    soundfile.write(tmp_path / "evil.flac", noise, 16_000)
    fine = [
        manifest(tmp_path, "telephone", noise[:16_000], rate=8_000),
        manifest(tmp_path, "stereo", np.stack([noise, noise], axis=1)),
    ]
    peak = peak_bytes()
    progress = Sweep(spec_of(*(speech for speech, _ in faults.values()), *fine), store).run()
    assert peak_bytes() - peak < 1 << 30
    assert (progress.count("failed"), progress.count("done")) == (len(faults), len(fine))
    for state, (speech, said) in zip(progress.states, faults.values(), strict=False):
        assert state.run.speech == speech
        assert state.failure.kind == "dataset"
        assert state.tries == 1
        assert re.search(said, state.failure.reason), state.failure.reason
    assert len(store.measurements()) == len(fine)
    assert all(m.dataset.utterances == 2 for _, m in store.measurements())


def peak_bytes():
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.real
@needs_weights
@needs_base_weights
def test_weights_that_are_not_what_they_should_be(store, monkeypatch, tmp_path):
    """A wrong checksum is tried three times in all, names the file, and stops nothing."""
    monkeypatch.setenv("SPEECHPLAN_CACHE_DIR", str(tmp_path / "cache"))
    wrong = replace(WHEELS.get("whisper-base"), sha256="0" * 64)
    monkeypatch.setitem(WHEELS._entries, "whisper-base", wrong)
    spec = spec_of(models=("base", "tiny.en"), axes={"precision": ("int4",)})
    progress = Sweep(spec, store).run()
    found = {(s.run.configuration.model, s.run.configuration.precision): s for s in progress.states}
    weights = found["whisper-base", "fp32"]
    assert (weights.status, weights.tries, weights.failure.kind) == ("failed", 3, "weights")
    assert "model.bin.part1" in weights.failure.reason
    assert "expected 0000" in weights.failure.reason
    unsupported = found["whisper-tiny.en", "int4"]
    assert (unsupported.status, unsupported.tries) == ("failed", 1)
    assert unsupported.failure.kind == "unsupported"
    assert found["whisper-tiny.en", "fp32"].status == "done"

    # Mended, and asked to try again: only what had failed runs.
    monkeypatch.undo()
    again = Sweep(spec, store)
    assert again.run().count("failed") == 3
    assert again.retry_failed() == 3
    assert again.progress().count("waiting") == 3
    assert again.progress().count("done") == 1


@pytest.mark.real
@needs_weights
def test_an_adaptive_sweep_measures_as_many_as_it_may(store):
    spec = spec_of(
        Speech(dataset="demo", limit=1),
        design="adaptive",
        runs=5,
        axes={"window_s": (10, 12, 15, 20), "token_stride+reduction_layer": ((1, 0), (2, 2))},
    )
    progress = Sweep(spec, store).run()
    assert progress.count("done") == progress.total == 5
    assert len({s.run.configuration for s in progress.states}) == 5
    assert Sweep(spec, store).run().states == progress.states
    assert len(store.measurements()) == 5


@pytest.mark.real
@needs_weights
def test_a_worker_takes_up_a_queued_sweep(tmp_path):
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'store.db'}")
    store = Store.open(settings.database_url)
    sweep = Sweep(spec_of(axes={"window_s": (15,), "precision": ("int4",)}), store)
    jobs = JobQueue(settings)
    jobs.enqueue_sweep(sweep.id)
    jobs.enqueue_sweep(sweep.id)
    jobs.close()
    environment = os.environ | {"SPEECHPLAN_DATABASE_URL": settings.database_url}
    command = [sys.executable, "-m", "api.cli", "worker"]
    worker = subprocess.Popen(command, env=environment)
    try:
        end = time.monotonic() + 900
        while sweep.progress().count("done") + sweep.progress().count("failed") < 3:
            assert worker.poll() is None
            assert time.monotonic() < end
            time.sleep(0.2)
    finally:
        worker.terminate()
        worker.wait()
    assert len(store.measurements()) == 2
    assert {u.id for u in open_dataset("demo").limited(3).utterances} == {
        r.utterance for _, m in store.measurements() for r in store.utterances(m.key)
    }
    store.close()
