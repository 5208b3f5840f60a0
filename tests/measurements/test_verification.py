"""Verifications: created where the question is asked, run for real, held against the prediction."""

import math
import os
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from measurements import coverage, verification_records, verifying
from measurements import verification as verifications
from measurements.datasets import DatasetError, open_dataset
from measurements.devices import local_device
from measurements.evaluation import evaluation_of
from measurements.jobs.queue import JobQueue
from measurements.studies import evidence_for
from measurements.verification import NothingToVerifyError
from models_registry import Configuration
from planner import stopping
from planner.errors import InsufficientDataError, NoFeasibleConfigurationError
from planner.question import Budget, Question
from planner.recommend import Planner
from tests.conftest import needs_weights

pytestmark = [pytest.mark.real, needs_weights, pytest.mark.usefixtures("quiet_machine")]

QUESTION = Question(
    study="asr-demo", budget=Budget(gflops_per_utterance=60), models=("tiny.en", "base")
)


def test_before_run_and_after(store):
    verification = verifications.create(QUESTION, store, limit=6, max_runs=1)
    assert verification.status == "queued"
    assert verification.total == 6
    assert verifications.find(verification.id, store) == verification
    first_basis = verification.predicted.basis
    assert first_basis in ("interpolated", "extrapolated")

    progress = []
    done = verifying.run(verification, store, on_progress=progress.append)
    assert progress[-1].done == 6
    assert done.status == "succeeded"
    outcome, (run,) = done.outcome, done.runs
    assert run.predicted == verification.predicted
    # Nothing was measured on this speech before: its level is judged.
    assert (run.score.kind, run.score.predicted, run.ratio) == ("level", run.predicted, None)
    assert run.inside == run.score.inside
    speed = run.speed
    assert speed.measured == pytest.approx(store.measurement(run.measurement).rtf["total"], rel=0.3)
    assert (speed.shown, speed.inside) == (None, None)  # the question names no device
    assert speed.predicted.basis in ("interpolated", "extrapolated")
    assert outcome.settled or outcome.why == "1 of 1 runs were made"
    assert verifications.find(done.id, store) == done
    measurement = store.measurement(run.measurement)
    assert measurement.configuration == run.configuration == verification.configuration
    assert measurement.metric == run.measured
    # What was verified is answered as measured from now on.
    again = verifications.create(QUESTION, store, configuration=done.configuration, limit=6)
    assert again.predicted.basis == "measured"
    assert again.predicted.observed == pytest.approx(run.measured.value)
    # So few words draw the estimate towards what they say, and do not decide it.
    low, high = sorted([run.measured.value, verification.predicted.mean])
    assert low < again.predicted.mean < high
    assert outcome.changed == (
        outcome.recommendation.configuration != done.recommendation.configuration
    )


def test_runs_go_on_until_the_decision_is_safe_or_the_runs_are_used_up(store):
    """Each run is another configuration, compared with the best measured before it."""
    verification = verifications.create(QUESTION, store, limit=6, max_runs=2)
    done = verifying.run(verification, store)
    assert 1 <= len(done.runs) <= 2
    assert len({run.configuration for run in done.runs}) == len(done.runs)
    assert len(store.measurements()) == len(done.runs)
    outcome = done.outcome
    assert outcome.settled == (not outcome.recommendation.verification.needed)
    assert outcome.settled or "2 of 2 runs" in outcome.why or "can be run" in outcome.why
    first, *others = done.runs
    record = {c.kind: c for c in coverage.coverage(store) if not c.basis and not c.study}
    assert (record["level"].predictions, record["level"].inside) == (1, first.inside)
    for run in others:
        # The level is no news any more, the ratio to what was measured is.
        assert run.rival == run.score.to == first.configuration
        assert run.score.measured == pytest.approx(run.measured.value / first.measured.value)
        assert (record["ratio"].predictions, record["ratio"].inside) == (1, run.inside)
    for whole in record.values():
        assert whole.lower <= whole.share <= whole.upper
        assert sum(whole.pit) == whole.predictions
        assert whole.mean_interval_score >= whole.mean_width > 0
    assert all(c.quantity == "wer" for c in coverage.coverage(store))


