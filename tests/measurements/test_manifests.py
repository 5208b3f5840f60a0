"""Manifests as people have them: every row read as it is meant, or refused by its line."""

import csv
import io
import json

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from measurements.datasets import DatasetError, open_dataset
from measurements.datasets.segments import ROUNDING_S

RATE = 8_000


@pytest.fixture
def folder(tmp_path):
    """A folder with a recording of 3 s, whose samples rise, and others of 1 s."""
    rising = np.linspace(0, 0.9, 3 * RATE, dtype=np.float32)
    soundfile.write(tmp_path / "long.wav", rising, RATE, subtype="FLOAT")
    for name in ("a.wav", "b.wav", "c.wav"):
        soundfile.write(tmp_path / name, np.zeros(RATE, np.float32), RATE)
    return tmp_path


def opened(folder, content, name="list.csv", **options):
    content = content if isinstance(content, bytes) else content.encode()
    (folder / name).write_bytes(content)
    return open_dataset(f"manifest:{folder / name}", **options)


def lines(*rows):
    return "\n".join(json.dumps(row) for row in rows)


def refused(folder, content, name="list.csv"):
    with pytest.raises(DatasetError) as caught:
        opened(folder, content, name)
    assert str(caught.value).startswith(f"{folder / name}:")
    return str(caught.value).removeprefix(f"{folder / name}:")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    texts=st.lists(
        st.text(
            st.sampled_from("ab é\u2028\u2029\x85\x0b\x0c\x1c,;\t\"'\n\r\ufeff")
            | st.characters(codec="utf-8"),
            min_size=1,
            max_size=20,
        ).filter(lambda text: text.strip() and "\0" not in text),
        min_size=3,
        max_size=3,
    ),
    separator=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_texts_are_those_that_were_written(folder, texts, separator, end, encoding):
    """A line break in a cell joined the words around it; a mark at the start hid a column."""
    rows = [
        {"audio": f"{name}.wav", "text": text, "speaker": name}
        for name, text in zip("abc", texts, strict=True)
    ]
    table = io.StringIO(newline="")
    writer = csv.DictWriter(
        table, list(rows[0]), delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL
    )
    writer.writeheader()
    writer.writerows(rows)
    for name, content in (
        ("list.csv", table.getvalue()),
        ("list.jsonl", end.join(json.dumps(row, ensure_ascii=False) for row in rows)),
        ("list.json", json.dumps(rows, ensure_ascii=False)),
    ):
        found = opened(folder, content.encode(encoding), name).utterances
        assert [one.reference for one in found] == texts
        assert [one.speaker for one in found] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("audio,text\na.wav,well, she said\n", "2: text: 3 cells"),
        ("audio,text,speaker\na.wav,well, she said,ann\n", "2: speaker: 4 cells"),
        ("audio,text,speaker\na.wav,hello\n", "2: speaker: 2 cells"),
        ('audio,text\na.wav,"hello\nb.wav,ho\n', "2: text: the quote"),
        ('audio,text\na.wav,"hello\nb.wav,""ho\nc.wav,hi"\n', "2: text: holds the row of b.wav"),
        ('audio,text\na.wav,"hello" there\n', "2: text: "),
        ("audio;text,label\na.wav;hello\n", "1: commas and semicolons"),
        ("audio, text\na.wav,hello\n", "1:  text: unknown column"),
        ("audio,Text\na.wav,hello\n", "1: Text: unknown column 'Text': did you mean 'text'"),
        ("audio,text,channel\na.wav,hello,1\n", "1: channel: unknown column"),
        ("audio,text,text\na.wav,hello,ho\n", "1: text: the column is there 2 times"),
        ("audio,audio_filepath,text\na.wav,b.wav,hello\n", "2: audio_filepath: is another name"),
        ("audio,text\na.wav,hi\nb.wav,ho\n,hm\n", "4: audio: is missing"),
        ("audio,text\na.wav,hi\na.wav,ho\n", "3: id 'a.wav' occurs twice, in line 2 too"),
        ("id,audio,text\n1,a.wav,hi\n\n1,b.wav,ho\n", "4: id '1' occurs twice, in line 2 too"),
        (
            "audio,label\na.wav,Happy\nb.wav,sad\nc.wav,happy\n",
            "4: label: 'happy' here and 'Happy' in line 2",
        ),
        ("audio,label\na.wav,u\u0308\nb.wav,\u00fc\n", "3: label: "),
        ("audio,label\na.wav,sad\nb.wav, \n", "3: label: is missing"),
        ("audio,text,language\na.wav,hi,en\nb.wav,ho,de\n", "3: language: "),
        ("audio,text,language\na.wav,hi,en\nb.wav,ho,\n", "3: language: "),
        ("audio,text,language\na.wav,hi,qq\n", "2: language: unknown language"),
    ],
)
def test_tables_that_could_mean_something_else_are_refused(folder, content, said):
    assert refused(folder, content).startswith(said)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"audio": "a.wav", "text": 5}, "2: text: 5 is no text"),
        ({"audio": "a.wav", "text": ["a"]}, "2: text: "),
        ({"audio": "a.wav", "text": None}, "2: text: is missing"),
        ({"audio": "a.wav"}, "2: text: is missing"),
        ({"text": "x"}, "2: audio: is missing"),
        ({"audio": "a.wav", "text": "x", "speaker": 1.5}, "2: speaker: "),
        ({"audio": "a.wav", "text": "x", "id": True}, "2: id: "),
        ({"audio": "a.wav", "text": "x", "channel": 0}, "2: channel: unknown column"),
        ({"audio": "a.wav", "text": "x", "offset": True}, "2: offset: "),
        ({"audio": "a.wav", "text": "x", "offset": [0]}, "2: offset: "),
    ],
)
def test_objects_that_are_no_rows_are_refused(folder, row, said):
    content = lines({"audio": "b.wav", "text": "hi"}, row)
    assert refused(folder, content, "list.jsonl").startswith(said)


