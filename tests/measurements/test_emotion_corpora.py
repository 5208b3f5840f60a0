"""CREMA-D, RAVDESS and EmoDB by the names of their files; any other name is refused."""

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")

from measurements.datasets import DatasetError, open_dataset  # noqa: E402
from tests.conftest import SHARED  # noqa: E402


def corpus(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.zeros(1600), 16_000)
    return root


def test_crema_d(tmp_path):
    names = ("1001_DFA_ANG_XX.wav", "1001_IEO_HAP_HI.wav", "1002_TIE_NEU_X.wav")
    root = corpus(tmp_path, *(f"AudioWAV/{name}" for name in names))
    dataset = open_dataset(f"crema-d:{root}")
    assert (dataset.study, dataset.task) == ("ser-crema-d", "ser")
    assert [(u.id, u.reference, u.speaker) for u in dataset.utterances] == [
        ("1001_DFA_ANG_XX", "anger", "1001"),
        ("1001_IEO_HAP_HI", "happy", "1001"),
        ("1002_TIE_NEU_X", "neutral", "1002"),
    ]
    # It has no more than the six classes, so this is the same study.
    assert open_dataset(f"crema-d:{root}", "six-class") == dataset


def test_ravdess_and_its_six_classes(tmp_path):
    root = corpus(
        tmp_path,
        "Actor_02/03-01-05-01-01-01-02.wav",
        "Actor_02/03-01-02-01-01-01-02.flac",
        "Actor_03/03-01-08-02-02-02-03.wav",
        "Actor_03/03-01-01-01-02-02-03.wav",
    )
    whole = open_dataset(f"ravdess:{root}")
    assert whole.study == "ser-ravdess"
    assert {(u.reference, u.speaker) for u in whole.utterances} == {
        ("angry", "02"),
        ("calm", "02"),
        ("surprised", "03"),
        ("neutral", "03"),
    }
    six = open_dataset(f"ravdess:{root}", "six-class")
    assert six.study == "ser-ravdess-six-class"
    assert sorted(u.reference for u in six.utterances) == ["angry", "neutral"]
    with pytest.raises(DatasetError, match="no subset 'six', only six-class"):
        open_dataset(f"ravdess:{root}", "six")


def test_emodb_is_german(tmp_path):
    root = corpus(tmp_path, "wav/03a01Fa.wav", "wav/16b10Lc.flac", "wav/16b10Tc.flac")
    dataset = open_dataset(f"emodb:{root}")
    assert (dataset.study, dataset.language) == ("ser-emodb-de", "de")
    assert [(u.reference, u.speaker) for u in dataset.utterances] == [
        ("happiness", "03"),
        ("boredom", "16"),
        ("sadness", "16"),
    ]
    six = open_dataset(f"emodb:{root}", "six-class")
    assert (six.study, len(six.utterances)) == ("ser-emodb-six-class-de", 2)


