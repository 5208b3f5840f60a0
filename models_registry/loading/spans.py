"""Which part of a clip is heard where the window is shorter than it."""

from __future__ import annotations

import numpy as np

from models_registry.architectures import WAVEFORM_HZ
from models_registry.loading.audio import Waveform

HOP_SAMPLES = 320
"""Spans begin at multiples of 20 ms, a frame of the encoders."""


def loudest_span(waveform: Waveform, window_s: float) -> Waveform:
    """The span of ``window_s`` seconds that holds the most energy; all of a shorter clip.

    Clips often begin and end with silence, which says nothing of emotion. The mean of a span is
    no sound and is taken off: beside an offset, silence would be as loud as speech.

    Args:
        waveform: Samples at 16 kHz.
        window_s: Length of the span in seconds.
    """
    samples = round(window_s * WAVEFORM_HZ)
    if len(waveform) <= samples:
        return waveform
    squares = np.concatenate(([0.0], np.cumsum(np.square(waveform, dtype=np.float64))))
    sums = np.concatenate(([0.0], np.cumsum(waveform, dtype=np.float64)))
    starts = np.append(np.arange(0, len(waveform) - samples, HOP_SAMPLES), len(waveform) - samples)
    behind = starts + samples
    energy = squares[behind] - squares[starts] - (sums[behind] - sums[starts]) ** 2 / samples
    start = int(starts[np.argmax(energy)])
    return waveform[start : start + samples]
