"""Measurements in and out of files: nothing lost, nothing half stored."""

import json

import pytest

from measurements.catalogue import catalogue
from measurements.exchange import (
    RowsError,
    from_rows,
    read_rows,
    take_in,
    to_row,
    write_file,
)
from measurements.store import Store
from measurements.studies import all_measurements, evidence_for, studies

ROW = {"study": "mine", "dataset": "calls", "provenance": "ours", "model": "base", "wer": "0.2"}
RECORD = from_rows([ROW])[0].model_dump(mode="json")


def renamed(measurements):
    """The same under keys that nobody knows."""
    return [m.model_copy(update={"key": m.key[::-1]}) for m in measurements]


@pytest.fixture
def store(tmp_path):
    opened = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


def wrong(rows, store=None):
    """What is said of rows that are refused."""
    with pytest.raises(RowsError) as caught:
        take_in(rows, store) if store else from_rows(rows)
    return [(error.row, error.field) for error in caught.value.errors]


def test_jsonl_brings_back_all_of_a_measurement(tmp_path):
    written = renamed(catalogue())
    write_file(written, tmp_path / "all.jsonl")
    assert from_rows(read_rows(tmp_path / "all.jsonl")) == written


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_what_is_known_is_not_stored_again(tmp_path, store, suffix):
    """A table that is read back would weigh as much evidence again."""
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    own = [m for m in catalogue() if m.rtf][:2]
    store.add_measurements(renamed(own))
    known = all_measurements(store)
    file = tmp_path / f"all{suffix}"
    write_file(known, file)
    assert take_in(read_rows(file), store) == (0, len(known))
    assert all_measurements(store) == known


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("wer", 0.17),
        ("wer", ""),
        ("model", "small"),
        ("window_s", 17),
        ("utterances", 3),
        ("rtf", 0.001),
        ("device", "cuda-other"),
        ("created_at", "2020-01-01"),
        ("gflops_per_utterance", 1),
        ("provenance", "mine"),
    ],
)
def test_a_row_of_a_known_key_says_what_is_known(column, value):
    """What it says otherwise would be dropped without a word."""
    known = to_row(next(m for m in catalogue() if m.rtf and m.metric.name == "wer"))
    rounded = {k: f"{v:.14g}" if isinstance(v, float) else v for k, v in known.items()}
    from_rows([known, rounded])
    field = "row" if value == "" else column
    assert wrong([known, {**known, column: value}]) == [(2, field)]


def test_a_table_brings_in_no_row_that_it_holds_a_part_of(store):
    """Its times would be lost, and the whole record counted beside it later."""
    (own,) = renamed(m for m in catalogue() if m.rtf and m.study == catalogue()[-1].study)[:1]
    dropped = ["key", "gflops_per_utterance", "rtf", "device", "created_at"]
    assert wrong([to_row(own)], store) == [(1, column) for column in dropped]
    assert wrong([{**ROW, "rtf": "0.1"}], store) == [(1, "rtf")]
    assert wrong([{**ROW, "key": [1]}], store) == [(1, "key")]
    assert take_in([own.model_dump(mode="json")], store) == (1, 0)
    assert take_in([to_row(own)], store) == (0, 1)


def test_a_record_of_a_known_key_is_what_is_known(store):
    """Or it takes the place of a built-in measurement."""
    before = all_measurements(store)
    known = next(m for m in catalogue() if m.rtf and m.metric.name == "wer")
    record = known.model_dump(mode="json")
    worse = {**record, "metric": {**record["metric"], "value": 0.9, "upper": 0.95}}
    assert wrong([record, worse], store) == [(2, "metric")]
    assert wrong([{**record, "study": "mine", "windows": 1}], store) == [
        (1, "study"),
        (1, "windows"),
    ]
    again = {**record, "rtf": {"total": 9.0}, "created_at": "2027-01-01T00:00:00Z"}
    assert take_in([record, again], store) == (0, 2)
    assert all_measurements(store) == before


def test_two_records_of_a_file_under_one_key_are_the_same():
    other = {**RECORD, "metric": {"name": "wer", "value": 0.9}}
    assert wrong([RECORD, other, RECORD]) == [(2, "metric")]


