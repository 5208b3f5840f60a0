"""Workloads out of folders and files."""

import numpy as np
import pytest
import soundfile

from measurements.datasets import DatasetError
from measurements.workloads import workload_from
from planner.workload import DEFAULT_WORKLOAD, Workload


def audio(path, seconds):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(round(8000 * seconds), dtype=np.float32), 8000)


def test_a_folder_is_scanned_and_what_is_no_audio_left_out(tmp_path):
    audio(tmp_path / "a.wav", 2)
    audio(tmp_path / "below" / "b.flac", 5)
    (tmp_path / "broken.wav").write_bytes(b"not audio")
    (tmp_path / "notes.txt").write_text("x")
    found = workload_from(tmp_path, tokens_per_audio_s=2)
    assert sorted(found.durations_s) == [2, 5]
    assert found.tokens_per_audio_s == 2
    assert "1 left out: broken.wav: " in found.source


def test_tables_and_json_say_the_same(tmp_path):
    (tmp_path / "w.csv").write_text("duration_s,weight\n3,2\n9,1\n")
    (tmp_path / "w.json").write_text('{"durations_s": [3, 9], "weights": [2, 1]}')
    table, stated = (workload_from(tmp_path / name) for name in ("w.csv", "w.json"))
    assert table.mean_audio_s == stated.mean_audio_s == 5


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("w.json", "[3, 4, 5]"),
        ("w.txt", "3\n4\n\n5\n"),
        ("w.csv", "3, 4, 5\n"),
        ("w.csv", "duration_s\n3\n4\n5\n"),
        ("w.csv", "\ufeffduration_s\r\n3\r\n4\r\n5\r\n"),
        ("w.txt", "\ufeff3\r4\r5\r"),
        ("w.txt", "3;4;5"),
        ("w.txt", "3,4,5"),
        ("w.txt", "3\t4\t5"),
        ("w.json", "\ufeff[3, 4, 5]"),
    ],
)
def test_a_list_of_durations_is_a_workload(tmp_path, name, content):
    """A JSON list was refused; a CSV file had to have a header."""
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    found = workload_from(tmp_path / name, tokens_per_audio_s=2)
    assert (found.durations_s, found.tokens_per_audio_s) == ((3, 4, 5), 2)
    assert found.source == f"3 durations of {tmp_path / name}"


def test_tokens_are_the_file_s_or_the_option_s_but_not_both(tmp_path):
    """The option was ignored, and what was left out differed from file to file."""
    path = tmp_path / "w.json"
    path.write_text('{"durations_s": [3]}')
    assert workload_from(path, 2).tokens_per_audio_s == 2
    assert workload_from(path).tokens_per_audio_s == DEFAULT_WORKLOAD.tokens_per_audio_s
    assert Workload.fixed(3).tokens_per_audio_s == DEFAULT_WORKLOAD.tokens_per_audio_s
    path.write_text('{"durations_s": [3], "tokens_per_audio_s": 4}')
    assert workload_from(path).tokens_per_audio_s == workload_from(path, 4).tokens_per_audio_s == 4
    with pytest.raises(DatasetError, match="it says 4 tokens_per_audio_s, not 2"):
        workload_from(path, 2)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("w.csv", "seconds\n3\n"),
        ("w.csv", "duration_s\nlong\n"),
        ("w.csv", "duration_s\n-3\n"),
        ("w.json", '{"durations_s": []}'),
        ("w.json", "{"),
        ("w.json", "[]"),
        ("w.json", "3"),
        ("w.csv", "3,2\n9,1\n"),
        ("w.txt", "3 nan"),
        ("w.txt", ""),
        ("a/broken.wav", "x"),
        ("a/notes.txt", "x"),
        ("none", None),
    ],
)
def test_what_is_no_workload_is_named(tmp_path, name, content):
    path = tmp_path / name
    if content is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    path = path.parent if path.parent != tmp_path else path
    with pytest.raises(DatasetError, match=str(path)):
        workload_from(path)


