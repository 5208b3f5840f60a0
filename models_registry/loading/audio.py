"""Waveforms: to one channel at 16 kHz, and cut at quiet places."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models_registry.architectures import WAVEFORM_HZ

Waveform = NDArray[np.float32]

_QUIET_SPAN_S = 0.2


def to_waveform(audio: ArrayLike, sampling_rate: int) -> Waveform:
    """One channel of 32-bit floats at 16 kHz.

    Args:
        audio: Samples, shape ``(samples,)`` or ``(samples, channels)``; floats in
            -1..1 or integers of full scale.
        sampling_rate: Samples per second of ``audio``.

    Raises:
        ValueError: It is empty, not finite, has another shape, or the rate is
            not positive.
    """
    samples = np.asarray(audio)
    if samples.ndim not in (1, 2) or samples.size == 0:
        raise ValueError(f"audio of shape {samples.shape} is not (samples,) or (samples, channels)")
    if sampling_rate <= 0:
        raise ValueError(f"sampling rate {sampling_rate} is not positive")
    if np.issubdtype(samples.dtype, np.integer):
        samples = samples / -float(np.iinfo(samples.dtype).min or -1)
    waveform = samples.astype(np.float32)
    if waveform.ndim == 2:
        waveform = waveform.mean(axis=1)
    if not np.isfinite(waveform).all():
        raise ValueError("audio holds samples that are not finite")
    if sampling_rate != WAVEFORM_HZ:
        from scipy.signal import resample_poly

        divisor = math.gcd(sampling_rate, WAVEFORM_HZ)
        waveform = resample_poly(waveform, WAVEFORM_HZ // divisor, sampling_rate // divisor)
    return np.ascontiguousarray(waveform, dtype=np.float32)


def cut_at_quiet_places(waveform: Waveform, longest_s: float) -> list[Waveform]:
    """Splits a waveform into pieces of at most ``longest_s``, nothing lost.

    Pieces are about equally long; each cut is moved to the quietest 0.2 s nearby.

    Args:
        waveform: Samples at 16 kHz.
        longest_s: Longest piece, in seconds.
    """
    longest = int(longest_s * WAVEFORM_HZ)
    pieces = []
    while len(waveform) > longest:
        count = math.ceil(len(waveform) / longest)
        target = len(waveform) // count
        reach = min(longest - target, target // 4) if longest > target else 0
        cut = _quietest(waveform, target - max(reach, target // 4), target + reach)
        pieces.append(waveform[:cut])
        waveform = waveform[cut:]
    return [*pieces, waveform]


def _quietest(waveform: Waveform, start: int, stop: int) -> int:
    span = int(_QUIET_SPAN_S * WAVEFORM_HZ)
    if stop - start <= span:
        return max(stop, 1)
    energy = np.convolve(np.square(waveform[start:stop], dtype=np.float64), np.ones(span), "valid")
    return start + int(energy.argmin()) + span // 2
