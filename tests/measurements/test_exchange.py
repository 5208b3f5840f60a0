"""Measurements in and out of files: nothing lost, nothing half stored."""

import json

import pytest

from measurements.catalogue import catalogue
from measurements.exchange import RowsError, from_rows, read_file, to_row, write_file

ROW = {"study": "mine", "dataset": "calls", "provenance": "ours", "model": "base", "wer": "0.2"}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_every_format_brings_back_what_curves_are_made_of(tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    written = list(catalogue())
    file = tmp_path / f"all{suffix}"
    write_file(written, file)
    read = read_file(file)
    for before, after in zip(written, read, strict=True):
        assert after.configuration == before.configuration
        assert after.metric.value == before.metric.value
        assert (after.study, after.source) == (before.study, before.source)
        if suffix == ".jsonl":
            assert after == before


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
    ],
)
def test_what_is_wrong_is_named_by_row_and_field(change, field, said):
    with pytest.raises(RowsError) as caught:
        from_rows([ROW, {**ROW, **change}])
    (error,) = caught.value.errors
    assert (error.row, error.field) == (2, field)
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
        read_file(file)