def test_macos_metadata_is_no_recording_and_a_pointer_is_named(tmp_path):
    audio(tmp_path / "a.wav", 2)
    for name in ("._a.wav", "__MACOSX/a.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    found = workload_from(tmp_path)
    assert found.durations_s == (2,)
    assert "could not be read" not in found.source
    (tmp_path / "a.wav").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(DatasetError, match="git lfs pull"):
        workload_from(tmp_path)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("columns", [("duration_s", "weight"), ("weight", "duration_s")])
def test_weights_weigh(tmp_path, separator, mark, columns):
    """A mark at the start, or another separator, and every recording weighed as much."""
    rows = [{"duration_s": "3", "weight": "100"}, {"duration_s": "30", "weight": "1"}]
    lines = [separator.join(columns), *(separator.join(row[c] for c in columns) for row in rows)]
    path = tmp_path / "w.csv"
    path.write_text(mark + "\r\n".join(lines), encoding="utf-8", newline="")
    found = workload_from(path)
    assert found.mean_audio_s == pytest.approx(330 / 101)
    assert ("separated by" in found.source) == (separator != ",")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("w.csv", "duration_s,count\n3,100\n", "1: count: unknown column"),
        ("w.csv", "duration_s, weight\n3,100\n", "1:  weight: unknown column"),
        ("w.csv", "Duration_s\n3\n", "1: Duration_s: unknown column"),
        ("w.csv", "weight\n3\n", "1: a column duration_s"),
        ("w.csv", "duration_s,weight\n3,1\n4\n", "3: weight: 1 cells"),
        ("w.csv", "duration_s,weight\n3,5,100\n", "2: weight: 3 cells"),
        ("w.csv", "duration_s;weight\n3,5;100\n", "2: duration_s: '3,5' is no number: is 3.5"),
        ("w.csv", "duration_s,weight\n3,1\n\n4,0\n", "4: weight: "),
        ("w.csv", "duration_s,weight\n3,1\n4,inf\n", "3: weight: "),
        ("w.csv", "duration_s,weight\n3,1\n4,\n", "3: weight: is empty"),
        ("w.csv", "duration_s\n3\n-4\n", "3: duration_s: "),
        ("w.csv", "duration_s\n1_0\n", "2: duration_s: "),
        ("w.csv", "3,5\n4,5\n", "1: '3,5' is no number: is 3.5 meant"),
        ("w.txt", "3,5", "1: numbers are separated by one"),
        ("w.txt", "3,5 4,5", "1: numbers are separated by one"),
        ("w.txt", "3,5; 4,5", "1: numbers are separated by one"),
        ("w.txt", "3\n4\nfive\n", "3: 'five' is no number"),
        ("w.txt", "3\n\n-4\n", "3: duration_s: "),
        ("w.json", '{"durations_s": [3], "weight": [1]}', " weight: "),
        ("w.json", '{"durations_s": [3], "durations_s": [4]}', "1: durations_s: the key is there"),
        ("w.json", "[3, true]", " durations_s.1: "),
        ("w.json", '[3, "4"]', " durations_s.1: "),
        ("w.json", "[3, NaN]", "1: NaN"),
        ("w.json", '{"durations_s": [3],\n "weights": [1', "2: not JSON"),
    ],
)
def test_what_could_be_another_workload_is_refused_by_its_line(tmp_path, name, content, said):
    """Weights under another name were passed over; 3,5 was a recording of 3 s and one of 5 s."""
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DatasetError) as caught:
        workload_from(path)
    assert str(caught.value).startswith(f"{path}:{said}")


def test_every_recording_counts_or_is_named(tmp_path):
    """Formats that are measured were passed over without a word, and those that are not."""
    for name in ("a.aiff", "b.au", "c.FLAC", "d.wav"):
        audio(tmp_path / name, 3)
    audio(tmp_path / "e.wav", 3)
    (tmp_path / "e.wav").rename(tmp_path / "by content")
    for name in ("f.m4a", "g.vox", "h.raw", "i.wav"):
        (tmp_path / name).write_bytes(b"is none")
    (tmp_path / "._a.aiff").write_bytes(b"\0\5\x16\7")
    (tmp_path / "notes.txt").write_text("is none")
    found = workload_from(tmp_path)
    assert found.durations_s == (3,) * 5
    assert "5 recordings" in found.source
    assert "4 left out: f.m4a: " in found.source
    assert "g.vox" in found.source
    assert "1 more" in found.source
    assert "._a" not in found.source


def test_a_workload_has_the_durations_that_are_there(tmp_path):
    """A FLAC file without a length made 163,000,000,000,000 GFLOPs of two recordings."""
    whole = tmp_path / "a.flac"
    audio(whole, 4)
    raw = whole.read_bytes()
    whole.write_bytes(raw[:21] + bytes([raw[21] & 0xF0]) + bytes(20) + raw[42:])
    audio(tmp_path / "cut.flac", 4)
    cut = (tmp_path / "cut.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(cut[: len(cut) - 20])
    found = workload_from(tmp_path)
    assert found.durations_s == (4,)
    assert "1 left out: cut.flac: damaged or cut short" in found.source
