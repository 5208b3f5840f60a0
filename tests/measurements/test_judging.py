"""Saved predictions and what was measured after them: blind first, each counted once."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from api.schemas import PredictionsRequest
from api.services.planning import PlanningService
from measurements.catalogue import catalogue
from measurements.coverage import coverage
from measurements.judgements import (
    SavedPredictionsError,
    read_predictions,
    write_predictions,
)
from measurements.judging import judge
from measurements.records import DatasetInfo, LatencySummary, Measurement, Metric
from measurements.store import Store
from measurements.store.tables import MeasurementRow
from models_registry import Configuration
from planner.costing import GIB

STUDY = "asr-demo"
ASKED = Configuration(model="tiny.en", window_s=17)
LIKE = next(
    m
    for m in catalogue()
    if m.timings and m.configuration.model == "whisper-tiny.en" and m.configuration.task == "asr"
)
DEVICE = LIKE.device.id


@pytest.fixture
def store(tmp_path):
    opened = Store.open(f"sqlite:///{tmp_path / 's.db'}")
    yield opened
    opened.close()


def saved(store, *configurations, **asked):
    request = PredictionsRequest(
        configurations=list(configurations) or [ASKED], **{"study": STUDY, **asked}
    )
    found = PlanningService(store).predict_for_later(request)
    # A clock that is read twice at once stands still.
    return found.model_copy(update={"created_at": found.created_at - timedelta(seconds=1)})


def measured(key, configuration=ASKED, *, wer=0.1, slower=None, **fields):
    """A measurement of now; timed like one of the catalogue's, so many times as slow."""
    timings, rtf = (), {}
    if slower is not None:
        timings = tuple(
            one.model_copy(update={"phases_s": {k: slower * s for k, s in one.phases_s.items()}})
            for one in LIKE.timings
        )
        rtf = {name: slower * value for name, value in LIKE.rtf.items()}
    return Measurement(
        **{
            "key": f"{key:064x}",
            "study": STUDY,
            "configuration": configuration,
            "source": "measured",
            "provenance": "a test",
            "dataset": DatasetInfo(name="demo", utterances=20, reference_words=300),
            "metric": Metric(name="wer", value=wer, se=0.01),
            "timings": timings,
            "rtf": rtf,
            "device": LIKE.device if slower is not None else None,
            "created_at": datetime.now(UTC),
            **fields,
        }
    )


def by_quantity(judged, place=0):
    return {one.quantity: one for one in judged.items[place].judgements}


def test_a_later_measurement_judges_a_prediction(store):
    predictions = saved(store)
    nothing = judge(predictions, store)
    assert (nothing.judgements, nothing.coverage, nothing.new) == ([], (), 0)
    assert set(nothing.items[0].waiting) >= {"wer", "gflops_per_utterance"}

    predicted = predictions.items[0].predictions["wer"]
    store.add_measurement(measured(1, wer=predicted.upper + 0.3))
    found = by_quantity(judge(predictions, store))
    wer = found["wer"]
    assert (wer.inside, wer.predicted, wer.measured) == (False, predicted, predicted.upper + 0.3)
    assert wer.ratio == pytest.approx((predicted.upper + 0.3) / predicted.mean)
    assert "memory_gib" not in found
    (whole,) = [c for c in coverage(store) if c.basis is None and c.study is None]
    assert (whole.quantity, whole.predictions, whole.inside) == ("wer", 1, 0)
    assert whole.median_width == pytest.approx((predicted.upper - predicted.lower) / predicted.mean)


def test_the_run_s_own_noise_belongs_to_the_comparison(store):
    predictions = saved(store)
    upper = predictions.items[0].predictions["wer"].upper
    exact = Metric(name="wer", value=upper + 0.01, se=0.0)
    store.add_measurement(measured(1, metric=exact))
    assert by_quantity(judge(predictions, store))["wer"].inside is False
    noisy = exact.model_copy(update={"se": 0.2})
    other = Configuration(model="tiny.en", window_s=18)
    predictions = saved(store, other)
    upper = predictions.items[0].predictions["wer"].upper
    noisy = Metric(name="wer", value=upper + 0.01, se=0.2)
    store.add_measurement(measured(2, other, metric=noisy))
    assert by_quantity(judge(predictions, store))["wer"].inside is True


def on_speech(key, configuration, errors, *, speech="a", speakers=("ann", "bob"), **fields):
    """A measurement of ten words an utterance, with the errors of each."""
    counts = tuple((wrong, 10) for wrong in errors)
    wer = sum(errors) / 10 / len(errors)
    who = tuple(speakers[place % len(speakers)] for place in range(len(errors)))
    return measured(
        key,
        configuration,
        wer=wer,
        dataset=DatasetInfo(name="demo", fingerprint=speech, utterances=len(errors)),
        utterance_errors=counts,
        speakers=who,
        **fields,
    )