def test_a_question_about_this_machine_is_compared_with_what_it_allows(store):
    """``local`` is another name of the device that was timed."""
    known = Configuration(model="tiny.en", window_s=15)
    measured = evaluation_of(known, open_dataset("demo").limited(4), store).run()
    asked = QUESTION.model_copy(update={"budget": Budget(rtf=500), "device": "local"})
    verification = verifications.create(asked, store, limit=4, max_runs=1)
    assert verification.rival == measured.key
    assert verification.question.device == "local"
    # The RTF that the answer shows is what the run is held against.
    (run,) = verifying.run(verification, store).runs
    assert verification.shown_rtf.device == local_device().id
    if run.speed is not None:
        assert run.speed.shown == verification.shown_rtf.predicted
        assert run.speed.corrected > 0
        (timed,) = [c for c in coverage.coverage(store) if c.quantity == "rtf" and not c.basis]
        assert (timed.predictions, timed.inside) == (1, run.speed.inside)


def test_a_run_stops_when_the_target_is_settled(store, monkeypatch):
    """With a target there is no rival: words of a hopeless window are held against it."""
    monkeypatch.setattr(stopping, "FIRST_LOOK", 8)
    asked = Question(study="asr-demo", target_wer=0.4, models=("tiny.en",))
    hopeless = Configuration(model="tiny.en", window_s=1, window_policy="truncate")
    verification = verifications.create(asked, store, configuration=hopeless, limit=20)
    assert verification.rival is None
    (run,) = verifying.run(verification, store).runs
    assert (run.stopped, run.rival) == ("worse", None)
    assert run.ended_early == "more errors than the target"
    assert run.utterances < 20
    stored = store.measurement(run.measurement)
    assert (stored.ended, stored.paired) == ("worse", None)
    assert (run.score, run.inside) == (None, None)
    assert run.not_judged
    # What ended by what it said is none of errors' record.
    assert coverage.coverage(store) == []


def test_a_run_stops_when_it_is_settled_against_its_rival(store, monkeypatch):
    """A hopeless candidate is dropped early; what it did is a measurement."""
    monkeypatch.setattr(stopping, "FIRST_LOOK", 8)
    good = Configuration(model="base")
    speech = open_dataset("demo").limited(20)
    evaluation_of(good, speech, store, timing=False).run()
    # Of the first second hardly a word is left.
    hopeless = Configuration(model="tiny.en", window_s=1, window_policy="truncate")
    ample = QUESTION.model_copy(update={"budget": Budget(gflops_per_utterance=400)})
    verification = verifications.create(ample, store, configuration=hopeless, limit=20)
    assert verification.rival is not None
    done = verifying.run(verification, store)
    (run,) = done.runs
    assert (run.stopped, run.rival) == ("worse", good)
    assert run.utterances in (8, 16)
    assert run.ended_early == f"more errors than {good.label()}"
    stored = store.measurement(run.measurement)
    assert stored.dataset.utterances == run.utterances
    assert f"--limit {run.utterances}" in stored.provenance
    # What is kept is how many times the other's errors it made on these utterances.
    assert (stored.paired.to, stored.paired.utterances) == (verification.rival, run.utterances)
    assert stored.paired.log_ratio > 0
    # Ended early as it was, the ratio is what judges the prediction.
    assert run.ratio == stored.paired
    assert (run.score.kind, run.score.to) == ("ratio", good)
    assert run.score.measured == pytest.approx(math.exp(stored.paired.log_ratio))
    assert {c.kind for c in coverage.coverage(store)} == {"ratio"}
    rival = store.measurement(verification.rival)
    (level,) = Planner(evidence_for("asr", "asr-demo", store)).predict([hopeless])
    assert level["wer"].observed == pytest.approx(
        rival.metric.value * math.exp(stored.paired.log_ratio)
    )
    assert level["wer"].mean > 10 * rival.metric.value


class Clock:
    """A clock that stands still until it is put forward."""

    def __init__(self, monkeypatch):
        self.at = datetime.now(UTC)
        monkeypatch.setattr(verification_records, "now", lambda: self.at)

    def late(self, progress):
        self.at += timedelta(hours=1)


