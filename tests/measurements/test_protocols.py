"""How recordings are cut, as part of a key."""

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")

from measurements.datasets import Dataset, Utterance  # noqa: E402
from measurements.protocols import CUTS, with_cuts  # noqa: E402


def test_how_recordings_are_cut_counts_where_one_is(tmp_path):
    """Else measurements that come out the same would be made again."""
    utterances = []
    for seconds in (1, 3):
        file = tmp_path / f"{seconds}.wav"
        soundfile.write(file, np.zeros(16_000 * seconds), 16_000)
        utterances.append(Utterance(file.name, file, "a word"))
    dataset = Dataset("a", "asr", "en", tuple(utterances))
    assert with_cuts("p-1", dataset, 3.0) == "p-1"
    assert with_cuts("p-1", dataset, 2.99) == f"p-1 {CUTS}"
