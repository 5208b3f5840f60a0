"""Audio files: read to their last sample, or refused by name."""

import math
import struct

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")

from measurements import audio  # noqa: E402
from measurements.audio import AudioFileError, duration_s, read  # noqa: E402

RATE = 16_000
NOISE = np.random.default_rng(0).normal(0, 0.1, 3 * RATE)


def write_audio(path, seconds=1.0, rate=RATE):
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, int(seconds * rate)), rate)


def mp3(path, mode):
    """Three seconds as LAME writes them, its tag in the first frame."""
    soundfile.write(path, NOISE, RATE, compression_level=0.5, bitrate_mode=mode)
    return path.read_bytes()


def id3_tag(size):
    """A tag of so many bytes with a picture, say, in front of the sound."""
    return b"ID3\4\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + bytes(size)


def write_ogg(path, subtype):
    samples = np.random.default_rng(0).normal(0, 0.1, 64_000)
    soundfile.write(path, samples, 16_000, format="OGG", subtype=subtype)


@pytest.mark.parametrize("name", ["one.wav", "one.flac", "one.aiff", "one.rf64"])
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_file_that_is_cut_short_is_refused(tmp_path, name, kept):
    """libsndfile gives half the audio of half a WAV, which fails no word of half a transcript."""
    file = tmp_path / name
    write_audio(file)
    whole = file.read_bytes()
    assert len(read(file)[0]) == 16_000
    file.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(AudioFileError, match=rf"{name}: (damaged or )?cut short"):
        read(file)


def test_a_flac_file_cut_between_frames_is_refused(tmp_path):
    """Every frame that is there is whole."""
    file = tmp_path / "one.flac"
    write_audio(file, 2)
    whole = file.read_bytes()
    # The frames of libsndfile are of 4096 samples and begin with this code, then their number.
    second = whole.index(whole[whole.index(b"\xff\xf8") :][:4] + b"\x01")
    file.write_bytes(whole[:second])
    with pytest.raises(AudioFileError, match=r"one\.flac: damaged or cut short"):
        read(file)


@pytest.mark.parametrize(
    ("riff", "data"),
    [
        (0, 32_000),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0x7FFFF024, 0x7FFFF000),
        (36 + 32_000 + 8, 32_000),
    ],
    ids=["unset", "ffmpeg's stream", "sox's stream", "miscounted by a header"],
)
def test_a_stream_need_not_know_its_length(tmp_path, riff, data):
    """Catches a check that refuses what a recorder wrote into a pipe."""
    file = tmp_path / "one.wav"
    write_audio(file)
    whole = bytearray(file.read_bytes())
    whole[4:8], whole[40:44] = struct.pack("<I", riff), struct.pack("<I", data)
    file.write_bytes(whole)
    assert len(read(file)[0]) == 16_000


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("tagged", [False, True])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_an_mp3_file_that_is_cut_short_is_refused(tmp_path, kept, tagged, mode):
    """libsndfile promises the whole of it, reads what there is and fails nothing."""
    file = tmp_path / "one.mp3"
    whole = (id3_tag(3000) if tagged else b"") + mp3(file, mode)
    file.write_bytes(whole)
    assert len(read(file)[0]) == 48_000
    file.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(AudioFileError, match=r"one\.mp3: damaged or cut short"):
        read(file)