def test_a_separator_that_is_no_comma_is_said(folder):
    assert opened(folder, "audio,text\na.wav,hi\n").notes == ()
    (note,) = opened(folder, "audio\ttext\na.wav\thi\n", "list.tsv").notes
    assert "tabs" in note


def test_labels_are_trimmed_and_numbers_name(folder):
    found = opened(folder, "audio,label,speaker\na.wav, sad ,ann \nb.wav,sad,ann\n").utterances
    assert {(one.reference, one.speaker) for one in found} == {("sad", "ann")}
    (one,) = opened(
        folder, lines({"audio": "a.wav", "label": 3, "id": 7, "speaker": 12}), "l.jsonl"
    ).utterances
    assert (one.id, one.reference, one.speaker) == ("7", "3", "12")


def test_a_recording_without_speech_has_an_empty_text(folder):
    found = opened(folder, "audio,text\na.wav,hello\nb.wav,\nc.wav,  \n")
    assert [one.reference for one in found.utterances] == ["hello", "", ""]
    assert "2 of 3 texts are empty" in found.notes[0]
    assert opened(folder, "audio,text,label\na.wav,,sad\n").task == "ser"
    assert opened(folder, "audio,text,label\na.wav,hi,\nb.wav,,\n").task == "asr"


def test_the_language_is_the_manifest_s(folder):
    content = "audio,text,lang\na.wav,hallo,de-DE\nb.wav,ja,German\n"
    found = opened(folder, content)
    assert (found.language, found.language_assumed, found.study) == ("de", False, "asr-list-de")
    with pytest.raises(DatasetError, match="no row is in English"):
        opened(folder, content, language="en")
    mixed = opened(folder, "audio,text,language\na.wav,hi,en\nb.wav,ja,de\n", language="de")
    assert [one.id for one in mixed.utterances] == ["b.wav"]
    assert "left out: 1" in mixed.notes[0]