def test_a_run_ends_at_the_batch_under_way_when_the_time_is_out(store, monkeypatch):
    """Catches seconds that are looked at between stages only, and a timing run after them."""
    monkeypatch.setattr(stopping, "FIRST_LOOK", 4)
    clock = Clock(monkeypatch)
    configuration = Configuration(model="tiny.en")  # 8 utterances a batch
    verification = verifications.create(
        QUESTION, store, configuration=configuration, limit=20, max_seconds=1000
    )
    seen = []

    def report(progress):
        seen.append((progress.total, progress.done))
        if progress.total == 16:
            clock.late(progress)

    done = verifying.run(verification, store, on_progress=report)
    # 16 utterances are two batches: the second was not begun.
    (finished,) = [now for total, now in seen if total == 16]
    assert 8 < finished < 16
    assert 20 not in dict(seen)
    (run,) = done.runs
    assert (run.stopped, run.ended_early, run.utterances) == ("out of time", "out of time", 8)
    measured = store.measurement(run.measurement)
    assert (measured.timings, measured.rtf, run.speed) == ((), {}, None)
    speech = open_dataset("demo").limited(16)
    kept = store.utterances(evaluation_of(configuration, speech, store).key)
    assert len(kept) == finished


def test_time_that_is_out_before_the_first_look_leaves_utterances_and_no_result(store, monkeypatch):
    """A batch is no random sample: the longest come first."""
    clock = Clock(monkeypatch)
    verification = verifications.create(
        QUESTION, store, configuration=Configuration(model="tiny.en"), limit=20, max_seconds=1000
    )
    done = verifying.run(verification, store, on_progress=clock.late)
    assert (done.status, done.runs, done.done) == ("succeeded", (), 8)
    assert done.outcome.settled or "8 of 20 utterances" in done.outcome.why
    assert store.measurements() == []
    # The same again finds them.
    again = verifications.create(
        QUESTION, store, configuration=Configuration(model="tiny.en"), limit=20
    )
    seen = []
    (run,) = verifying.run(again, store, on_progress=seen.append).runs
    assert seen[0].done == 16
    assert run.utterances == 20
    assert run.stopped is None


def test_what_can_t_be_verified_is_refused_and_nothing_is_stored(store, librispeech):
    with pytest.raises(NoFeasibleConfigurationError):
        verifications.create(
            QUESTION.model_copy(update={"budget": Budget(gflops_per_utterance=1)}), store
        )
    with pytest.raises(NothingToVerifyError, match="whisper-small"):
        verifications.create(QUESTION, store, configuration=Configuration(model="small"))
    with pytest.raises(NothingToVerifyError, match="no configuration of the verification plan"):
        verifications.create(
            QUESTION.model_copy(
                update={"models": ("medium.en",), "budget": Budget(gflops_per_utterance=5000)}
            ),
            store,
        )
    with pytest.raises(InsufficientDataError, match="nothing was measured on librispeech:"):
        verifications.create(
            QUESTION.model_copy(update={"study": None}),
            store,
            dataset=f"librispeech:{librispeech}",
            subset="dev-clean",
        )
    with pytest.raises(DatasetError, match="its speech is not built in"):
        verifications.create(QUESTION.model_copy(update={"study": None}), store)
    with pytest.raises(DatasetError, match="no such folder"):
        verifications.create(QUESTION, store, dataset="librispeech:/nowhere")
    assert list(store.verifications()) == []


def test_a_question_without_a_study_is_about_that_of_the_speech(store, librispeech):
    """Catches a question about the built-in speech that is put to one's own recordings."""
    asked = QUESTION.model_copy(update={"study": None})
    dataset = f"librispeech:{librispeech}"
    found = verifications.create(asked, store, dataset=dataset, subset="test-other", limit=4)
    assert found.study == found.question.study == "asr-librispeech-mini-test-other"


def test_speech_of_another_study_is_refused(store, librispeech):
    with pytest.raises(DatasetError, match="belongs to study asr-librispeech-mini-test-other"):
        verifications.create(
            QUESTION, store, dataset=f"librispeech:{librispeech}", subset="test-other"
        )


def stored_formats(settings):
    """How the job engine serialised what it keeps; pickles would be ``py_pickle``."""
    with sqlite3.connect(settings.resolved_jobs_url.removeprefix("sqlite:///")) as connection:
        tables = [
            name
            for (name,) in connection.execute("select name from sqlite_master where type='table'")
            if "serialization"
            in {column[1] for column in connection.execute(f'pragma table_info("{name}")')}
        ]
        formats = {
            row[0]
            for table in tables
            for row in connection.execute(f'select distinct serialization from "{table}"')
        }
    return formats - {None}


