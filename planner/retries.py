"""How often a window runs away and is run again in the model's full window.

Measured where a configuration was measured; elsewhere a mean of the measured ones,
nearer ones counting more, drawn towards the overall rate where none is near.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models_registry.configuration import Configuration
from planner.evidence import Observation

Array = NDArray[np.float64]

_PRIOR_WINDOWS = 20.0
"""Windows that the overall rate counts for."""


def retry_rates(
    configurations: Sequence[Configuration], observations: Sequence[Observation]
) -> Array:
    """Expected share of windows that are run again, shape ``(n,)``.

    Args:
        configurations: For these.
        observations: Those of the task; the ones with counts of windows are used.
    """
    rates = np.zeros(len(configurations))
    counted = [o for o in observations if o.windows and _can_retry(o.configuration)]
    rows = [i for i, c in enumerate(configurations) if _can_retry(c)]
    if not counted or not rows:
        return rates
    windows = np.array([o.windows for o in counted], dtype=float)
    retried = np.array([o.retried or 0 for o in counted], dtype=float)
    overall = (retried.sum() + 0.5) / (windows.sum() + 1)
    places = _places([o.configuration for o in counted])
    distance = _places([configurations[i] for i in rows])[:, None, :] - places[None, :, :]
    near = np.exp(-0.5 * np.square(distance).sum(axis=2))
    rates[rows] = (near @ retried + _PRIOR_WINDOWS * overall) / (near @ windows + _PRIOR_WINDOWS)
    for i in rows:
        own = [j for j, o in enumerate(counted) if o.configuration == configurations[i]]
        if own:
            # The neighbours' rate counts for a few windows, so that 0 of 70 is not never.
            rates[i] = (retried[own].sum() + 5 * rates[i]) / (windows[own].sum() + 5)
    return rates


def _can_retry(configuration: Configuration) -> bool:
    c = configuration
    if c.task != "asr" or c.window_policy == "truncate":
        return False
    return c.window_policy == "ladder" or c.window_s < c.architecture.max_window_s


def _places(configurations: Sequence[Configuration]) -> Array:
    """Coordinates in which a distance of 1 makes a difference, shape ``(n, 5)``."""
    return np.array(
        [
            (
                c.silence_s,
                2 * np.log2(c.window_s),
                2 * np.log2(c.token_stride),
                np.log2(c.architecture.parameters) / 2,
                2.0 * (c.precision in ("int8", "int4")),
            )
            for c in configurations
        ]
    )