@pytest.mark.parametrize("key", ["", "mine", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_a_record_needs_a_key_that_is_one(key):
    assert wrong([{**RECORD, "key": key}]) == [(1, "key")]


SER = {"study": "mine", "dataset": "calls", "provenance": "ours", "model": "base", "ua": 0.6}


@pytest.mark.parametrize(
    "study", ["asr-demo", "asr-librispeech-test-other-lora32", "asr-calls", "stored", "mine"]
)
@pytest.mark.parametrize("whole", [False, True])
def test_a_study_is_of_one_task(store, study, whole):
    """A study is listed under the task of its first row, and the others count in no answer."""
    take_in([{**ROW, "study": "stored"}], store)
    row = from_rows([{**SER, "study": "x"}])[0].model_dump(mode="json") if whole else SER
    assert wrong([ROW, {**row, "study": study}], store) == [(2, "study")]
    assert {s.id: s.task for s in studies(store)}["asr-demo"] == "asr"
    assert take_in([{**row, "study": "ser-calls"}], store) == (1, 0)


def test_a_record_is_measured_in_the_metric_of_its_task():
    assert wrong([{**RECORD, "metric": {"name": "ua", "value": 0.2}}]) == [(1, "row")]


def test_a_row_is_one_measurement_whatever_it_is_written_in(tmp_path):
    (flat,) = from_rows([ROW])
    (again,) = from_rows([{**to_row(flat), "key": "", "rtf": None}])
    assert again.key == flat.key
    assert from_rows([{**ROW, "wer": 0.3}])[0].key != flat.key


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"wer": "20"}, "wer", "less than or equal to 5"),
        ({"wer": ""}, "row", "exactly one of wer and ua"),
        ({"ua": "0.5"}, "row", "exactly one of wer and ua"),
        ({"model": "bas"}, "model", "base"),
        ({"model": None}, "row", "a column model"),
        ({"window_s": "-3"}, "window_s", "greater than 0"),
        ({"study": ""}, "study", "required"),
        ({"speed": "9"}, "speed", "not permitted"),
        ({"task": "ser"}, "row", "other metric"),
        ({"lower": "0.5", "upper": "0.1"}, "row", "lower 0.5 is above value 0.2"),
    ],
)
def test_what_is_wrong_is_named_by_row_and_field(change, field, said):
    with pytest.raises(RowsError) as caught:
        from_rows([ROW, {**ROW, **change}])
    (error,) = caught.value.errors
    assert (error.row, error.field) == (2, field)
    assert said in error.message


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"metric": {"name": "wer", "value": 0.2, "lower": 0.5, "upper": 0.1}}, "metric", "above"),
        ({"metric": {"name": "wer", "value": 0.2, "lower": 0.3}}, "metric", "lower 0.3 is above"),
        ({"metric": {"name": "wer", "value": float("nan")}}, "metric.value", "finite"),
        ({"metric": {"name": "wer", "value": 0.2, "level": 95}}, "metric.level", "less than"),
        ({"flops_counted": -1e9}, "flops_counted", "greater than or equal to 0"),
        ({"rtf": {"total": -0.1}}, "rtf.total", "greater than or equal to 0"),
        ({"rtf": {"total": float("inf")}}, "rtf.total", "finite"),
        ({"rtf_interval": {"total": [0.3, 0.2]}}, "row", "lower 0.3 is above upper 0.2"),
        ({"weights_bytes": -1}, "weights_bytes", "greater than or equal to 0"),
    ],
)
def test_whole_records_hold_no_impossible_numbers(change, field, said):
    """They would be evidence, and a curve through them an answer."""
    with pytest.raises(RowsError) as caught:
        from_rows([{**RECORD, **change}])
    (error,) = caught.value.errors
    assert error.field == field
    assert said in error.message


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"\xff\xfe\x00", "not UTF-8"),
        ("a.csv", b"study,model\na\n", "no object"),
        ("a.jsonl", b"{nonsense\n", "no object"),
        ("a.jsonl", json.dumps([1]).encode(), "no object"),
        ("a.txt", b"", "has to end in"),
    ],
)
def test_files_that_are_none_say_so(tmp_path, name, content, said):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(ValueError, match=said):
        from_rows(read_rows(file))


def test_rows_in_other_languages_and_the_keys_of_english_ones(store):
    """Keys of rows that say nothing of a language are those of before it could be said."""
    german, english, plain = from_rows(
        [{**ROW, "language": "German"}, {**ROW, "language": "en"}, ROW]
    )
    assert (german.dataset.language, english.dataset.language) == ("de", "en")
    assert german.key != english.key == plain.key
    assert plain.key == "10c9400ff3e0b16c8a966792433052bda5842bd4d72433dd9df41aff9f38f2c1"
    assert to_row(german)["language"] == "de"
    assert wrong([{**ROW, "language": "xx"}]) == [(1, "language")]
    take_in([{**ROW, "study": "asr-calls-de", "language": "de"}], store)
    assert evidence_for("asr", "asr-calls-de", store).language == "de"