def test_a_whole_mp3_file_is_read_whatever_is_around_its_sound(tmp_path):
    """Catches a check that takes for cut what says no length, or says it for other bytes."""
    file = tmp_path / "one.mp3"
    plain = mp3(file, "CONSTANT")
    first_frame = plain.index(plain[:3], 4)
    tag = plain.index(b"Info")
    no_bytes_count = plain[: tag + 7] + bytes([plain[tag + 7] & ~2])
    no_bytes_count += plain[tag + 8 : tag + 12] + b"\xff" * 4 + plain[tag + 16 :]
    frames, promised = struct.unpack(">II", plain[tag + 8 : tag + 16])
    one_frame_more = plain[: tag + 12] + struct.pack(">I", promised + promised // frames)
    one_frame_more += plain[tag + 16 :]
    for whole in (
        plain[first_frame:],
        no_bytes_count,
        one_frame_more,
        id3_tag(70_000) + plain,
        plain + b"TAG".ljust(128, b"\0"),
    ):
        file.write_bytes(whole)
        assert len(read(file)[0]) >= 48_000


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_file_cut_within_a_page_is_refused(tmp_path, subtype):
    file = tmp_path / "one.ogg"
    write_ogg(file, subtype)
    whole = file.read_bytes()
    last = whole.rindex(b"OggS")
    assert len(read(file)[0]) == 64_000
    for kept in (len(whole) // 2, last + 5, last + 26, last + 27, last + 30, len(whole) - 1):
        file.write_bytes(whole[:kept])
        with pytest.raises(
            AudioFileError, match=r"one\.ogg: damaged or cut short: its last Ogg page"
        ):
            read(file)


def test_an_ogg_file_need_not_mark_its_end(tmp_path):
    """Recorders of voice messages don't, and taggers write behind it."""
    file = tmp_path / "one.ogg"
    write_ogg(file, "OPUS")
    whole = file.read_bytes()
    last = whole.rindex(b"OggS")
    assert whole[last + 5] & 4
    for kept in (whole[:last], whole + bytes(128), whole + bytes(100_000)):
        file.write_bytes(kept)
        assert len(read(file)[0]) > 40_000


def as_written(path, samples, rate=RATE, **options):
    """The bytes of a file."""
    soundfile.write(path, samples, rate, **options)
    return path.read_bytes()


def without_length(flac):
    """As a recorder writes FLAC into a pipe: no samples in all, no checksum."""
    return flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4 + 16) + flac[42:]


def without_tag(mp3_bytes):
    """As LAME writes into a pipe."""
    header = mp3_bytes[:3]
    return mp3_bytes[mp3_bytes.index(header[:2], 4) :]


def agree(path, frames, within=0):
    """Both ways of reading say that a file is so long."""
    samples, rate = read(path)
    assert len(samples) == pytest.approx(frames, abs=within)
    assert duration_s(path) == len(samples) / rate


@pytest.mark.parametrize(
    ("format", "subtype", "step"),
    [
        ("WAV", "PCM_U8", 2**-7),
        ("WAV", "PCM_16", 2**-15),
        ("WAV", "PCM_24", 2**-22),
        ("WAVEX", "PCM_24", 2**-22),
        ("WAV", "PCM_32", 2**-22),
        ("WAV", "FLOAT", 2**-22),
        ("WAV", "DOUBLE", 2**-22),
        ("WAV", "ULAW", 2**-4),
        ("WAV", "ALAW", 2**-4),
        ("RF64", "PCM_16", 2**-15),
        ("W64", "PCM_16", 2**-15),
        ("AIFF", "PCM_24", 2**-22),
        ("AIFF", "FLOAT", 2**-22),
        ("AU", "PCM_16", 2**-15),
        ("AU", "ULAW", 2**-4),
        ("CAF", "PCM_16", 2**-15),
        ("NIST", "PCM_16", 2**-15),
        ("FLAC", "PCM_24", 2**-22),
    ],
)
def test_a_format_is_told_by_content_and_its_samples_kept(tmp_path, format, subtype, step):
    """Named .wav, whatever it is."""
    file = tmp_path / "one.wav"
    soundfile.write(file, NOISE, RATE, format=format, subtype=subtype)
    agree(file, len(NOISE))
    np.testing.assert_allclose(read(file)[0], NOISE, atol=step)


@pytest.mark.parametrize("ending", ["au", "gsm", "mp3", "raw", "sd2", "snd", "txt", "vox", "wav"])
@pytest.mark.parametrize("content", ["text", "samples", "zeros"])
def test_what_is_no_audio_file_is_never_heard(tmp_path, ending, content):
    """libsndfile takes text for mu-law by the ending .au, and for ADPCM by .vox."""
    file = tmp_path / f"one.{ending}"
    samples = (NOISE * 2**15).astype("<i2").tobytes()
    given = {"text": b"This is no sound at all.\n" * 99, "samples": samples, "zeros": bytes(9000)}
    file.write_bytes(given[content])
    for act in (read, duration_s):
        with pytest.raises(AudioFileError, match=rf"one\.{ending}: no audio format that is known"):
            act(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "Git LFS pointer"),
        (b"\0\5\x16\7\0\2\0\0Mac OS X        ", "AppleDouble"),
    ],
)
def test_what_stands_for_audio_is_named(tmp_path, content, said):
    file = tmp_path / "one.wav"
    file.write_bytes(content)
    with pytest.raises(AudioFileError, match=rf"one\.wav: .*{said}"):
        read(file)


