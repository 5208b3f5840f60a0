"""Waveforms: conversion and cutting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from models_registry.loading.audio import cut_at_quiet_places, speech_seconds, to_waveform


@given(seconds=st.floats(0.01, 70), longest_s=st.floats(0.5, 30), seed=st.integers(0, 10))
@settings(max_examples=60, deadline=None)
def test_cutting_loses_nothing_and_keeps_to_the_limit(seconds, longest_s, seed):
    waveform = np.random.default_rng(seed).normal(size=int(seconds * 16_000)).astype("float32")
    pieces = cut_at_quiet_places(waveform, longest_s)
    assert max(len(piece.waveform) for piece in pieces) <= int(longest_s * 16_000)
    assert min(len(piece.waveform) for piece in pieces) > 0 or len(waveform) == 0
    whole, start = np.zeros(0, "float32"), 0
    for piece in pieces:
        start = len(whole) - round(piece.overlap_s * 16_000)
        shared = len(whole) - start
        np.testing.assert_array_equal(piece.waveform[:shared], whole[start:])
        whole = np.concatenate([whole, piece.waveform[shared:]])
    np.testing.assert_array_equal(whole, waveform)


def test_cuts_where_it_is_quiet():
    """Speech of 20 s with a pause at 9 s: cut in the pause, not in the middle of a word."""
    rng = np.random.default_rng(0)
    waveform = rng.normal(size=20 * 16_000).astype("float32")
    waveform[int(8.8 * 16_000) : int(9.4 * 16_000)] *= 0.001
    first, second = cut_at_quiet_places(waveform, 15)
    assert 8.8 <= first.duration_s <= 9.4
    assert second.overlap_s == 0
    assert first.duration_s + second.duration_s == 20


def test_speech_without_a_pause_is_cut_with_an_overlap():
    """Or the word at the cut is lost to both pieces."""
    waveform = np.random.default_rng(0).normal(size=20 * 16_000).astype("float32")
    first, second = cut_at_quiet_places(waveform, 15)
    assert second.overlap_s == 2
    np.testing.assert_array_equal(second.waveform[:32_000], first.waveform[-32_000:])


def test_pauses_are_not_counted_as_speech():
    rng = np.random.default_rng(0)
    waveform = rng.normal(size=10 * 16_000).astype("float32")
    waveform[4 * 16_000 :] *= 0.001
    assert speech_seconds(waveform) == pytest.approx(4, abs=0.3)
    assert speech_seconds(np.zeros(16_000, "float32")) == 0
    assert speech_seconds(np.zeros(0, "float32")) == 0


OFFSETS = {
    "2 %": lambda t: 0.02,
    "-5 %": lambda t: -0.05,
    "of a sound card that settles": lambda t: 0.2 * np.exp(-t / 2),
    "that drifts": lambda t: 0.03 * np.sin(t),
}


def words(seed, floor=0.0):
    """Forty seconds of words between pauses of 0.4 s, a long silence in the middle."""
    rng = np.random.default_rng(seed)
    parts = []
    for index in range(20):
        parts.append(rng.normal(0, 0.05, int(rng.uniform(0.6, 1.4) * 16_000)))
        parts.append(np.zeros(6400 if index != 9 else 12 * 16_000))
    waveform = np.concatenate(parts)
    return (waveform + rng.normal(0, 1, len(waveform)) * floor).astype("float32")


@pytest.mark.parametrize("offset", OFFSETS.values(), ids=OFFSETS)
@pytest.mark.parametrize("longest_s", [6, 10])
def test_an_offset_hides_no_pause(offset, longest_s):
    """Words were cut: 24 of 40 were wrong instead of 2."""
    clean = words(0, floor=10**-4.0)
    moved = (clean + offset(np.arange(len(clean)) / 16_000)).astype("float32")
    pieces = cut_at_quiet_places(moved, longest_s)
    assert all(piece.overlap_s == 0 for piece in pieces)
    for cut in np.cumsum([len(piece.waveform) for piece in pieces])[:-1]:
        assert np.abs(clean[cut - 800 : cut + 800]).max() < 0.001
    spoken_s = speech_seconds(clean)
    assert speech_seconds(moved) == pytest.approx(spoken_s, rel=0.05)
    assert sum(piece.speech_s for piece in pieces) == pytest.approx(spoken_s, rel=0.05)


@pytest.mark.parametrize("floor_db", [-100, -80, -75])
def test_a_quiet_room_is_not_speech(floor_db):
    """A piece of nothing but room was taken for speech by what is loud in it, and run again."""
    room, silence = words(1, floor=10 ** (floor_db / 20)), words(1)
    pieces, plain = (cut_at_quiet_places(waveform, 6) for waveform in (room, silence))
    assert [p.overlap_s for p in pieces] == [p.overlap_s for p in plain] == [0] * len(pieces)
    for piece, other in zip(pieces, plain, strict=True):
        assert piece.speech_s == pytest.approx(other.speech_s, abs=0.7)
    assert min(piece.speech_s for piece in pieces) < 0.3


def test_a_piece_is_judged_by_its_recording():
    """By itself, a louder room is all that there is in some."""
    pieces = cut_at_quiet_places(words(1, floor=10**-3.0), 6)
    assert min(piece.speech_s for piece in pieces) < 0.3


def test_where_little_is_said_a_room_is_not_speech():
    """The louder spans are none of speech then."""
    rng = np.random.default_rng(0)
    waveform = rng.normal(0, 10**-3.0, 60 * 16_000).astype("float32")
    waveform[16_000 : 5 * 16_000] += rng.normal(0, 0.1, 4 * 16_000).astype("float32")
    assert speech_seconds(waveform) == pytest.approx(4, abs=0.3)
    assert speech_seconds(rng.normal(0, 10**-4.0, 16_000).astype("float32")) == 0


def test_stereo_integers_and_other_rates_become_mono_floats_at_16_khz():
    one = np.random.default_rng(0).integers(-9000, 9000, 800)
    stereo = np.stack([one, one // 3], axis=1).astype("int16")
    np.testing.assert_allclose(to_waveform(stereo, 16_000), stereo.mean(axis=1) / 2**15, atol=1e-6)
    t = np.arange(8000) / 8000
    tone = to_waveform(np.sin(2 * np.pi * 440 * t), 8000)
    assert tone.dtype == np.float32
    assert len(tone) == 16_000
    spectrum = np.abs(np.fft.rfft(tone))
    assert spectrum.argmax() == 440
    assert to_waveform(np.array([2**15 - 1], dtype="int16"), 16_000)[0] == pytest.approx(
        1, abs=1e-4
    )


@pytest.mark.parametrize(
    ("audio", "rate"),
    [([], 16_000), ([[[0.0]]], 16_000), ([float("nan")], 16_000), ([0.1], 0), (0.1, 16_000)],
)
def test_unusable_audio_is_refused(audio, rate):
    with pytest.raises(ValueError, match=r"audio|rate"):
        to_waveform(audio, rate)


@pytest.mark.parametrize(
    ("dtype", "lowest", "middle", "highest"),
    [
        ("uint8", 0, 128, 255),
        ("int8", -(2**7), 0, 2**7 - 1),
        ("int16", -(2**15), 0, 2**15 - 1),
        ("int32", -(2**31), 0, 2**31 - 1),
        ("float16", -1, 0, 1),
        ("float64", -1, 0, 1),
    ],
)
def test_every_type_has_its_full_scale(dtype, lowest, middle, highest):
    """Unsigned bytes were read as all above zero."""
    given = np.array([lowest, middle, highest], dtype=dtype)
    np.testing.assert_allclose(to_waveform(given, 16_000), [-1, 0, 1], atol=0.01)


@pytest.mark.parametrize(
    "audio",
    [
        np.zeros(9, dtype="int64"),
        np.zeros(9, dtype="uint16"),
        np.zeros(9, dtype="bool"),
        np.zeros(9, dtype="complex64"),
        np.array(["a"]),
    ],
)
def test_types_without_a_full_scale_are_refused(audio):
    """Samples of 16 bits in integers of 64 were silence."""
    with pytest.raises(ValueError, match="full scale"):
        to_waveform(audio, 16_000)


def test_floats_of_another_scale_are_brought_to_ours():
    sound = np.random.default_rng(0).normal(0, 0.1, 16_000)
    for scale in (2**15, 40 / np.abs(sound).max(), 1e200):
        waveform = to_waveform(sound * scale, 16_000)
        np.testing.assert_allclose(waveform, sound / np.abs(sound).max(), rtol=1e-5, atol=1e-7)
    lossy = sound / np.abs(sound).max() * 1.2
    np.testing.assert_allclose(to_waveform(lossy, 16_000), lossy, rtol=1e-6)


def test_channels_first_are_refused():
    """They were two samples of 16,000 channels."""
    with pytest.raises(ValueError, match=r"\(2, 16000\) has more channels than"):
        to_waveform(np.zeros((2, 16_000)), 16_000)


@pytest.mark.parametrize(
    ("mix", "refused"),
    [
        (lambda a, b: (a, -a), True),
        (lambda a, b: (a + 0.01, -a - 0.3), True),
        (lambda a, b: (a, -0.7 * a), True),
        (lambda a, b: (a, -0.9 * a + 0.3 * b), True),
        (lambda a, b: (a, np.where(np.arange(len(a)) < 32_000, a, -a)), True),
        (lambda a, b: (a, a), False),
        (lambda a, b: (a, 0 * a), False),
        (lambda a, b: (a, b), False),
        (lambda a, b: (a, 0.3 * b - 0.2 * a), False),
        (lambda a, b: (0 * a, 0 * b), False),
        (lambda a, b: (a, b, 0 * a, 0 * a, 0 * a, 0 * a), False),
    ],
)
def test_channels_that_cancel_out_are_refused(mix, refused):
    """Their mean is silence, or what they differ in."""
    rng = np.random.default_rng(0)
    channels = np.stack(mix(*rng.normal(0, 0.1, (2, 64_000))), axis=1)
    if refused:
        with pytest.raises(ValueError, match="cancel out"):
            to_waveform(channels, 16_000)
    else:
        np.testing.assert_allclose(to_waveform(channels, 16_000), channels.mean(axis=1), atol=1e-6)
