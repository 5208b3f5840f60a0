"""Speech in other languages than English: said by whom, transcribed and scored as what."""

import json
import shutil

import pytest

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("torch")
pytest.importorskip("transformers")

from measurements.datasets import DatasetError, open_dataset  # noqa: E402
from measurements.evaluation import evaluation_of  # noqa: E402
from measurements.records import measurement_key  # noqa: E402
from measurements.scoring import normaliser_of  # noqa: E402
from measurements.studies import evidence_for  # noqa: E402
from measurements.sweeps import Speech, SweepSpec  # noqa: E402
from measurements.sweeps.checks import check_runs  # noqa: E402
from measurements.sweeps.runner import Sweep  # noqa: E402
from models_registry import Configuration, UnknownNameError  # noqa: E402
from tests.conftest import SHARED, needs_base_weights, needs_weights  # noqa: E402
from tests.measurements.test_datasets import write_audio  # noqa: E402

EMODB = SHARED / "data" / "emodb-mini"
needs_emodb = pytest.mark.skipif(not EMODB.exists(), reason="needs ../shared")


def manifest(folder, rows, name="calls.jsonl"):
    """Rows of audio of their own; what they say beside it is given."""
    for row in rows:
        write_audio(folder / row["audio"], 0.5)
    file = folder / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return f"manifest:{file}"


def rows(*languages):
    said = [{} if language is None else {"language": language} for language in languages]
    return [{"audio": f"{n}.wav", "text": "ein Satz", **one} for n, one in enumerate(said)]


def test_what_a_manifest_says_of_its_language(tmp_path):
    stated = open_dataset(manifest(tmp_path, rows("German", "de-AT")))
    assert (stated.language, stated.language_assumed, stated.study) == ("de", False, "asr-calls-de")
    assert stated.remarks == ()


def test_a_language_that_nobody_states_is_assumed_and_said(tmp_path):
    place = manifest(tmp_path, rows(None))
    assumed = open_dataset(place)
    assert (assumed.language, assumed.language_assumed) == ("en", True)
    assert any("assumed English (en)" in remark for remark in assumed.remarks)
    named = open_dataset(place, language="German")
    assert (named.language, named.language_assumed, named.study) == ("de", False, "asr-calls-de")
    assert named.remarks == ()
    # It changes nothing of what audio and transcripts are.
    assert named.fingerprint() == assumed.fingerprint()


def test_a_language_is_no_more_assumed_where_a_reader_knows_it():
    assert open_dataset("demo").remarks == ()
    with pytest.raises(DatasetError, match=r"English \(en\), not in German"):
        open_dataset("demo", language="de")


@pytest.mark.parametrize("mixed", [("en", "de"), ("de", None)])
def test_rows_in_several_languages_are_asked_about(tmp_path, mixed):
    with pytest.raises(DatasetError, match=r"calls\.jsonl:2: .*--language"):
        open_dataset(manifest(tmp_path, rows(*mixed)))


def test_rows_of_one_language_can_be_chosen(tmp_path):
    place = manifest(tmp_path, rows("en", "de", "de"))
    german = open_dataset(place, language="de")
    assert [u.id for u in german.utterances] == ["1.wav", "2.wav"]
    assert any("English" in remark for remark in german.remarks)
    with pytest.raises(DatasetError, match="no row is in French"):
        open_dataset(place, language="fr")


def test_a_row_in_no_language_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"calls\.jsonl:2: language: unknown language 'xx'"):
        open_dataset(manifest(tmp_path, rows("de", "xx")))
    with pytest.raises(UnknownNameError):
        open_dataset("demo", language="xx")


def test_english_keys_stay_and_others_are_of_their_own():
    configuration = Configuration(model="tiny")

    def key(language):
        return measurement_key(configuration, "f", "d", "p", language=language)

    assert key("en") == key(None) == measurement_key(configuration, "f", "d", "p")
    assert len({key("en"), key("de"), key("fr")}) == 3


def test_models_that_can_t_are_refused_before_audio_is_read(tmp_path, store, monkeypatch):
    place = manifest(tmp_path, rows("de"))
    speech = open_dataset(place)
    monkeypatch.setattr(type(speech), "fingerprint", lambda _: pytest.fail("audio was read"))
    with pytest.raises(DatasetError, match="English only"):
        evaluation_of(Configuration(model="tiny.en"), speech, store)
    for language in ("ja", "zh", "th", "my"):
        spaceless = open_dataset(manifest(tmp_path, rows(None), "x.jsonl"), language=language)
        with pytest.raises(DatasetError, match="without spaces"):
            evaluation_of(Configuration(model="tiny"), spaceless, store)


