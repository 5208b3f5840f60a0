"""Samples as they are given: numbers of any kind and channels, made one channel of floats."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MOST_CHANNELS = 64

OVERSHOOT = 2.0
"""A peak that decoders of lossy files reach by themselves; beyond it the scale is another one."""

CANCELLED = 0.5
"""A second cancels out where the mean of its channels has less than this share of the energy
that the mean of as many unrelated channels has. For two equally loud channels that is a
correlation below -0.5."""

LOST = 0.1
"""Channels cancel out where seconds that do hold more than this share of the energy."""


def mono(audio: ArrayLike, sampling_rate: int) -> NDArray[np.float32]:
    """The mean of the channels, as floats whose full scale is 1.

    Integers are divided by their full scale, unsigned bytes being offset by 128. Floats with a
    peak beyond :data:`OVERSHOOT` have another scale and are divided by their peak.

    Args:
        audio: Samples, shape ``(samples,)`` or ``(samples, channels)``: floats, integers of
            8 to 32 bits, or unsigned bytes.
        sampling_rate: Samples per second.

    Raises:
        ValueError: It is empty, not finite, of another shape or type, the rate is not
            positive, or the channels cancel out.
    """
    given = np.asarray(audio)
    if given.ndim not in (1, 2) or given.size == 0:
        raise ValueError(f"audio of shape {given.shape} is not (samples,) or (samples, channels)")
    if given.ndim == 2 and given.shape[1] > min(MOST_CHANNELS, len(given)):
        raise ValueError(
            f"audio of shape {given.shape} has more channels than are read: it has to be"
            " (samples, channels)"
        )
    if sampling_rate <= 0:
        raise ValueError(f"sampling rate {sampling_rate} is not positive")
    samples = _floats(given)
    peak = float(np.abs(samples).max())
    if not np.isfinite(peak):
        raise ValueError("audio holds samples that are not finite")
    if peak > OVERSHOOT:
        samples = samples / peak
    channels: NDArray[np.float32] = samples.astype(np.float32, copy=False)
    if channels.ndim == 1:
        return channels
    refuse_cancelling(channels, sampling_rate)
    mean: NDArray[np.float32] = channels.mean(axis=1)
    return mean


def refuse_cancelling(samples: NDArray[np.floating], sampling_rate: int) -> None:
    """Refuses channels whose mean is not what any of them holds.

    That is so where one channel is another's in opposite phase. Means of samples, which are
    no sound, are taken off first.

    Args:
        samples: Shape ``(samples,)`` or ``(samples, channels)``.
        sampling_rate: Samples per second.

    Raises:
        ValueError: Seconds in which channels cancel out hold more than :data:`LOST` of the
            energy.
    """
    if samples.ndim == 1 or samples.shape[1] == 1:
        return
    channels = samples.shape[1]
    energies, means = [], []
    for start in range(0, len(samples), sampling_rate):
        second = samples[start : start + sampling_rate].astype(np.float64)
        second -= second.mean(axis=0)
        energies.append(float(np.square(second).sum()) / channels)
        means.append(float(np.square(second.mean(axis=1)).sum()))
    energy, mean = np.array(energies), np.array(means)
    lost = float(energy[mean * channels < CANCELLED * energy].sum())
    if lost > LOST * float(energy.sum()):
        raise ValueError(
            f"its {channels} channels cancel out in {lost / energy.sum():.0%} of the sound, as"
            " channels in opposite phase do: give one of them"
        )


def _floats(given: NDArray[Any]) -> NDArray[Any]:
    if given.dtype == np.uint8:
        return (given.astype(np.float32) - 128) / 128
    if given.dtype in (np.int8, np.int16, np.int32):
        return given / -float(np.iinfo(given.dtype).min)
    if not np.issubdtype(given.dtype, np.floating):
        raise ValueError(
            f"audio of type {given.dtype} has no full scale: give floats, integers of 8 to 32"
            " bits or unsigned bytes"
        )
    return given
