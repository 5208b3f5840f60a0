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
    ],
)
def test_a_list_of_durations_is_a_workload(tmp_path, name, content):
    """A JSON list was refused; a CSV file had to have a header."""
    (tmp_path / name).write_text(content)
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
