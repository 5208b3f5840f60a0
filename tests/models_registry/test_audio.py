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


def test_stereo_integers_and_other_rates_become_mono_floats_at_16_khz():
    stereo = np.stack([np.full(800, 16384), np.full(800, -16384)], axis=1).astype("int16")
    assert np.abs(to_waveform(stereo, 16_000)).max() == 0
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
