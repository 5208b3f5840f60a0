"""Readers: what they read, and what they refuse by name."""

import re

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")

from measurements.datasets import DatasetError, open_dataset  # noqa: E402
from models_registry import UnknownNameError  # noqa: E402


def write_audio(path, seconds=1.0, rate=16_000):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(0).normal(0, 0.1, int(seconds * rate))
    soundfile.write(path, samples, rate)


@pytest.fixture
def corpus(tmp_path):
    """Two chapters of a made-up corpus in LibriSpeech's layout."""
    root = tmp_path / "Libri"
    for speaker, chapter in (("12", "34"), ("56", "78")):
        folder = root / "test-other" / speaker / chapter
        lines = []
        for index in range(5):
            name = f"{speaker}-{chapter}-{index:04d}"
            write_audio(folder / f"{name}.flac", 1 + index)
            lines.append(f"{name} SOME WORDS {index}")
        (folder / f"{speaker}-{chapter}.trans.txt").write_text("\n".join(lines))
    return root


def test_librispeech(corpus):
    dataset = open_dataset(f"librispeech:{corpus}", "test-other")
    assert dataset.study == "asr-libri-test-other"
    assert len(dataset.utterances) == 10
    first = dataset.utterances[0]
    assert (first.id, first.reference, first.speaker) == ("12-34-0000", "SOME WORDS 0", "12")
    assert first.duration_s() == pytest.approx(1.0)
    samples, rate = first.audio()
    assert (samples.dtype, rate) == (np.float32, 16_000)


def test_the_only_subset_need_not_be_named(corpus):
    assert open_dataset(f"librispeech:{corpus}").name == "libri-test-other"
    with pytest.raises(DatasetError, match="no subset 'dev', there are test-other"):
        open_dataset(f"librispeech:{corpus}", "dev")


def test_limits_are_nested_and_repeat(corpus):
    dataset = open_dataset(f"librispeech:{corpus}")
    small, large = dataset.limited(3), dataset.limited(6)
    assert set(small.utterances) < set(large.utterances)
    assert small == dataset.limited(3)
    # What repeats a part of a run names the part alone.
    assert large.limited(3) == small
    assert dataset.limited(3, seed=1) != small
    assert dataset.limited(None) is dataset.limited(99) is dataset


def test_the_fingerprint_follows_audio_and_text(corpus):
    before = open_dataset(f"librispeech:{corpus}").fingerprint()
    assert before == open_dataset(f"librispeech:{corpus}").fingerprint()
    transcripts = corpus / "test-other" / "12" / "34" / "12-34.trans.txt"
    transcripts.write_text(transcripts.read_text().replace("WORDS 0", "SOUNDS 0"))
    changed_text = open_dataset(f"librispeech:{corpus}").fingerprint()
    write_audio(corpus / "test-other" / "12" / "34" / "12-34-0000.flac", 1.5)
    assert len({before, changed_text, open_dataset(f"librispeech:{corpus}").fingerprint()}) == 3


def test_missing_audio_and_transcripts_are_named(corpus):
    audio = corpus / "test-other" / "12" / "34" / "12-34-0003.flac"
    audio.unlink()
    with pytest.raises(DatasetError, match=r"12-34-0003\.flac: named in"):
        open_dataset(f"librispeech:{corpus}")
    transcripts = audio.parent / "12-34.trans.txt"
    transcripts.write_text("12-34-0000\n")
    with pytest.raises(DatasetError, match="12-34-0000 has no transcript"):
        open_dataset(f"librispeech:{corpus}")


def test_corrupt_and_empty_audio_are_named(corpus):
    first, second = open_dataset(f"librispeech:{corpus}").utterances[:2]
    first.path.write_bytes(b"not audio at all")
    for act in (first.audio, first.duration_s):
        with pytest.raises(DatasetError, match=r"12-34-0000\.flac"):
            act()
    soundfile.write(second.path, np.zeros(0), 16_000, format="WAV")
    with pytest.raises(DatasetError, match="holds no audio"):
        second.audio()


def test_librispeech_stays_in_its_folder(corpus):
    """Catches a transcript that reads any .flac of the machine, over HTTP too."""
    folder = corpus / "test-other" / "12" / "34"
    outside = corpus.parent / "evil.flac"
    write_audio(outside)
    transcripts = folder / "12-34.trans.txt"
    good = transcripts.read_text()
    for name in ("../../../../evil", str(outside.with_suffix("")), "link", "loop", "nul\0"):
        transcripts.write_text(f"{good}\n{name} HELLO\n")
        (folder / "link.flac").unlink(missing_ok=True)
        (folder / "link.flac").symlink_to(outside)
        (folder / "loop.flac").unlink(missing_ok=True)
        (folder / "loop.flac").symlink_to("loop.flac")
        with pytest.raises(DatasetError, match=re.escape(repr(f"{name}.flac")[1:-1])) as caught:
            open_dataset(f"librispeech:{corpus}")
        assert "lies outside" in str(caught.value) or name in ("loop", "nul\0")
    # A chapter, and the transcripts themselves: an error would quote what they hold.
    transcripts.unlink()
    (corpus.parent / "secret").write_text("password\n")
    transcripts.symlink_to(corpus.parent / "secret")
    with pytest.raises(DatasetError, match=r"12-34\.trans\.txt: lies outside"):
        open_dataset(f"librispeech:{corpus}")
    transcripts.unlink()
    folder.rename(corpus.parent / "34")
    folder.symlink_to(corpus.parent / "34")
    (folder / "12-34.trans.txt").write_text(good)
    with pytest.raises(DatasetError, match="lies outside"):
        open_dataset(f"librispeech:{corpus}")