# --- segments ---


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"offset": 0, "duration": 1.25}, {"offset": 1.25, "duration": 1.0}),
        ({"end": 1.25}, {"start": 1.25, "end": 2.25}),
        ({"duration": 1.25}, {"start": 1.25, "duration": 1.0, "end": 2.25}),
        ({"offset": "0.0", "end": "1.25"}, {"offset": "1.25", "end": "2.25", "duration": None}),
    ],
)
def test_segments_cut_the_audio(folder, first, second):
    """Each row was the whole file, against half of its words."""
    rows = [
        {"audio": "long.wav", "text": text, **cut} for text, cut in (("x", first), ("y", second))
    ]
    one, other = opened(folder, lines(*rows), "list.jsonl").utterances
    assert (one.id, other.id) == ("long.wav#t=0,1.25", "long.wav#t=1.25,2.25")
    assert (one.duration_s(), other.duration_s()) == (1.25, 1.0)
    whole = soundfile.read(folder / "long.wav", dtype="float32")[0]
    assert np.array_equal(one.audio()[0], whole[:10_000])
    assert np.array_equal(other.audio()[0], whole[10_000:18_000])


def test_a_segment_to_the_end_and_one_that_is_all_of_it(folder):
    """NeMo names the duration of every recording, rounded."""
    rows = [
        {"audio_filepath": "long.wav", "text": "x", "offset": 2.5},
        {"audio_filepath": "a.wav", "text": "y", "duration": 1 + ROUNDING_S / 2},
        {"audio_filepath": "b.wav", "text": "z", "offset": 0.5, "duration": 0.5 + ROUNDING_S / 2},
    ]
    cut = {u.path.name: u for u in opened(folder, lines(*rows), "list.jsonl").utterances}
    assert cut["long.wav"].duration_s() == 0.5
    assert (cut["a.wav"].id, cut["a.wav"].end_s) == ("a.wav", None)
    assert len(cut["b.wav"].audio()[0]) == RATE / 2


def test_segments_are_part_of_what_a_data_set_is(folder):
    """A measurement of the whole file would answer for its segments."""

    def fingerprint(*rows):
        rows = [{"audio": "long.wav", "text": "x", "id": str(n), **r} for n, r in enumerate(rows)]
        return opened(folder, lines(*rows), "list.jsonl").fingerprint()

    found = [
        fingerprint({}),
        fingerprint({"end": 2}),
        fingerprint({"start": 0.5, "end": 2}),
        fingerprint({"start": 0.5, "duration": 1}),
    ]
    assert len(set(found)) == 4
    assert fingerprint({"end": 2}) == fingerprint({"offset": 0, "duration": 2}) == found[1]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"offset": 2, "duration": 1.2}, "duration: the segment ends at 3.2 s"),
        ({"start": 2, "end": 3.2}, "end: the segment ends at 3.2 s"),
        ({"offset": 3}, "offset: no audio"),
        ({"start": 2, "end": 2}, "end: no audio"),
        ({"start": 2, "end": 1}, "end: no audio"),
        ({"offset": 1, "start": 1, "end": 2}, "start: is another name of offset"),
        ({"start": 1, "end": 2, "duration": 1.5}, "duration: "),
        ({"offset": -1}, "offset: "),
        ({"duration": 0}, "duration: "),
        ({"duration": -1}, "duration: "),
        ({"offset": "1,5"}, "offset: '1,5' is no number: is 1.5 meant"),
        ({"offset": "nan"}, "offset: "),
        ({"duration": 1500}, "duration: "),
    ],
)
def test_segments_that_are_none_are_refused(folder, cells, said):
    content = lines({"audio": "a.wav", "text": "x"}, {"audio": "long.wav", "text": "y", **cells})
    assert refused(folder, content, "list.jsonl").startswith(f"2: {said}")


def test_a_file_that_became_shorter_is_refused_when_it_is_read(folder):
    (one,) = opened(folder, "audio,text,start,end\nlong.wav,x,1,2\n").utterances
    soundfile.write(folder / "long.wav", np.zeros(RATE, np.float32), RATE)
    with pytest.raises(DatasetError, match=r"long\.wav: ends before"):
        one.audio()
