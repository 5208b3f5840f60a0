"""Which forward passes the recordings of a workload take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models_registry.architectures import FRAMES_PER_SECOND
from models_registry.configuration import LADDER_S, WindowPolicy
from planner.cost.conventions import Number
from planner.workload import Workload

Array = NDArray[np.float64]

_OVERLAP_S = 2.0
"""Audio that two windows share where speech has to be cut, at most a quarter of the longest
piece; as the transcriber cuts."""

_MORE_WINDOWS = (1.0, 0.5)
"""Windows beyond the fewest, as a share of those that there are more of where every two share
audio: mean and standard deviation over the catalogue's windows, ``python -m benchmarks.flops``."""


@dataclass(frozen=True)
class Passes:
    """Forward passes of ``n`` configurations over the bins of a workload.

    Attributes:
        windows: Windows that a recording is cut into, shape ``(n, bins)``; an expectation.
        windows_sd: Its standard deviation, of the same shape: it depends on where pauses are.
        frames: Encoder frames of each, shape ``(n, bins)``.
        heard_s: Seconds of a recording that are heard at all, shape ``(n, bins)``.
        retries: Share of the windows that run away and are run again in the
            model's full window, shape ``(n, 1)``.
        retries_sd: Standard deviation of that share, shape ``(n, 1)``.
        full_frames: Frames of the full window.
    """

    windows: Array
    windows_sd: Array
    frames: NDArray[np.int64]
    heard_s: Array
    retries: Array
    retries_sd: Array
    full_frames: int


def passes_of(
    workload: Workload,
    *,
    policy: WindowPolicy,
    window_s: Number,
    speech_s: Number,
    silence_s: Number,
    full_window_s: float,
    retries: Number = 0.0,
    retries_sd: Number = 0.0,
) -> Passes:
    """Passes of configurations that share a model and a window policy.

    A recording is cut into pieces of equal length, at most ``speech_s`` long. Where speech has
    to be cut two pieces share some of it, which may take more windows.

    Args:
        workload: The recordings.
        policy: What happens to audio that is not as long as the window.
        window_s: Windows, a number or of shape ``(n,)``.
        speech_s: Longest speech put into one.
        silence_s: Silence left behind it.
        full_window_s: The model's own window.
        retries: Share of windows run again in it.
        retries_sd: Standard deviation of that share.
    """
    durations = workload.durations[None, :]
    longest_s = _column(speech_s)
    windows = number_of_passes(durations, longest_s, policy == "truncate")
    more = np.zeros_like(windows)
    if policy != "truncate":
        step_s = longest_s - np.minimum(_OVERLAP_S, longest_s / 4)
        more = 1 + number_of_passes(np.maximum(durations - longest_s, 0), step_s) - windows
    mean, sd = _MORE_WINDOWS
    windows = windows + mean * more
    heard_s = np.minimum(durations, windows * longest_s)
    frames_s = np.broadcast_to(_column(window_s), windows.shape)
    if policy == "truncate":
        frames_s = np.full(windows.shape, full_window_s)
    elif policy == "ladder":
        needed_s = heard_s / windows + _column(silence_s) - 1e-9
        rungs = np.array([*LADDER_S, np.inf])
        frames_s = np.minimum(rungs[np.searchsorted(rungs, needed_s)], frames_s)
    return Passes(
        windows=windows,
        windows_sd=sd * more,
        frames=np.rint(frames_s * FRAMES_PER_SECOND).astype(np.int64),
        heard_s=heard_s,
        retries=np.broadcast_to(_column(retries), (len(windows), 1)),
        retries_sd=np.broadcast_to(_column(retries_sd), (len(windows), 1)),
        full_frames=round(full_window_s * FRAMES_PER_SECOND),
    )


def number_of_passes(durations_s: Number, speech_s: Number, truncate: bool = False) -> Array:
    """Windows each recording is cut into, shape of the two arguments broadcast.

    Args:
        durations_s: Durations of recordings.
        speech_s: Longest piece of speech that one pass takes.
        truncate: Whether what is left over is dropped.
    """
    windows: Array = np.ceil(np.asarray(durations_s) / speech_s - 1e-9)
    return np.ones_like(windows) if truncate else windows


def _column(values: Number) -> Array:
    return np.atleast_1d(np.asarray(values, dtype=float))[:, None]
