"""Waveforms: to one channel at 16 kHz, and cut at quiet places."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models_registry.architectures import WAVEFORM_HZ

Waveform = NDArray[np.float32]

OVERLAP_S = 2.0
"""Audio that two pieces share where speech had to be cut."""

_HOP = WAVEFORM_HZ // 100
_SPAN_HOPS = 20
"""Hops of 10 ms whose energy is looked at together."""

_SPEECH_QUANTILE = 0.8
_PAUSE = 10**-2.0
"""A pause is 20 dB below the louder spans of the recording."""


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


@dataclass(frozen=True)
class Piece:
    """A stretch of a recording that one window takes.

    Attributes:
        waveform: Its samples at 16 kHz.
        overlap_s: Seconds at its beginning that the piece before it holds too.
    """

    waveform: Waveform
    overlap_s: float = 0.0

    @property
    def duration_s(self) -> float:
        """Its duration in seconds."""
        return len(self.waveform) / WAVEFORM_HZ


def cut_at_quiet_places(waveform: Waveform, longest_s: float) -> list[Piece]:
    """Splits a waveform into pieces of at most ``longest_s``, nothing lost.

    Pieces are about equally long; each cut is moved to the quietest 0.2 s nearby.
    Where even that is no pause, the next piece begins early, by ``OVERLAP_S`` or
    a quarter of ``longest_s``, so that the word that was cut is whole in one of them.

    Args:
        waveform: Samples at 16 kHz.
        longest_s: Longest piece, in seconds.
    """
    longest = int(longest_s * WAVEFORM_HZ)
    if len(waveform) <= longest:
        return [Piece(waveform)]
    overlap = int(min(OVERLAP_S, longest_s / 4) * WAVEFORM_HZ)
    energy = _span_energy(waveform)
    pause = _PAUSE * float(np.quantile(energy, _SPEECH_QUANTILE))
    pieces, start, shared = [], 0, 0
    while len(waveform) - start > longest:
        left = len(waveform) - start
        target = left // math.ceil(left / longest)
        reach = min(longest - target, target // 4)
        first = (start + target - max(reach, target // 4)) // _HOP
        behind = max((start + target + reach) // _HOP - _SPAN_HOPS, first + 1)
        quietest = first + int(energy[first:behind].argmin())
        cut = min((quietest + _SPAN_HOPS // 2) * _HOP, start + longest)
        pieces.append(Piece(waveform[start:cut], shared / WAVEFORM_HZ))
        shared = 0 if energy[quietest] <= pause else min(overlap, (cut - start) // 2)
        start = cut - shared
    return [*pieces, Piece(waveform[start:], shared / WAVEFORM_HZ)]


def speech_seconds(waveform: Waveform) -> float:
    """Seconds that are no pause, in a recording of one channel at 16 kHz."""
    if len(waveform) < _HOP or not waveform.any():
        return 0.0
    energy = _span_energy(waveform)
    loud = energy > _PAUSE * float(np.quantile(energy, _SPEECH_QUANTILE))
    return float(loud.mean()) * len(waveform) / WAVEFORM_HZ


def _span_energy(waveform: Waveform) -> NDArray[np.float64]:
    """Energy of the span that begins at each hop."""
    whole = waveform[: len(waveform) // _HOP * _HOP].reshape(-1, _HOP)
    hops = np.einsum("hs,hs->h", whole, whole, dtype=np.float64)
    sums = np.concatenate([[0.0], np.pad(hops, (0, _SPAN_HOPS), mode="edge").cumsum()])
    spans: NDArray[np.float64] = sums[_SPAN_HOPS:] - sums[:-_SPAN_HOPS]
    return spans
