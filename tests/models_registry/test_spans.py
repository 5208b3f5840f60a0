"""The span of a clip that is heard."""

import numpy as np

from models_registry.loading.spans import HOP_SAMPLES, loudest_span


def test_the_loudest_second_is_found_between_silence():
    rng = np.random.default_rng(0)
    clip = rng.normal(0, 0.001, 5 * 16_000).astype(np.float32)
    clip[40_000:56_000] += rng.normal(0, 0.2, 16_000).astype(np.float32)
    span = loudest_span(clip, 1.0)
    assert len(span) == 16_000
    start = int(np.flatnonzero(clip == span[0])[0])
    np.testing.assert_array_equal(clip[start : start + 16_000], span)
    assert abs(start - 40_000) <= HOP_SAMPLES


def test_an_offset_is_not_loud():
    """Silence was as loud as speech beside it, and words were left for it."""
    rng = np.random.default_rng(1)
    clip = np.zeros(5 * 16_000, dtype=np.float32)
    clip[40_000:56_000] = rng.normal(0, 0.01, 16_000)
    clip += rng.normal(0, 0.001, len(clip)).astype(np.float32)
    for window_s in (0.5, 1.0):
        plain, moved = loudest_span(clip, window_s), loudest_span(clip + np.float32(0.05), window_s)
        np.testing.assert_allclose(moved, plain + 0.05, atol=1e-6)


def test_the_very_end_can_be_the_loudest():
    clip = np.zeros(16_100, dtype=np.float32)
    clip[-50:] = 1
    np.testing.assert_array_equal(loudest_span(clip, 0.5), clip[-8000:])


def test_a_clip_that_fits_is_left_alone():
    clip = np.ones(16_000, dtype=np.float32)
    assert loudest_span(clip, 1.0) is clip
    assert loudest_span(clip, 2.0) is clip