def test_a_sweep_is_refused_where_it_is_queued_and_noted_where_it_runs(tmp_path, store):
    speech = Speech(dataset=manifest(tmp_path, rows(None)), language="German")
    assert speech.language == "de"
    spec = SweepSpec(models=("tiny.en",), speech=(speech,), timing=False)
    with pytest.raises(DatasetError, match="English only"):
        check_runs(spec, store)
    progress = Sweep(spec, store).run()
    (state,) = progress.states
    assert (state.status, state.failure.kind) == ("failed", "dataset")
    assert state.run.command().endswith("--language de --no-timing")


def test_a_sweep_s_id_stays_where_nothing_new_is_said():
    plain = SweepSpec(models=("tiny",), speech=(Speech(dataset="demo"),))
    assert plain.model_dump(exclude_defaults=True)["speech"] == ({"dataset": "demo"},)
    german = SweepSpec(models=("tiny",), speech=(Speech(dataset="demo", language="de"),))
    assert german.id != plain.id


def test_a_sweep_says_which_language_it_assumes(tmp_path, store):
    place = manifest(tmp_path, rows(None))
    spec = SweepSpec(models=("tiny.en",), speech=(Speech(dataset=place),))
    (remark,) = check_runs(spec, store)
    assert place in remark and "assumed English" in remark


@needs_emodb
def test_emodb_s_sentences_are_german_speech(tmp_path):
    spoken = open_dataset(f"emodb:{EMODB}", task="asr")
    assert (spoken.study, spoken.language, len(spoken.utterances)) == ("asr-emodb-de", "de", 372)
    by_id = {u.id: u for u in spoken.utterances}
    assert by_id["03a02Fc"].reference == "Das will sie am Mittwoch abgeben."
    assert by_id["03a02Fc"].speaker == "03"
    assert open_dataset(f"emodb:{EMODB}").task == "ser"


def test_emodb_without_its_sentences_is_refused(tmp_path):
    write_audio(tmp_path / "wav" / "03a01Fa.wav")
    with pytest.raises(DatasetError, match=r"sentences\.csv: not there"):
        open_dataset(f"emodb:{tmp_path}", task="asr")
    table = tmp_path / "sentences.csv"
    table.write_text("code,text\na02,Anders\n")
    with pytest.raises(DatasetError, match="no text of a01"):
        open_dataset(f"emodb:{tmp_path}", task="asr")
    table.write_text("key,text\na01,Anders\n")
    with pytest.raises(DatasetError, match="code and text"):
        open_dataset(f"emodb:{tmp_path}", task="asr")


@pytest.mark.real
@needs_weights
@needs_base_weights
@needs_emodb
def test_german_is_heard_and_scored_as_german(tmp_path, store):
    """Heard as English the same clips give English words, nearly all of them wrong."""
    chosen = ["03a01Fa", "03a02Fc", "08a07Na", "09a02Wb"]
    spoken = open_dataset(f"emodb:{EMODB}", task="asr")
    clips = {u.id: u for u in spoken.utterances if u.id in chosen}
    for clip in clips.values():
        shutil.copy(clip.path, tmp_path / clip.path.name)
    lines = [f"{c.path.name},{c.reference}" for c in clips.values()]
    file = tmp_path / "german.csv"
    file.write_text("\n".join(["audio,text", *lines]) + "\n", encoding="utf-8")
    configuration = Configuration(model="base", window_s=10)

    def measured(language):
        speech = open_dataset(f"manifest:{file}", language=language)
        return evaluation_of(configuration, speech, store, timing=False).run()

    german, english = measured("de"), measured(None)
    assert german.metric.value < 0.5 < 0.7 < english.metric.value
    assert (german.study, english.study) == ("asr-german-de", "asr-german")
    assert (german.dataset.language, english.dataset.language) == ("de", "en")
    assert german.dataset.fingerprint == english.dataset.fingerprint
    assert normaliser_of("de") in german.metric.method
    assert normaliser_of("en") in english.metric.method
    assert evidence_for("asr", german.study, store).language == "de"
