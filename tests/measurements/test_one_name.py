"""One name, one study: what is stored of a data set is what its file says, and no other's."""

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
soundfile = pytest.importorskip("soundfile")

from measurements.datasets import DatasetError, open_dataset  # noqa: E402
from measurements.evaluation import evaluation_of  # noqa: E402
from measurements.evaluation.transcription import TranscriptionEvaluation  # noqa: E402
from measurements.identity import check_study  # noqa: E402
from measurements.records import UtteranceResult  # noqa: E402
from measurements.studies import all_measurements  # noqa: E402
from measurements.sweeps import Speech, SweepSpec  # noqa: E402
from measurements.sweeps.checks import check_runs  # noqa: E402
from models_registry import Configuration, load  # noqa: E402
from models_registry.readouts import find_readouts  # noqa: E402
from tests.conftest import needs_weights  # noqa: E402
from tests.measurements.test_datasets import write_audio  # noqa: E402
from tests.measurements.test_emotion import checkpoint, configuration, tones  # noqa: E402, F401

pytestmark = [pytest.mark.real, needs_weights]

TINY = Configuration(model="tiny.en", window_s=10)


def speech(folder, count, *, first=0, seed=None, speakers=None, name="test", **more):
    """A manifest of clips; the same number is the same audio, unless it is of another seed."""
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(first, first + count):
        rng = np.random.default_rng([number, seed or 0])
        file = f"{number:02d}.wav"
        soundfile.write(folder / file, rng.normal(0, 0.1, 8000 + 100 * number), 16_000)
        speaker = {} if speakers is None else {"speaker": speakers[number % len(speakers)]}
        rows.append({"id": f"u{number:02d}", "audio": file, "text": f"word {number}", **speaker})
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return open_dataset(f"manifest:{folder / f'{name}.jsonl'}", **more)


@pytest.fixture(scope="module")
def tiny():
    """The real model, loaded once for all runs of this module."""
    return load(TINY)


@pytest.fixture
def measured(store, tiny, monkeypatch):
    """Measures with the real model."""
    monkeypatch.setattr(TranscriptionEvaluation, "transcriber", tiny)

    def run(dataset):
        command = f"speechplan measure --dataset {dataset.place}"
        return evaluation_of(TINY, dataset, store, timing=False, command=command).run()

    return run


def test_two_files_of_one_name_are_not_one_study(tmp_path, store, measured):
    measured(speech(tmp_path / "a", 4))
    other = speech(tmp_path / "b", 4, first=50)
    with pytest.raises(DatasetError) as refused:
        measured(other)
    said = str(refused.value)
    assert str(tmp_path / "a") in said and str(tmp_path / "b") in said and "--name b-test" in said
    assert len(store.measurements()) == 1
    named = open_dataset(other.place, called="B-Test")
    assert measured(named).study == "asr-b-test"


def test_the_same_ids_are_not_the_same_speech(tmp_path, measured):
    """Clean and noisy copies have the same rows; durations alone can't tell them apart."""
    measured(speech(tmp_path / "clean", 4))
    with pytest.raises(DatasetError, match="0 of 4 utterances are the same"):
        measured(speech(tmp_path / "noisy", 4, seed=1))


def test_damaged_audio_is_told_as_such(tmp_path, measured):
    dataset = speech(tmp_path, 2)
    measured(dataset)
    for utterance in dataset.utterances:
        utterance.path.write_bytes(b"broken")
    with pytest.raises(DatasetError, match=r"00\.wav"):
        measured(open_dataset(dataset.place))


def test_a_data_set_may_grow_shrink_be_drawn_from_and_be_mended(tmp_path, store, measured):
    whole = speech(tmp_path / "a", 8)
    assert measured(whole.limited(2, seed=0)).study == "asr-test"
    # Two draws of one file need not have an utterance in common.
    assert measured(whole.limited(2, seed=5)).study == "asr-test"
    measured(whole)
    measured(speech(tmp_path / "a", 10))
    measured(speech(tmp_path / "a", 4))
    file = tmp_path / "a" / "test.jsonl"
    file.write_text(file.read_text().replace("word 1", "other 1"))
    measured(open_dataset(f"manifest:{file}"))
    file.write_text(file.read_text().replace('"id": "u', '"id": "v'))
    measured(open_dataset(f"manifest:{file}"))
    assert {m.study for _, m in store.measurements()} == {"asr-test"}


