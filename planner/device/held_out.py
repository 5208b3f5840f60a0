"""By how much a device's spreads have to grow so that they cover what was not timed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from models_registry.architectures import WhisperArchitecture
from models_registry.configuration import Configuration
from planner.arrays import Array
from planner.curves.solver import Prior, solve
from planner.device.evidence import TimedRun
from planner.device.fit import SumOfWork, Units
from planner.device.work import PHASES, Work
from planner.quantiles import normal_quantile

FOLDS = 8
LEAST_GROUPS = 3
_LEVEL = 0.9
_MOST = 4.0


def shape_of(configuration: Configuration) -> tuple[int, int]:
    """Width and depth of the model; twins differ in vocabulary or mel bins alone."""
    a = configuration.architecture
    if isinstance(a, WhisperArchitecture):
        return a.d_model, a.encoder_layers
    return a.hidden, a.encoder_layers


def stretch(
    amounts: Work,
    runs: Sequence[TimedRun],
    units: Mapping[str, Units],
    priors: Mapping[str, Prior],
    sd: Array,
    groups: Sequence[Hashable],
) -> float | None:
    """Factor on the spreads that covers groups of runs left out of the fit in turn.

    Args:
        amounts: Work of the runs, by phase.
        runs: What they took.
        units: Fitted to all of them.
        priors: Of that fit.
        sd: Stated spread of each run's log seconds, shape ``(runs,)``.
        groups: What each run belongs to.

    Returns:
        At least 1; None with fewer than three groups, or no run on a quiet device.
    """
    order = sorted(set(groups), key=repr)
    if len(order) < LEAST_GROUPS:
        return None
    place = {group: index % FOLDS for index, group in enumerate(order)}
    folds = np.array([place[group] for group in groups])
    seconds = np.zeros(len(runs))
    slowdown = np.array([run.slowdown_log_sd for run in runs])
    for phase in PHASES:
        ran = np.array([phase in run.phases_s for run in runs])
        if not ran.any():
            continue
        taken = np.array([max(run.phases_s[phase], 1e-7) for run in runs if phase in run.phases_s])
        left_in = folds[ran] != np.arange(min(FOLDS, len(order)))[:, None]
        logs = solve(
            SumOfWork(),
            amounts[phase][ran],
            np.log(taken),
            left_in / (units[phase].misfit_sd ** 2 + np.square(slowdown[ran])),
            priors[phase],
            np.tile(units[phase].log, (len(left_in), 1)),
        )
        seconds[ran] += np.einsum("rk,rk->r", amounts[phase][ran], np.exp(logs[folds[ran]]))
    repeats: dict[Hashable, list[int]] = {}
    for row, run in enumerate(runs):
        if run.slowdown_log_sd:
            continue
        repeats.setdefault((run.configuration, run.passes), []).append(row)
    if not repeats:
        return None
    off = []
    for rows in repeats.values():
        measured = float(np.median([sum(runs[row].phases_s.values()) for row in rows]))
        off.append(abs(np.log(measured / seconds[rows[0]])) / sd[rows[0]])
    reached = float(np.quantile(off, _LEVEL)) / normal_quantile((1 + _LEVEL) / 2)
    return min(max(reached, 1.0), _MOST)
