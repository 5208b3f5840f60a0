"""Waveforms: to one channel at 16 kHz, and cut at quiet places."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models_registry.architectures import WAVEFORM_HZ
from models_registry.samples import mono

Waveform = NDArray[np.float32]

OVERLAP_S = 2.0
"""Audio that two pieces share where speech had to be cut."""

_HOP = WAVEFORM_HZ // 100
_SPAN_HOPS = 20
"""Hops of 10 ms whose energy is looked at together."""

_SPEECH_QUANTILE = 0.8
_PAUSE = 10**-2.0
"""A pause is 20 dB below the louder spans of the recording."""

_FAR_BELOW = 10**-3.5
"""It is one, too, 35 dB below the loudest span: where little is said, the louder spans are none
of speech."""

_QUIET_ROOM = 10**-7.0
"""Energy of a sample, -70 dB of full scale, below which nobody speaks and all is as quiet."""


def to_waveform(audio: ArrayLike, sampling_rate: int) -> Waveform:
    """One channel of 32-bit floats at 16 kHz.

    Args:
        audio: Samples, shape ``(samples,)`` or ``(samples, channels)``; what
            :func:`~models_registry.samples.mono` takes.
        sampling_rate: Samples per second of ``audio``.

    Raises:
        ValueError: It is empty, not finite, has another shape or type, its channels
            cancel out, or the rate is not positive.
    """
    waveform = mono(audio, sampling_rate)
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
        speech_s: Seconds of it that are no pause, by what is one in the recording.
        overlap_s: Seconds at its beginning that the piece before it holds too.
    """

    waveform: Waveform
    speech_s: float
    overlap_s: float = 0.0

    @property
    def duration_s(self) -> float:
        """Its duration in seconds."""
        return len(self.waveform) / WAVEFORM_HZ


@dataclass(frozen=True)
class Loudness:
    """How loud a recording is at each place, and what is a pause in it.

    Attributes:
        spans: Loudness of the 0.2 s that begin at each 10 ms.
        pause: The loudest that a pause is.
    """

    spans: NDArray[np.float64]
    pause: float

    @classmethod
    def of(cls, waveform: Waveform) -> Loudness:
        """By the energy of a recording of one channel at 16 kHz."""
        quiet = _QUIET_ROOM * _SPAN_HOPS * _HOP
        energy = _span_energy(waveform).clip(min=quiet)
        louder, loudest = float(np.quantile(energy, _SPEECH_QUANTILE)), float(energy.max())
        return cls(energy, max(_PAUSE * louder, _FAR_BELOW * loudest, quiet))

    def speech_s(self, start: int, stop: int) -> float:
        """Seconds that are no pause between two samples."""
        loud = self.spans[start // _HOP : stop // _HOP + 1] > self.pause
        return float(loud.mean()) * (stop - start) / WAVEFORM_HZ


def cut_at_quiet_places(
    waveform: Waveform, longest_s: float, loudness: Loudness | None = None
) -> list[Piece]:
    """Splits a waveform into pieces of at most ``longest_s``, nothing lost.

    Pieces are about equally long; each cut is moved to the quietest 0.2 s nearby, of several
    to the nearest.
    Where even that is no pause, the next piece begins early, by ``OVERLAP_S`` or
    a quarter of ``longest_s``, so that the word that was cut is whole in one of them.

    Args:
        waveform: Samples at 16 kHz.
        longest_s: Longest piece, in seconds.
        loudness: Where it is quiet; by its energy when left out.
    """
    longest = int(longest_s * WAVEFORM_HZ)
    overlap = int(min(OVERLAP_S, longest_s / 4) * WAVEFORM_HZ)
    loudness = loudness or Loudness.of(waveform)
    pieces, start, shared = [], 0, 0

    def piece(stop: int) -> Piece:
        spoken_s = loudness.speech_s(start, stop)
        return Piece(waveform[start:stop], spoken_s, shared / WAVEFORM_HZ)

    while len(waveform) - start > longest:
        left = len(waveform) - start
        target = left // math.ceil(left / longest)
        reach = min(longest - target, target // 4)
        first = (start + target - max(reach, target // 4)) // _HOP
        behind = max((start + target + reach) // _HOP - _SPAN_HOPS, first + 1)
        nearby = loudness.spans[first:behind]
        quiet = first + np.flatnonzero(nearby == nearby.min())
        wanted = (start + target) // _HOP - _SPAN_HOPS // 2
        quietest = int(quiet[np.abs(quiet - wanted).argmin()])
        cut = min((quietest + _SPAN_HOPS // 2) * _HOP, start + longest)
        pieces.append(piece(cut))
        paused = loudness.spans[quietest] <= loudness.pause
        shared = 0 if paused else min(overlap, (cut - start) // 2)
        start = cut - shared
    return [*pieces, piece(len(waveform))]


def speech_seconds(waveform: Waveform) -> float:
    """Seconds that are no pause, in a recording of one channel at 16 kHz."""
    return Loudness.of(waveform).speech_s(0, len(waveform))


def _span_energy(waveform: Waveform) -> NDArray[np.float64]:
    """Energy of the span that begins at each hop, its mean taken off.

    A mean is no sound, and beside one of 1 % of full scale every pause is loud.
    """
    whole = waveform[: len(waveform) // _HOP * _HOP].reshape(-1, _HOP).astype(np.float64)
    squares = _over_spans(np.einsum("hs,hs->h", whole, whole))
    means: NDArray[np.float64] = _over_spans(whole.sum(axis=1)) ** 2 / (_SPAN_HOPS * _HOP)
    return squares - means


def _over_spans(hops: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over the span that begins at each hop."""
    padded = np.pad(hops, (0, _SPAN_HOPS), mode="edge") if len(hops) else np.zeros(_SPAN_HOPS)
    sums = np.concatenate([[0.0], padded.cumsum()])
    spans: NDArray[np.float64] = sums[_SPAN_HOPS:] - sums[:-_SPAN_HOPS]
    return spans
