"""What PyAV reads, where it is installed."""

import sys

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")

from measurements.audio import AudioFileError, duration_s, read  # noqa: E402

RATE = 16_000
TONE = (0.3 * np.sin(2 * np.pi * 440 * np.arange(3 * RATE) / RATE)).astype("float32")


def encode(path, demuxer, codec, rate=RATE, streams=1):
    """Three seconds of a tone."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format=demuxer) as container:
        made = [container.add_stream(codec, rate=rate, layout="mono") for _ in range(streams)]
        for stream in made:
            frame = av.AudioFrame.from_ndarray(TONE[None], format="fltp", layout="mono")
            frame.sample_rate = RATE
            wanted = stream.codec_context.format.name
            resampler = av.AudioResampler(format=wanted, layout="mono", rate=rate)
            for plain in [*resampler.resample(frame), *resampler.resample(None)]:
                plain.pts = None
                container.mux(stream.encode(plain))
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "demuxer", "codec", "rate"),
    [
        ("one.m4a", "ipod", "aac", 16_000),
        ("alac.m4a", "ipod", "alac", 16_000),
        ("one.mp4", "mp4", "aac", 44_100),
        ("one.mov", "mov", "aac", 16_000),
        ("one.mkv", "matroska", "aac", 16_000),
        ("one.webm", "webm", "libopus", 48_000),
        ("one.aac", "adts", "aac", 16_000),
        ("one.ts", "mpegts", "aac", 16_000),
        ("one.avi", "avi", "pcm_s16le", 16_000),
        ("named.wav", "matroska", "aac", 16_000),
    ],
)
def test_a_container_is_read_whole(tmp_path, name, demuxer, codec, rate):
    file = encode(tmp_path / name, demuxer, codec, rate)
    samples, read_rate = read(file)
    assert read_rate == rate
    assert duration_s(file) == len(samples) / rate == pytest.approx(3, abs=0.1)
    spectrum = np.abs(np.fft.rfft(samples[rate : 2 * rate]))
    assert spectrum.argmax() == 440
    assert np.abs(samples[rate : 2 * rate]).max() == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize(
    ("name", "demuxer"), [("one.m4a", "ipod"), ("one.mkv", "matroska"), ("one.aac", "adts")]
)
@pytest.mark.parametrize("kept", [0.5, 0.8])
def test_a_container_that_is_cut_short_is_refused(tmp_path, name, demuxer, kept):
    file = encode(tmp_path / name, demuxer, "aac")
    whole = file.read_bytes()
    file.write_bytes(whole[: int(kept * len(whole))])
    for act in (read, duration_s):
        with pytest.raises(AudioFileError, match=rf"{name}: .*cut short"):
            act(file)


def test_of_several_streams_none_is_chosen(tmp_path):
    file = encode(tmp_path / "one.mkv", "matroska", "aac", streams=2)
    with pytest.raises(AudioFileError, match=r"one\.mkv: holds 2 audio streams"):
        read(file)


def test_a_stretch_of_a_container_is_read(tmp_path):
    file = encode(tmp_path / "one.mkv", "matroska", "pcm_s16le")
    whole, _ = read(file)
    np.testing.assert_array_equal(read(file, 1.0, 2.0)[0], whole[RATE : 2 * RATE])


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    file = tmp_path / "one.m4a"
    file.write_bytes(b"\0\0\0\x1cftypM4A \0\0\2\0isomiso2")
    for act in (read, duration_s):
        with pytest.raises(AudioFileError, match=r"one\.m4a: MPEG-4 .*speechplan\[containers\]"):
            act(file)