def test_on_speech_that_was_measured_before_the_ratio_is_judged(store):
    """Catches a record that hardly fails: the level of such speech is no news."""
    known = Configuration(model="tiny.en", window_s=20)
    hard = [0, 1, 2, 3, 4, 5] * 10
    past = datetime.now(UTC) - timedelta(hours=1)
    store.add_measurement(on_speech(1, known, hard, created_at=past))
    predictions = saved(store)
    ((ratio,),) = predictions.ratios
    assert (ratio.to, ratio.predicted.unit) == (known, "ratio")

    twice = on_speech(2, ASKED, [2 * wrong for wrong in hard])
    store.add_measurement(twice)
    wer = by_quantity(judge(predictions, store))["wer"]
    assert (wer.score.kind, wer.score.to, wer.score.predicted) == ("ratio", known, ratio.predicted)
    assert wer.score.measured == pytest.approx(2)
    assert wer.inside is False
    (whole,) = [c for c in coverage(store) if c.basis is None and c.study is None]
    assert (whole.kind, whole.predictions, whole.inside) == ("ratio", 1, 0)
    assert sum(whole.pit) == 1
    assert whole.pit[-1] == 1
    assert whole.mean_interval_score > whole.mean_width


@pytest.mark.parametrize(
    ("speech", "speakers", "judged"),
    [("b", ("ann", "carl"), False), ("b", ("carl", "dora"), True)],
)
def test_levels_are_judged_on_fresh_speech_alone(speech, speakers, judged, store):
    past = datetime.now(UTC) - timedelta(hours=1)
    known = Configuration(model="tiny.en", window_s=20)
    store.add_measurement(on_speech(1, known, [1, 2] * 20, created_at=past))
    predictions = saved(store)
    store.add_measurement(on_speech(2, ASKED, [2, 2] * 20, speech=speech, speakers=speakers))
    found = judge(predictions, store)
    assert ("wer" in by_quantity(found)) is judged
    assert ("wer" in found.items[0].waiting) is not judged
    if judged:
        assert by_quantity(found)["wer"].score.kind == "level"


def test_each_prediction_counts_once_in_however_many_files_it_is(store):
    predictions = saved(store)
    again = predictions.model_copy(
        update={"created_at": predictions.created_at + timedelta(0, 0.1)}
    )
    store.add_measurement(measured(1))
    first = judge(predictions, store)
    assert first.new == 1
    # A later measurement changes nothing: the first that came was the test.
    store.add_measurement(measured(2, wer=0.9))
    assert judge(predictions, store).judgements == first.judgements
    assert judge(again, store).new == 0
    assert [c.predictions for c in coverage(store)] == [1, 1, 1]
    twice = saved(store, level=0.5)  # another level is another prediction
    store.add_measurement(measured(3))
    assert judge(twice, store).new == 0  # it was measured when this one was made
    assert {c.level for c in coverage(store)} == {0.9}


def test_what_was_measured_before_is_no_judgement(store):
    """By when it was made or, where it does not say so, by when it was stored."""
    store.add_measurement(measured(1))
    store.add_measurement(measured(2, created_at=None))
    predictions = saved(store)
    predictions = predictions.model_copy(update={"created_at": datetime.now(UTC)})
    assert predictions.items[0].predictions["wer"].basis == "measured"
    judged = judge(predictions, store)
    assert judged.judgements == []
    assert "before" in judged.items[0].waiting["wer"]
    # Made before, stored later: somebody may have known it.
    store.add_measurement(measured(3, created_at=predictions.created_at - timedelta(hours=1)))
    assert judge(predictions, store).judgements == []
    # It says that it was made later than it was stored.
    store.add_measurement(measured(4, created_at=datetime.now(UTC) + timedelta(hours=1)))
    with Session(store._engine) as session, session.begin():
        session.execute(
            update(MeasurementRow)
            .where(MeasurementRow.key == f"{4:064x}")
            .values(created_at=predictions.created_at - timedelta(hours=1))
        )
    assert judge(predictions, store).judgements == []
    store.add_measurement(measured(5, created_at=None))
    (wer,) = judge(predictions, store).judgements
    assert wer.measurement == f"{5:064x}"
    assert "stored" in wer.note
    assert not wer.counts  # it was measured when it was predicted
    assert coverage(store) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"study": "asr-elsewhere"},
        {"source": "published"},
        {"configuration": Configuration(model="tiny.en", window_s=16)},
    ],
)
def test_of_another_study_configuration_or_source_nothing_is_judged(fields, store):
    predictions = saved(store)
    store.add_measurement(measured(1, **fields))
    assert judge(predictions, store).judgements == []


