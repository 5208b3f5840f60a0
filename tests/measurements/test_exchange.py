"""Measurements in and out of files: nothing lost, nothing half stored."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measurements.catalogue import catalogue
from measurements.exchange import (
    RowsError,
    assumption_of,
    from_rows,
    read_rows,
    remarks_of,
    take_in,
    write_file,
)
from measurements.flat_rows import to_row
from measurements.store import Store
from measurements.studies import all_measurements, evidence_for, studies

ROW = {
    **{"study": "mine", "dataset": "calls", "provenance": "ours", "model": "base"},
    **{"wer": "0.2", "unit": "fraction"},
}
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


SER = {**{k: v for k, v in ROW.items() if k != "wer"}, "ua": 0.6}


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
        ({"wer": "20"}, "wer", "is 2000 %"),
        ({"wer": ""}, "row", "exactly one of wer and ua"),
        ({"ua": "0.5"}, "row", "exactly one of wer and ua"),
        ({"model": "bas"}, "model", "base"),
        ({"model": None}, "row", "a column model"),
        ({"window_s": "-3"}, "window_s", "greater than 0"),
        ({"study": ""}, "study", "required"),
        ({"speed": "9"}, "speed", "unknown column"),
        ({"weights": "9"}, "weights", "unknown column"),
        ({"window_s": "3,5"}, "window_s", "is 3.5 meant"),
        ({"batch_size": True}, "batch_size", "no number"),
        ({"level": "0,9"}, "level", "is 0.9 meant"),
        ({"utterances": "1_0"}, "utterances", "no number"),
        ({"wer": "0,2"}, "wer", "is 0.2 meant"),
        ({"wer": "-0.2"}, "wer", "below 0"),
        ({"wer": True}, "wer", "no number"),
        ({"se": "0"}, "se", "is 0"),
        ({"unit": "%"}, "unit", "none of fraction, percent"),
        ({"task": "ser"}, "row", "other metric"),
        ({"lower": "0.5", "upper": "0.6", "level": 0.9}, "lower", "0.5 is above the value 0.2"),
        ({"lower": "0.1", "upper": "0.19", "level": 0.9}, "upper", "0.19 is below the value 0.2"),
        ({"lower": "0.2", "upper": "0.2", "level": 0.9}, "upper", "no width"),
        ({"lower": "0.1", "upper": "0.3"}, "level", "missing"),
        ({"lower": "0.1", "level": 0.9}, "upper", "missing"),
        ({"level": 0.9}, "lower", "missing"),
        ({"lower": "0.1", "upper": "0.3", "level": 95}, "level", "less than"),
        ({"lower": "0.1", "upper": "0.3", "level": 0.95, "se": 0.005}, "se", "0.051"),
        ({"lower": "0.1", "upper": "0.3", "level": 0.95, "se": 0.2}, "se", "0.051"),
        ({"lower": "0.1", "upper": "0.3", "level": 0.95, "se": "0.070"}, "se", "0.051"),
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
        ("a.csv", b"\xff\xfe\x00", "not UTF-16"),
        ("a.csv", b"study,modell\na,b\n", "a.csv:1: modell: unknown column 'modell': did you mean"),
        ("a.csv", b"study,model\n\na\n", r"row 1, model \(line 3\): 1 cells"),
        ("a.jsonl", b"\n{nonsense\n", r"row 1, row \(line 2\): not JSON"),
        ("a.jsonl", json.dumps([1]).encode(), "not a JSON object"),
        ("a.jsonl", b'{"study": "a", "study": "b"}', "row 1, study .*twice"),
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


# --- units and intervals ---


def without_unit(**change):
    return {k: v for k, v in ROW.items() if k != "unit"} | change


@pytest.mark.parametrize("wer", ["4.66", "1", "17", 1.3, 466])
def test_a_unit_is_asked_for(store, wer):
    """4.66 % was stored as 466 %, since it is below 5."""
    row = without_unit(wer=wer)
    assert wrong([row], store) == [(1, "unit")]
    assert wrong([ROW, row, row, {**row, "window_s": "-1"}], store)[0] == (2, "unit")
    for unit in ("fraction", "percent"):
        stated = without_unit(wer="0.5", unit=unit)
        assert wrong([stated, row], store) == [(2, "unit")]
    # The rows of a file that name none have one unit: 0.9 % among 4 % is no 90 %.
    assert wrong([row, without_unit(wer="0.9")], store) == [(1, "unit")]
    assert wrong([without_unit(wer="0.9", upper="2", lower="0.1", level=0.9)]) == [(1, "unit")]
    assert len(from_rows([without_unit(wer="0.9"), {**ROW, "wer": "4.66"}])) == 2


def test_fractions_need_no_unit_and_are_said_to_be_taken_as_such():
    rows = [without_unit(wer="0.2"), without_unit(wer="0.0466"), ROW]
    found = from_rows(rows)
    assert [m.metric.value for m in found] == [0.2, 0.0466, 0.2]
    assert "4.66 % to 20 %" in assumption_of(rows, found)
    assert assumption_of([ROW, RECORD], found[:2]) is None


def test_a_unit_is_of_a_row_or_of_all(store):
    """One measurement is one row, however its figures are written."""
    figures = {"wer": "4.66", "se": "0.1", "lower": "4.46", "upper": "4.86", "level": "0.95"}
    (one,) = from_rows([without_unit(**figures)], unit="percent")
    metric = one.metric
    assert (metric.value, metric.se, metric.lower) == (0.0466, 0.001, 0.0446)
    assert (metric.upper, metric.level) == (0.0486, 0.95)
    same = {"wer": 0.0466, "se": 0.001, "lower": 0.0446, "upper": "0.0486", "level": 0.95}
    (other,) = from_rows([{**ROW, **same}])
    assert other == one
    with pytest.raises(RowsError) as caught:
        from_rows([ROW], unit="percent")
    assert caught.value.errors[0].field == "unit"
    with pytest.raises(RowsError) as caught:
        from_rows([RECORD], unit="percent")
    assert caught.value.errors[0].field == "unit"
    assert from_rows([RECORD], unit="fraction") == from_rows([RECORD])


@given(st.decimals(0, 100, places=2), st.sampled_from(["wer", "ua"]))
def test_percent_is_a_hundredth_to_the_last_digit(percent, metric):
    """Or the row in percent is a second measurement beside the one in fractions."""
    row = {k: v for k, v in ROW.items() if k not in ("wer", "unit")}
    a, b, c = from_rows(
        [
            {**row, metric: str(percent), "unit": "percent"},
            {**row, metric: float(percent), "unit": "percent"},
            {**row, metric: float(percent.scaleb(-2)), "unit": "fraction"},
        ]
    )
    assert a == b == c


def test_more_errors_than_words_are_taken_and_said():
    found = from_rows([ROW, {**ROW, "wer": "1.5"}, {**ROW, "wer": "250", "unit": "percent"}])
    assert [m.metric.value for m in found] == [0.2, 1.5, 2.5]
    (remark,) = remarks_of(found)
    assert "2 of 3" in remark and "250 %" in remark
    assert remarks_of(found[:1]) == ()
    with pytest.raises(RowsError, match="above 100 %"):
        from_rows([{**SER, "ua": 85.0}])


@pytest.mark.parametrize(
    "stated",
    [
        {"lower": "0.10", "upper": "0.25", "level": "0.95"},
        {"lower": "0.10", "upper": "0.25", "level": "0.95", "se": "0.038"},
        {"lower": "0.1", "upper": "0.3", "level": "0.9", "se": "0.06"},
        {"se": "0.01"},
        {"lower": "0.2", "upper": "0.25", "level": "0.9"},
    ],
)
def test_intervals_are_kept(stated):
    (found,) = from_rows([{**ROW, **stated}])
    for name in ("se", "upper", "level"):
        assert getattr(found.metric, name) == (float(stated[name]) if name in stated else None)


def test_what_was_written_needs_no_unit(tmp_path, store):
    """Tables from before the column unit was written are known by their keys."""
    known = to_row(next(m for m in catalogue() if m.metric.name == "wer"))
    assert known.pop("unit") == "fraction"
    assert take_in([known], store) == (0, 1)
    high = {**known, "key": "", "wer": 1.2}
    assert (1, "unit") in wrong([high], store)
    (own,) = from_rows([ROW])
    for name in ("one.csv", "one.jsonl"):
        write_file([own], tmp_path / name)
    assert from_rows(read_rows(tmp_path / "one.jsonl")) == [own]
    (row,) = read_rows(tmp_path / "one.csv")
    assert from_rows([{**row.cells, "key": "", "device": ""}]) == [own]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table_is_taken_in_whatever_wrote_it(tmp_path, separator, encoding):
    rows = [ROW, {**ROW, "window_s": "20", "provenance": 'a "b", c; d\te\r\nf\u2028g'}]
    columns = list(rows[1])
    quoted = [[f'"{row.get(c, "")}"'.replace('a "b"', 'a ""b""') for c in columns] for row in rows]
    text = "\r\n".join(separator.join(cells) for cells in [columns, *quoted])
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    assert from_rows(read_rows(tmp_path / "a.csv")) == from_rows(rows)