def test_a_flac_file_of_unknown_length_is_read_to_its_end(tmp_path):
    """It had 160,127,986,751 hours."""
    file = tmp_path / "one.flac"
    file.write_bytes(without_length(as_written(file, NOISE)))
    assert soundfile.info(file).frames > 2**62
    agree(file, len(NOISE))
    np.testing.assert_allclose(read(file)[0], NOISE, atol=2**-15)


@pytest.mark.parametrize("level", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("loud_first", [True, False])
def test_an_mp3_file_without_a_tag_is_read_to_its_end(tmp_path, level, loud_first):
    """Its length was guessed from its first frames, and no more read than was guessed."""
    file = tmp_path / "one.mp3"
    sound = [NOISE, np.zeros(20 * RATE)][:: 1 if loud_first else -1]
    options = {"bitrate_mode": "VARIABLE", "compression_level": level}
    file.write_bytes(without_tag(as_written(file, np.concatenate(sound), **options)))
    agree(file, 23 * RATE, within=3 * 576)
    samples, _ = read(file)
    heard = np.flatnonzero(np.abs(samples) > 0.05) / RATE
    assert heard[0] == pytest.approx(0 if loud_first else 20, abs=0.15)
    assert heard[-1] == pytest.approx(3 if loud_first else 23, abs=0.15)


@pytest.mark.parametrize("format", ["MP3", "OGG-VORBIS", "OGG-OPUS", "FLAC"])
@pytest.mark.parametrize("tagged", [True, False])
def test_files_that_were_joined_are_read_one_after_the_other(tmp_path, format, tagged):
    """libsndfile reads the first."""
    file = tmp_path / "one"
    kind, *subtype = format.split("-")
    options = {"format": kind, **({"subtype": subtype[0]} if subtype else {})}
    quiet = 0.1 * NOISE[: 2 * RATE]
    first, second = (as_written(file, samples, **options) for samples in (NOISE, quiet))
    if not tagged:
        bare = {"MP3": without_tag, "FLAC": without_length}.get(kind, bytes)
        first, second = bare(first), bare(second)
    file.write_bytes(first + second)
    agree(file, 5 * RATE, within=4 * 1152 if kind == "MP3" and not tagged else 0)
    loud, soft = np.array_split(read(file)[0], [int(3.2 * RATE)])
    assert loud[: 2 * RATE].std() == pytest.approx(0.1, rel=0.35)
    assert soft[:RATE].std() == pytest.approx(0.01, rel=0.35)


@pytest.mark.parametrize("format", ["MP3", "OGG", "FLAC"])
def test_joined_files_of_different_rates_are_refused(tmp_path, format):
    file = tmp_path / "one"
    parts = [as_written(file, NOISE, rate, format=format) for rate in (16_000, 8000)]
    file.write_bytes(b"".join(parts))
    for act in (read, duration_s):
        with pytest.raises(AudioFileError, match="one: made of parts at 16000 Hz"):
            act(file)


@pytest.mark.parametrize("format", ["WAV", "AIFF", "AU"])
def test_what_follows_the_end_of_a_file_is_not_passed_over(tmp_path, format):
    file = tmp_path / "one"
    file.write_bytes(2 * as_written(file, NOISE, format=format))
    with pytest.raises(AudioFileError, match="one: "):
        read(file)


def test_an_mp3_file_with_other_bytes_in_it_is_refused(tmp_path):
    """mpg123 gives up and says nothing; what followed was lost."""
    file = tmp_path / "one.mp3"
    whole = as_written(file, np.tile(NOISE, 5), bitrate_mode="CONSTANT", compression_level=0.5)
    whole = without_tag(whole)
    half = len(whole) // 2
    file.write_bytes(whole[:half] + bytes(5000) + whole[half:])
    with pytest.raises(AudioFileError, match=r"one\.mp3: damaged .*\d bytes before byte \d"):
        read(file)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_file_without_a_page_of_its_middle_is_refused(tmp_path, subtype):
    file = tmp_path / "one.ogg"
    whole = as_written(file, np.tile(NOISE, 5), format="OGG", subtype=subtype)
    pages = [place for place in range(len(whole)) if whole.startswith(b"OggS", place)]
    middle = len(pages) // 2
    file.write_bytes(whole[: pages[middle]] + whole[pages[middle + 1] :])
    for act in (read, duration_s):
        with pytest.raises(AudioFileError, match=r"one\.ogg: .*pages? \d+ to \d+ are missing"):
            act(file)


def test_the_duration_of_what_is_cut_short_is_not_its_header_s(tmp_path):
    file = tmp_path / "one.flac"
    file.write_bytes(as_written(file, NOISE)[:-2000])
    with pytest.raises(AudioFileError, match=r"one\.flac: damaged or cut short"):
        duration_s(file)


def test_a_wav_file_that_its_recorder_did_not_close_is_refused(tmp_path):
    file = tmp_path / "one.wav"
    whole = bytearray(as_written(file, NOISE))
    whole[40:44] = bytes(4)
    file.write_bytes(whole)
    with pytest.raises(AudioFileError, match=r"one\.wav: holds no audio by its header"):
        read(file)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
def test_samples_that_are_no_numbers_are_refused(tmp_path, value):
    file = tmp_path / "one.wav"
    samples = NOISE.copy()
    samples[-1] = value
    soundfile.write(file, samples, RATE, subtype="DOUBLE")
    with pytest.raises(AudioFileError, match=r"one\.wav: holds samples that are not finite"):
        read(file)


def test_channels_in_opposite_phase_are_refused(tmp_path):
    file = tmp_path / "one.wav"
    soundfile.write(file, np.stack([NOISE, -NOISE], axis=1), RATE)
    with pytest.raises(AudioFileError, match=r"one\.wav: its 2 channels cancel out"):
        read(file)


def test_a_limit_is_of_what_is_decoded(tmp_path, monkeypatch):
    """Whatever a header says of it, and without holding the rest."""
    monkeypatch.setattr("measurements.audio.files.MAX_SAMPLES", 2 * RATE)
    file = tmp_path / "one.flac"
    file.write_bytes(without_length(as_written(file, NOISE)))
    with pytest.raises(AudioFileError, match=r"one\.flac: more than the 0\.0 hours"):
        read(file)
    assert len(read(file, 0.5, 2.0)[0]) == 1.5 * RATE
    file.write_bytes(without_length(as_written(file, NOISE[: 2 * RATE])))
    assert len(read(file)[0]) == 2 * RATE


@pytest.mark.parametrize("options", [{"format": "WAV"}, {"format": "FLAC"}, {"format": "OGG"}])
def test_a_stretch_of_a_file_is_read(tmp_path, options):
    file = tmp_path / "one"
    soundfile.write(file, NOISE, RATE, **options)
    whole, _ = read(file)
    stretch, _ = read(file, 1.25, 2.5)
    np.testing.assert_allclose(stretch, whole[20_000:40_000], atol=1e-6)
    np.testing.assert_allclose(read(file, 2.5)[0], whole[40_000:], atol=1e-6)
    with pytest.raises(AudioFileError, match=r"one: ends before 3\.5 s"):
        read(file, 2.5, 3.5)


@pytest.mark.parametrize("name", ["one.wav", "one.flac", "one.mp3", "one.ogg"])
def test_a_file_that_changes_has_another_duration(tmp_path, name):
    """Durations are kept for as long as a file stays what it is."""
    file = tmp_path / name
    write_audio(file, 1)
    assert duration_s(file) == 1
    write_audio(file, 2)
    assert duration_s(file) == 2


def test_a_file_that_is_not_there_is_named(tmp_path):
    for path in (tmp_path / "none.wav", tmp_path):
        for act in (read, duration_s):
            with pytest.raises(AudioFileError, match=str(path)):
                act(path)


def test_what_looks_like_audio_is_told_by_its_start(tmp_path):
    file = tmp_path / "one"
    write = {"format": "FLAC"}
    assert audio.looks_like_audio(as_written(file, NOISE, **write)[: audio.START_BYTES])
    assert not audio.looks_like_audio(b"duration_s\n3\n4\n")
    assert not audio.looks_like_audio(b"\xff\xfetext in UTF-16")
