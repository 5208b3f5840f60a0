"""What the benchmarks are made of; their figures are not tested."""

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks import pauses, statistics
from benchmarks.long_audio import joined, without_pauses
from benchmarks.tables import markdown
from measurements.datasets import open_dataset
from models_registry.loading.audio import cut_at_quiet_places, speech_seconds


def test_a_table():
    assert markdown([{"a": "1", "b": "2"}]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


@pytest.mark.parametrize("section", statistics.SECTIONS)
def test_simulations_have_a_row_for_each_setting(section):
    _, rows = statistics.SECTIONS[section]
    found = list(rows(20))
    assert len(found) >= 3
    assert markdown(found)


def test_recordings_are_joined_in_order_and_pauses_go():
    speech = open_dataset("demo")
    for gap_s in (0.4, None):
        recordings = list(joined(speech.utterances, gap_s, np.random.default_rng(0)))
        assert recordings
        by_speaker = sorted(speech.utterances, key=lambda u: (u.speaker or "", u.id))
        texts = " ".join(text for text, _ in recordings)
        assert texts == " ".join(u.reference for u in by_speaker if u.reference in texts)
        assert all(30 <= len(sound) / 16_000 <= 100 for _, sound in recordings)
    # Without pauses there is no quiet place to cut at, and pieces overlap.
    _, sound = recordings[0]
    assert speech_seconds(sound) > 0.9 * len(sound) / 16_000


def test_what_is_left_without_pauses_is_speech():
    rng = np.random.default_rng(0)
    waveform = rng.normal(size=10 * 16_000).astype("float32")
    waveform[3 * 16_000 : 6 * 16_000] *= 1e-3
    left = without_pauses(waveform)
    assert len(left) == pytest.approx(7 * 16_000, rel=0.01)
    assert any(piece.overlap_s for piece in cut_at_quiet_places(left, 3.0))


def test_what_is_quiet_between_words_becomes_digital_silence():
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 0.1, 32_000).astype("float32")
    sound[8000:16_000] *= 0.001
    quiet = pauses.gated(sound)
    assert not quiet[8000:16_000].any()
    np.testing.assert_array_equal(quiet[16_000:], sound[16_000:])
