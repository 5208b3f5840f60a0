"""A real evaluation: stored, resumable, counted, timed."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from measurements import counting, timing
from measurements.counting import FlopCountError, check
from measurements.datasets import DatasetError, open_dataset
from measurements.evaluation import evaluation_of
from measurements.scoring import normaliser_of
from measurements.store import Store
from models_registry import Configuration, load
from models_registry.loading.audio import to_waveform
from models_registry.loading.encoder import PrefixCache
from planner.cost import pass_flops
from tests.conftest import needs_weights

pytestmark = [pytest.mark.real, needs_weights]

CONFIGURATION = Configuration(model="tiny.en", window_s=20, token_stride=1.5, reduction_layer=2)


@pytest.fixture
def store(tmp_path):
    opened = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


def test_a_run_that_stops_goes_on_and_equals_one_that_did_not(store, tmp_path):
    speech = open_dataset("demo").limited(14)
    first = evaluation_of(CONFIGURATION, speech, store)
    assert len(first.batches) == 2
    first.run_batch(0)
    done = {r.utterance: r for r in store.utterances(first.key)}
    assert 0 < len(done) < 14

    transcribed = []
    second = evaluation_of(CONFIGURATION, speech, store, command="speechplan measure ...")
    original = second.transcriber.transcribe_batch
    second.transcriber.transcribe_batch = lambda waves, *a: (
        transcribed.append(len(waves)) or original(waves, *a)
    )
    progress = []
    measurement = second.run(progress.append)
    assert transcribed[0] == 14 - len(done)
    assert progress[0].done == len(done)
    assert progress[-1].phase == "done"
    assert progress[-1].value == pytest.approx(measurement.metric.value)
    for result in store.utterances(first.key):
        assert done.get(result.utterance, result) == result

    other = Store.open(f"sqlite:///{tmp_path / 'other.db'}")
    straight = evaluation_of(CONFIGURATION, speech, other).run()
    assert straight.key == measurement.key
    assert straight.errors == measurement.errors
    assert straight.metric == measurement.metric
    assert straight.flops_counted == measurement.flops_counted
    other.close()

    # Once finished, the same run is the same row and nothing runs again.
    assert evaluation_of(CONFIGURATION, speech, store).run() == measurement
    assert len(store.measurements()) == 1


def test_a_measurement_says_all_about_itself(store):
    speech = open_dataset("demo").limited(6)
    measurement = evaluation_of(CONFIGURATION, speech, store, command="speechplan measure x").run()
    metric = measurement.metric
    assert metric.lower <= metric.value <= metric.upper
    assert measurement.dataset.fingerprint == speech.fingerprint()
    assert measurement.dataset.synthetic
    assert measurement.dataset.utterances == len(measurement.dataset.durations_s) == 6
    results = store.utterances(measurement.key)
    wrong = sum(r.substitutions + r.deletions + r.insertions for r in results)
    assert metric.value == wrong / sum(r.reference_words for r in results)
    assert all(r.hypothesis for r in results)
    passes = [one for result in results for one in result.passes]
    flops = [pass_flops(CONFIGURATION, frames=f, output_tokens=t).total for f, t in passes]
    assert measurement.flops_counted == pytest.approx(sum(flops) / 6)
    assert set(measurement.rtf) == {"features", "encoder", "prefill", "decode", "total"}
    parts = sum(value for phase, value in measurement.rtf.items() if phase != "total")
    assert measurement.rtf["total"] == pytest.approx(parts, rel=0.25)
    assert len({sample.utterance for sample in measurement.timings}) == 6
    assert measurement.latency.n == len(measurement.timings)
    assert 0 < measurement.latency.p50_s <= measurement.latency.p95_s
    assert measurement.rtfx > 1 / (2 * measurement.rtf["total"])
    assert measurement.joules_per_audio_second is None or measurement.device.kind == "cuda"
    assert measurement.weights_bytes == 4 * CONFIGURATION.architecture.parameters
    assert measurement.peak_memory_bytes > 150e6
    assert measurement.software["torch"]
    assert json.loads(measurement.model_dump_json())["provenance"] == "speechplan measure x"


def with_noise(folder, references):
    """A manifest of quiet noise, and of a spoken sentence where there is a third reference."""
    import soundfile

    rng = np.random.default_rng(0)
    rows = ["audio,text"]
    for number, reference in enumerate(references):
        path = folder / f"{number}.wav"
        if number < 2:
            soundfile.write(path, 0.01 * rng.standard_normal(32_000), 16_000)
        else:
            soundfile.write(path, *open_dataset("demo").utterances[0].audio())
        rows.append(f"{path.name},{reference}")
    (folder / "m.csv").write_text("\n".join(rows), encoding="utf-8")
    return open_dataset(f"manifest:{folder / 'm.csv'}")


def test_clips_without_words_are_scored_with_the_rest(store, tmp_path):
    """All was transcribed and then refused: resamples of such clips alone divide by zero."""
    said = open_dataset("demo").utterances[0].reference
    speech = with_noise(tmp_path, ["[noise]", "(silence)", f'"{said}"'])
    measurement = evaluation_of(CONFIGURATION, speech, store, timing=False).run()
    metric, errors = measurement.metric, measurement.errors
    heard = {r.utterance: r.insertions for r in store.utterances(measurement.key)}
    assert errors.empty_references == 2
    assert errors.empty_insertions == sum(
        r.insertions for r in store.utterances(measurement.key) if not r.reference_words
    )
    assert sum(heard.values()) == errors.insertions
    wrong = errors.substitutions + errors.deletions + errors.insertions
    assert metric.value == pytest.approx(wrong / errors.reference_words)
    assert metric.lower < metric.upper
    assert metric.se > 0
    assert normaliser_of("en") in metric.method


def test_references_without_a_word_are_refused_before_anything_is_transcribed(store, tmp_path):
    evaluation = evaluation_of(
        CONFIGURATION, with_noise(tmp_path, ["[noise]", "..."]), store, timing=False
    )
    with pytest.raises(DatasetError, match="none of its 2 references holds a word"):
        evaluation.run()
    assert store.utterances(evaluation.key) == []
    assert "transcriber" not in vars(evaluation)


def test_counting_on_a_real_run_equals_the_closed_form_and_a_wrong_one_is_noticed():
    transcriber = load(CONFIGURATION)
    waveform = to_waveform(*open_dataset("demo").utterances[0].audio())
    assert check(transcriber, waveform) > 1e9
    transcriber.configuration = CONFIGURATION.model_copy(update={"model": "whisper-base.en"})
    with pytest.raises(FlopCountError, match="FLOPs by the closed form"):
        check(transcriber, waveform)


def test_the_key_separates_what_differs(store):
    speech = open_dataset("demo")
    keys = {
        evaluation_of(CONFIGURATION, speech, store).key,
        evaluation_of(CONFIGURATION, speech.limited(10), store).key,
        evaluation_of(Configuration(model="tiny.en"), speech, store).key,
    }
    assert len(keys) == 3


def test_a_timed_run_takes_nothing_that_others_computed(store, monkeypatch):
    """The first passes of a sweep's later runs come from its cache; what is timed may not."""
    monkeypatch.setenv("SPEECHPLAN_TIMING_BUDGET_S", "0.1")
    monkeypatch.setattr(timing, "throughput", lambda *_: {})
    monkeypatch.setattr(counting, "check", lambda *_: None)
    speech, shared, stems = open_dataset("demo").limited(1), PrefixCache(), []
    for stride in (1.5, 2):
        configuration = CONFIGURATION.model_copy(update={"window_s": 10, "token_stride": stride})
        evaluation = evaluation_of(configuration, speech, store, timing=stride == 2)
        evaluation.share(shared)
        stem = evaluation.transcriber.model.model.encoder.conv1
        stem.register_forward_hook(lambda *_: stems.append(1))
        evaluation.run_batch(0)
    assert len(stems) == 1
    measurement = evaluation.finish()
    warm_up = 1
    assert len(stems) == 1 + warm_up + len(measurement.timings) >= 3
