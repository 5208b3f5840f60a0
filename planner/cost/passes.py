"""Which forward passes the recordings of a workload take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models_registry.architectures import FRAMES_PER_SECOND
from models_registry.configuration import LADDER_S, Configuration
from planner.cost.conventions import Number
from planner.workload import Workload

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Passes:
    """Forward passes of ``n`` configurations over the bins of a workload.

    Attributes:
        windows: Windows that a recording is cut into, shape ``(n, bins)``.
        frames: Encoder frames of each, shape ``(n, bins)``.
        heard_s: Seconds of a recording that are heard at all, shape ``(n, bins)``.
        retries: Share of the windows that run away and are run again in the
            model's full window, shape ``(n, 1)``.
        full_frames: Frames of the full window.
    """

    windows: Array
    frames: NDArray[np.int64]
    heard_s: Array
    retries: Array
    full_frames: int


def passes_of(
    configurations: Sequence[Configuration], workload: Workload, retries: Number = 0.0
) -> Passes:
    """Passes of configurations that share a model and a window policy.

    A recording is cut into pieces of equal length, at most ``speech_s`` long; what
    pieces share where speech has to be cut is left aside.

    Args:
        configurations: ``n`` of them.
        workload: The recordings.
        retries: Share of windows run again, a number or of shape ``(n,)``.
    """
    first = configurations[0]
    full_s = first.architecture.max_window_s
    durations = workload.durations[None, :]
    speech_s = _column(configurations, "speech_s")
    windows = number_of_passes(durations, speech_s, first.window_policy == "truncate")
    heard_s = np.minimum(durations, windows * speech_s)
    frames_s = np.broadcast_to(_column(configurations, "window_s"), windows.shape)
    if first.window_policy == "truncate":
        frames_s = np.full(windows.shape, full_s)
    elif first.window_policy == "ladder":
        needed_s = heard_s / windows + _column(configurations, "silence_s") - 1e-9
        rungs = np.array([*LADDER_S, np.inf])
        frames_s = np.minimum(rungs[np.searchsorted(rungs, needed_s)], frames_s)
    rates = np.broadcast_to(np.asarray(retries, dtype=float), (len(configurations),))
    return Passes(
        windows=windows,
        frames=np.rint(frames_s * FRAMES_PER_SECOND).astype(np.int64),
        heard_s=heard_s,
        retries=rates[:, None],
        full_frames=round(full_s * FRAMES_PER_SECOND),
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


def _column(configurations: Sequence[Configuration], name: str) -> Array:
    return np.array([getattr(c, name) for c in configurations])[:, None]