def test_what_was_measured_before_audio_was_noted_is_told_by_durations(tmp_path, store, measured):
    kept = measured(speech(tmp_path / "a", 4))

    def forgetful(dataset):
        return [
            ("--dataset manifest:old.csv", [r.model_copy(update={"audio_sha256": None})])
            for r in store.utterances(kept.key)
        ]

    store.speech_of = forgetful
    check_study(speech(tmp_path / "copy", 4), store)
    with pytest.raises(DatasetError, match=r"manifest:old\.csv"):
        check_study(speech(tmp_path / "b", 4, first=50), store)


def test_a_file_called_demo_is_not_the_demo(tmp_path, store):
    with pytest.raises(DatasetError, match="built-in demo"):
        check_study(speech(tmp_path, 2, name="demo"), store)
    check_study(open_dataset("demo"), store)


def test_a_sweep_over_two_files_of_one_name_is_refused(tmp_path, store):
    places = [speech(tmp_path / n, 2, first=f).place for n, f in (("a", 0), ("b", 50))]
    spec = SweepSpec(models=("tiny.en",), speech=tuple(Speech(dataset=p) for p in places))
    with pytest.raises(DatasetError, match="--name b-test"):
        check_runs(spec, store)
    apart = (Speech(dataset=places[0]), Speech(dataset=places[1], name="b-test"))
    check_runs(spec.model_copy(update={"speech": apart}), store)


def test_two_that_began_at_once_are_not_stored_as_one(tmp_path, store, measured):
    one, other = (speech(tmp_path / n, 2, first=f) for n, f in (("a", 0), ("b", 50)))
    late = evaluation_of(TINY, other, store, timing=False)
    measured(one)
    with pytest.raises(DatasetError, match="other speech"):
        late.run()
    assert len(store.measurements()) == 1


def test_speakers_that_are_added_later_are_stored(tmp_path, store, measured):
    """An added column was passed over in silence: the interval stayed that of no speakers."""
    before = measured(speech(tmp_path, 6))
    assert before.speakers == ()
    now = speech(tmp_path, 6, speakers="abcdef")
    after = measured(now)
    assert after.speakers == tuple("abcdef")
    assert after.key != before.key and after.replaces == before.key
    assert after.metric.value == before.metric.value
    assert "speakers" in after.metric.method and "speakers" not in before.metric.method
    assert after.metric.method.partition("; ")[2] == before.metric.method.partition("; ")[2]
    # One of the two counts, and asking again makes no third.
    assert [m.key for m in all_measurements(store, "asr") if m.study == "asr-test"] == [after.key]
    assert measured(now) == after
    assert len(store.measurements()) == 2
    assert store.utterances(after.key) == store.utterances(before.key)


def test_another_name_is_another_study_and_nothing_runs_again(tmp_path, store, measured):
    dataset = speech(tmp_path, 3)
    before = measured(dataset)
    renamed = open_dataset(dataset.place, called="calls")
    after = measured(renamed)
    assert (before.study, after.study, after.dataset.name) == ("asr-test", "asr-calls", "calls")
    assert after.errors == before.errors
    known = {m.study for m in all_measurements(store, "asr")}
    assert {"asr-test", "asr-calls"} <= known
    # Under its first name it is still what it was.
    assert measured(dataset) == before


def test_a_run_of_catalogue_keys_is_found_where_nothing_changed(tmp_path, measured):
    dataset = speech(tmp_path, 6, speakers="abcdef")
    first = measured(dataset)
    assert first.replaces is None
    assert measured(dataset) == first


def test_a_read_out_goes_along_with_another_name(store, checkpoint, tmp_path):  # noqa: F811
    clips = tones(tmp_path / "tones")
    chosen = configuration(exit_layer=2)
    evaluation_of(chosen, clips, store, weights=checkpoint, timing=False).run()
    renamed = open_dataset(clips.place, called="pitches")
    measured = evaluation_of(chosen, renamed, store, weights=checkpoint, timing=False).run()
    assert measured.study == "ser-pitches"
    (folder,) = find_readouts(chosen, "ser-pitches")
    assert folder.name == measured.key
    assert find_readouts(chosen, "ser-tones") != [folder]


def test_results_of_before_are_read():
    old = {
        "utterance": "a",
        "audio_s": 1.0,
        "substitutions": 0,
        "deletions": 0,
        "insertions": 0,
        "reference_words": 1,
        "hypothesis": "x",
    }
    assert UtteranceResult.model_validate(old).audio_sha256 is None


def test_results_note_the_audio_they_are_of(store, measured):
    demo = open_dataset("demo").limited(2)
    found = store.utterances(measured(demo).key)
    assert {r.utterance: r.audio_sha256 for r in found} == demo.contents


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 151, "ä b"])
def test_names_that_are_none(tmp_path, name):
    write_audio(tmp_path / "a.wav")
    with pytest.raises(DatasetError, match="is no name"):
        open_dataset("demo", called=name)