@pytest.mark.parametrize(
    ("kind", "file", "message"),
    [
        ("crema-d", "AudioWAV/1001_DFA_ANG.wav", r"1001_DFA_ANG\.wav: not named like"),
        ("crema-d", "AudioWAV/1001_DFA_JOY_XX.wav", "emotion 'JOY' is none of ANG, DIS"),
        ("crema-d", "AudioWAV/1001_DFA_ANG_XX.mp3", "holds no CREMA-D clip"),
        ("ravdess", "Actor_01/03-01-09-01-01-01-01.wav", "emotion '09' is none of 01"),
        ("ravdess", "Actor_01/03-01-05-01-01-01-02.wav", "actor 02 lies in Actor_01"),
        ("ravdess", "Actor_01/03-02-05-01-01-01-01.wav", "audio-only speech"),
        ("ravdess", "03-01-05-01-01-01-01.wav", "holds no RAVDESS clip"),
        ("emodb", "wav/03a01Xa.wav", "emotion 'X' is none of W, L"),
        ("emodb", "wav/3a01Fa.wav", "not named like 03a01Fa"),
    ],
)
def test_names_that_are_not_the_corpus_s(tmp_path, kind, file, message):
    corpus(tmp_path, file)
    with pytest.raises(DatasetError, match=message):
        open_dataset(f"{kind}:{tmp_path}")


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("crema-d", "AudioWAV/1001_DFA_ANG_XX.wav"),
        ("ravdess", "Actor_01/03-01-05-01-01-01-01.wav"),
        ("emodb", "wav/03a01Fa.wav"),
    ],
)
@pytest.mark.parametrize("linked", ["file", "folder"])
def test_links_out_of_a_corpus_are_not_followed(tmp_path, kind, file, linked):
    """Catches a corpus in an allowed folder that reads files from elsewhere."""
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    corpus(elsewhere, file)
    link, target = root / file, elsewhere / file
    if linked == "folder":
        link, target = link.parent, target.parent
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    with pytest.raises(DatasetError, match=rf"{file}: lies outside"):
        open_dataset(f"{kind}:{root}")
    # Within the corpus a link is as good as a file, by its own name.
    link.unlink()
    target.rename(root / "kept")
    link.symlink_to(root / "kept")
    assert len(open_dataset(f"{kind}:{root}").utterances) == 1


def test_folders_that_are_not_there():
    for kind in ("crema-d", "ravdess", "emodb"):
        with pytest.raises(DatasetError, match="/nowhere: no such folder"):
            open_dataset(f"{kind}:/nowhere")


def test_a_speaker_named_otherwise_changes_the_fingerprint(tmp_path):
    """Who is tested on what follows the speakers, so a measurement's key must."""
    corpus(tmp_path, "a.wav", "b.wav")
    file = tmp_path / "clips.csv"
    prints = []
    for speakers in ("xy", "xx"):
        rows = "".join(f"{n}.wav,sad,{s}\n" for n, s in zip("ab", speakers, strict=True))
        file.write_text(f"audio,label,speaker\n{rows}")
        prints.append(open_dataset(f"manifest:{file}").fingerprint())
    assert prints[0] != prints[1]


@pytest.mark.parametrize(
    ("kind", "folder", "clips", "speakers", "six"),
    [("ravdess", "ravdess-mini", 959, 16, 703), ("emodb", "emodb-mini", 372, 7, 316)],
)
def test_the_real_corpora(kind, folder, clips, speakers, six):
    root = SHARED / "data" / folder
    if not root.exists():
        pytest.skip(f"needs {root}, which is not on this machine")
    dataset = open_dataset(f"{kind}:{root}")
    assert len(dataset.utterances) == clips
    assert len({u.speaker for u in dataset.utterances}) == speakers
    assert len(open_dataset(f"{kind}:{root}", "six-class").utterances) == six


def test_files_that_macos_writes_for_itself_are_passed_over(tmp_path):
    root = corpus(tmp_path, "wav/03a01Fa.wav", "wav/16b10Lc.flac")
    whole = open_dataset(f"emodb:{root}")
    (root / "wav" / "._03a01Fa.wav").write_bytes(b"\0\5\x16\7")
    (root / "wav" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    assert open_dataset(f"emodb:{root}").utterances == whole.utterances


@pytest.mark.parametrize("alike", [True, False])
def test_a_clip_of_crema_d_under_two_names_is_counted_once(tmp_path, alike):
    """Counted twice it weighs double; and its twin may be trained on while it is tested."""
    names = ("1040_ITH_SAD_X.wav", "1040_ITH_SAD_XX.wav", "1040_ITH_SAD_HI.wav")
    root = corpus(tmp_path, *(f"AudioWAV/{name}" for name in names))
    if not alike:
        soundfile.write(root / "AudioWAV" / names[0], np.ones(1600), 16_000)
    dataset = open_dataset(f"crema-d:{root}")
    assert [u.id for u in dataset.utterances] == ["1040_ITH_SAD_HI", "1040_ITH_SAD_XX"]
    (said,) = dataset.remarks
    assert "1040_ITH_SAD_X.wav is left out" in said
    assert ("not the same" in said) == (not alike)