def start_worker(settings):
    environment = os.environ | {"SPEECHPLAN_DATABASE_URL": settings.database_url}
    return subprocess.Popen(
        [sys.executable, "-m", "api.cli", "worker"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(condition, worker, seconds=600):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        if worker.poll() is not None:
            pytest.fail(f"the worker ended: {worker.stdout.read()[-2000:]}")
        time.sleep(0.1)
    worker.kill()
    pytest.fail(f"nothing happened: {worker.stdout.read()[-2000:]}")
    return None


def test_a_worker_killed_in_the_middle_finishes_after_a_restart(settings, store):
    """SIGKILL between two batches: nothing is lost, nothing is measured twice."""
    queue = JobQueue(settings)
    configuration = Configuration(model="tiny.en")  # 8 utterances a batch, 3 batches
    verification = verifications.create(QUESTION, store, configuration=configuration, limit=20)
    queue.enqueue_verification(verification.id)
    queue.enqueue_verification(verification.id)  # an impatient client

    def current():
        return verifications.find(verification.id, store)

    worker = start_worker(settings)
    try:
        wait_for(lambda: current().done >= 8, worker)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        interrupted = current()
        assert interrupted.status == "running"
        assert 8 <= interrupted.done < 20
        evaluation = evaluation_of(configuration, open_dataset("demo").limited(20), store)
        kept = {r.utterance: r for r in store.utterances(evaluation.key)}

        worker = start_worker(settings)
        finished = wait_for(lambda: current().status == "succeeded" and current(), worker)
    finally:
        worker.kill()
        worker.wait()
        queue.close()
    assert finished.done == finished.total == 20
    results = store.utterances(evaluation.key)
    assert len(results) == 20
    assert {u.id for u in evaluation.dataset.utterances} == {r.utterance for r in results}
    for result in results:
        assert kept.get(result.utterance, result) == result
    assert len(store.measurements()) == 1
    measurement = store.measurement(evaluation.key)
    assert [run.measurement for run in finished.runs] == [measurement.key]
    assert measurement.errors.reference_words == sum(r.reference_words for r in results)
    assert stored_formats(settings) == {"portable_json"}


def test_a_worker_ends_when_the_time_is_out(settings, store):
    """The same loop as on the command line: nothing is begun, and it says why."""
    verification = verifications.create(
        QUESTION, store, configuration=Configuration(model="tiny.en"), limit=20, max_seconds=1e-3
    )
    queue = JobQueue(settings)
    queue.enqueue_verification(verification.id)
    worker = start_worker(settings)
    try:
        over = wait_for(
            lambda: (v := verifications.find(verification.id, store)).finished_at and v, worker
        )
    finally:
        worker.kill()
        worker.wait()
        queue.close()
    assert (over.status, over.runs, over.done) == ("succeeded", (), 0)
    assert over.outcome.settled or "0 of 20 utterances" in over.outcome.why
    assert store.measurements() == []


def test_a_verification_that_can_t_run_fails_with_its_reason(settings, store, tmp_path):
    import shutil

    from measurements.datasets import DEMO_FOLDER

    folder = tmp_path / "broken"
    shutil.copytree(DEMO_FOLDER, folder)
    dataset = f"manifest:{folder / 'manifest.csv'}"
    study = open_dataset(dataset).study
    evaluation_of(
        Configuration(model="tiny.en", window_s=15), open_dataset(dataset).limited(4), store
    ).run()
    question = QUESTION.model_copy(update={"study": study})
    verification = verifications.create(question, store, dataset=dataset, limit=6)
    for file in (folder / "audio").iterdir():
        file.write_bytes(b"broken")
    queue = JobQueue(settings)
    queue.enqueue_verification(verification.id)
    worker = start_worker(settings)
    try:
        failed = wait_for(
            lambda: (v := verifications.find(verification.id, store)).status == "failed" and v,
            worker,
        )
    finally:
        worker.terminate()
        worker.wait()
        queue.close()
    assert "DatasetError" in failed.error
    assert ".flac" in failed.error
    assert "\n" not in failed.error
    assert len(store.measurements()) == 1