def test_times_are_judged_on_their_device_and_moved_to_the_recordings(store):
    """The fit is off by a factor of its own for the timed recordings, and by it for others."""
    workload = {"durations_s": [3, 9, 25], "tokens_per_audio_s": 3.0}
    predictions = saved(store, device=DEVICE, workload=workload)
    expected = predictions.items[0].predictions
    store.add_measurement(measured(1, slower=1.0))
    once = by_quantity(judge(predictions, store))
    assert {"rtf", "latency_p50_s", "latency_p95_s"} <= set(once)
    assert "wer" not in once  # the recordings are others than the study's
    assert 0.3 < once["rtf"].ratio < 3
    assert once["rtf"].predicted == expected["rtf"]
    slow = Store.open(store.url + "2")
    slow.add_measurement(measured(1, slower=100.0))
    hundred = by_quantity(judge(predictions, slow))
    for name in ("rtf", "latency_p50_s", "latency_p95_s"):
        assert hundred[name].inside is False
        assert hundred[name].ratio > 5 * once[name].ratio
    slow.close()
    quantities = {c.quantity for c in coverage(store)}
    assert quantities == {"rtf", "latency_p50_s", "latency_p95_s"}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"others_cpu_share": 0.6}, "other processes"),
        ({"processor_speed": 0.3}, "fastest"),
        ({"device": LIKE.device.model_copy(update={"id": "cpu-other-2t"})}, "not measured on"),
        ({"timings": ()}, "not timed"),
    ],
)
def test_times_of_a_busy_machine_or_of_another_device_judge_nothing(fields, why, store):
    predictions = saved(store, device=DEVICE)
    store.add_measurement(measured(1, slower=1.0, **fields))
    judged = judge(predictions, store)
    assert "rtf" not in by_quantity(judged)
    assert why in judged.items[0].waiting["rtf"]
    assert by_quantity(judged)["wer"].counts


def test_memory_and_energy_are_judged_and_counted_costs_are_shown(store):
    predictions = saved(store, device=DEVICE, device_watts=50)
    expected = predictions.items[0].predictions
    latency = LatencySummary(p50_s=1, p95_s=1, level=0.95, n=1, recordings=1)
    store.add_measurement(
        measured(
            1,
            slower=1.0,
            latency=latency,
            peak_memory_bytes=round(expected["memory_gib"].mean * GIB),
            joules_per_audio_second=50 * LIKE.rtf["total"],
            flops_counted=1.1e9 * expected["gflops_per_utterance"].mean,
        )
    )
    found = by_quantity(judge(predictions, store))
    assert found["memory_gib"].inside is True
    assert found["memory_gib"].ratio == pytest.approx(1, abs=1e-6)
    assert found["joules_per_audio_second"].ratio == pytest.approx(found["rtf"].ratio)
    assert found["gflops_per_utterance"].inside is None
    assert found["gflops_per_utterance"].ratio == pytest.approx(1.1)
    assert "gflops_per_utterance" not in {c.quantity for c in coverage(store)}


def test_emotions_are_judged_by_their_errors(store):
    asked = Configuration(task="ser", model="whisper-base", window_s=3.5, exit_layer=3)
    predictions = saved(store, asked, study="ser-emodb-de")
    predicted = predictions.items[0].predictions["ua"]
    metric = Metric(name="ua", value=predicted.mean, se=0.0)
    known = measured(1, asked, study="ser-emodb-de", metric=metric)
    store.add_measurement(known)
    # Nothing says that these are not the speakers that the study was measured on.
    assert judge(predictions, store).judgements == []
    others = {"key": f"{2:064x}", "speakers": ("somebody", "else")}
    store.add_measurement(known.model_copy(update=others))
    (ua,) = judge(predictions, store).judgements
    assert (ua.quantity, ua.inside, ua.ratio) == ("ua", True, pytest.approx(1))
    (whole, *_) = coverage(store)
    width = (predicted.upper - predicted.lower) / (1 - predicted.mean)
    assert whole.median_width == pytest.approx(width)


def test_a_file_holds_all_of_it(store, tmp_path):
    predictions = saved(store, device=DEVICE, usd_per_device_hour=1)
    path = tmp_path / "p.json"
    write_predictions(predictions, path)
    assert read_predictions(path) == predictions
    document = json.loads(path.read_text())
    assert {"format", "created_at", "software", "revision", "study", "device", "level"} <= set(
        document
    )
    assert document["request"]["usd_per_device_hour"] == 1
    assert document["items"][0]["predictions"]["rtf"]["unit"] == "s/s"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "speechplan-predictions/2"}, "format"),
        ({"created_at": "2026-12-01T10:00:00"}, "created_at"),
        ({"created_at": "2999-01-01T00:00:00Z"}, "yet to come"),
        ({"items": [{}]}, "items.0"),
        ({"colour": 1}, "colour"),
    ],
)
def test_what_is_no_file_of_predictions_is_refused(change, said, store, tmp_path):
    path = tmp_path / "p.json"
    write_predictions(saved(store), path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(SavedPredictionsError, match=said):
        read_predictions(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"format: x"])
def test_what_is_no_json_is_refused(content, tmp_path):
    path = tmp_path / "p.json"
    path.write_bytes(content)
    with pytest.raises(SavedPredictionsError, match=str(path)):
        read_predictions(path)
    with pytest.raises(SavedPredictionsError, match="No such file"):
        read_predictions(Path(tmp_path / "none.json"))
