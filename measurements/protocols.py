"""What is done to speech, as part of the keys of what comes of it."""

from __future__ import annotations

from measurements.datasets import Dataset

CUTS = "cuts-2"
"""How the part of a longer recording is found that one window takes: raised when it would be
another. The first looked at energies with an offset of the recording in them."""


def with_cuts(protocol: str, dataset: Dataset, longest_s: float) -> str:
    """A protocol, and how recordings are cut where any of the data set is.

    Args:
        protocol: What is done apart from that.
        dataset: What it is done to.
        longest_s: Longest recording that is not cut, in seconds.

    Raises:
        DatasetError: An audio file can't be read.
    """
    cut = any(utterance.duration_s() > longest_s for utterance in dataset.utterances)
    return f"{protocol} {CUTS}" if cut else protocol