def test_transcripts_that_are_no_text_are_named(corpus):
    (corpus / "test-other" / "12" / "34" / "12-34.trans.txt").write_bytes(b"\xff\x80")
    with pytest.raises(DatasetError, match=r"12-34\.trans\.txt:1: not UTF-8"):
        open_dataset(f"librispeech:{corpus}")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_manifests(tmp_path, kind):
    write_audio(tmp_path / "calls" / "a.wav")
    write_audio(tmp_path / "calls" / "sub" / "b.wav")
    file = tmp_path / "calls" / f"manifest.{kind}"
    file.write_text(
        "audio,text,speaker\na.wav,hello,x\nsub/b.wav,good bye,y\n"
        if kind == "csv"
        else '{"audio": "a.wav", "text": "hello", "speaker": "x"}\n\n'
        '{"audio": "sub/b.wav", "text": "good bye", "speaker": "y"}\n'
    )
    dataset = open_dataset(f"manifest:{file}")
    assert dataset.study == "asr-calls"
    assert [u.reference for u in dataset.utterances] == ["hello", "good bye"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("audio,text\n", "has no rows"),
        ("audio,text\na.wav,\n", "every text is empty"),
        ("audio\na.wav\n", "needs a column text or label"),
        ("audio,text,label\na.wav,hi,happy\n", ":2: label: has a text and a label"),
        ("audio,text\nb.wav,hi\n", r":2: audio: b\.wav is not there"),
        ("audio,text\n../outside.wav,hi\n", "lies outside"),
        ("audio,text\n/etc/passwd,hi\n", "lies outside"),
        ("audio,text\nlink.wav,hi\n", "lies outside"),
        ("audio,text\na.wav,hi\na.wav,ho\n", r"id 'a\.wav' occurs twice"),
        ("audio,text,label\na.wav,hi,\nc.wav,,sad\n", "some a label"),
    ],
)
def test_bad_manifests_name_the_row(tmp_path, content, message):
    folder = tmp_path / "set"
    for name in ("a.wav", "c.wav"):
        write_audio(folder / name)
    write_audio(tmp_path / "outside.wav")
    (folder / "link.wav").symlink_to(tmp_path / "outside.wav")
    file = folder / "list.csv"
    file.write_text(content)
    with pytest.raises(DatasetError, match=message):
        open_dataset(f"manifest:{file}")


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("list.txt", b"", "ends in .csv, .tsv or .jsonl"),
        ("list.jsonl", b"{", ":1: not JSON"),
        ("list.jsonl", b"[1]", ":1: not a JSON object"),
        ("list.csv", b"audio,text\na.wav,\xe9\n", ":2: not UTF-8"),
    ],
)
def test_files_that_are_no_manifests(tmp_path, name, raw, message):
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(DatasetError, match=message):
        open_dataset(f"manifest:{tmp_path / name}")


def test_names_that_lead_nowhere():
    with pytest.raises(UnknownNameError, match="did you mean librispeech"):
        open_dataset("librispech:/data")
    with pytest.raises(DatasetError, match="say where it lies"):
        open_dataset("librispeech")
    with pytest.raises(DatasetError, match="no such folder"):
        open_dataset("librispeech:/nowhere")
    with pytest.raises(DatasetError, match="no such file"):
        open_dataset("manifest:/nowhere.csv")
    with pytest.raises(DatasetError, match="has no subsets"):
        open_dataset("demo", "test")


def test_the_demo_speech_is_there():
    dataset = open_dataset("demo")
    assert dataset.synthetic
    assert len(dataset.utterances) == 40
    assert len({u.speaker for u in dataset.utterances}) >= 3
    assert 120 < sum(u.duration_s() for u in dataset.utterances) < 300


def test_real_librispeech(librispeech):
    dataset = open_dataset(f"librispeech:{librispeech}", "test-other")
    assert len(dataset.utterances) == 70
    assert len({u.speaker for u in dataset.utterances}) == 7
    with pytest.raises(DatasetError, match="name one of the subsets dev-clean, test-clean"):
        open_dataset(f"librispeech:{librispeech}")


def test_a_file_of_one_s_own_is_told_how_it_is_named():
    with pytest.raises(UnknownNameError, match=r"manifest:FILE\.csv"):
        open_dataset("calls")
    with pytest.raises(UnknownNameError, match="did you mean librispeech"):
        open_dataset("librispech:calls")


LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


def test_what_git_lfs_has_not_fetched_is_named_as_such(corpus, tmp_path):
    """It was "Format not recognised", or a manifest without the columns."""
    speech = open_dataset(f"librispeech:{corpus}", "test-other")
    file = speech.utterances[0].path
    file.write_bytes(LFS_POINTER)
    for read in (speech.utterances[0].duration_s, speech.utterances[0].audio, speech.fingerprint):
        with pytest.raises(DatasetError, match=f"{file.name}: a Git LFS pointer.*git lfs pull"):
            read()
    manifest = tmp_path / "test.csv"
    manifest.write_bytes(LFS_POINTER)
    with pytest.raises(DatasetError, match=r"test\.csv: a Git LFS pointer"):
        open_dataset(f"manifest:{manifest}")


def test_files_that_macos_writes_for_itself_are_passed_over(corpus):
    whole = open_dataset(f"librispeech:{corpus}")
    chapter = corpus / "test-other" / "12" / "34"
    (chapter / "._12-34.trans.txt").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    (chapter / "._12-34-0000.flac").write_bytes(b"\0\5\x16\7")
    (corpus / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (corpus / "._test-other").write_bytes(b"\0\5\x16\7")
    assert open_dataset(f"librispeech:{corpus}").utterances == whole.utterances
