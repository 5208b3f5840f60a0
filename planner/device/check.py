"""How well latency is predicted for what was not timed."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

import numpy as np

from models_registry.configuration import Configuration
from planner.device.evidence import DeviceEvidence, TimedRun
from planner.device.held_out import LEAST_GROUPS, shape_of
from planner.device.model import fit_device
from planner.device.work import run_work
from planner.quantiles import normal_quantile


@dataclass(frozen=True)
class HeldOutCheck:
    """Predictions of each group's configurations from the others' runs.

    Attributes:
        groups: Groups left out in turn: architectures, or folds of configurations.
        configurations: Configurations predicted, with other token counts counted anew.
        median_error: Median of ``|predicted / measured - 1|`` of their seconds.
        coverage: Share of them inside the predicted interval.
        level: Probability of that interval.
    """

    groups: int
    configurations: int
    median_error: float
    coverage: float
    level: float


def leave_one_architecture_out(
    device: str, known: DeviceEvidence, *, level: float = 0.90, seed: int = 0
) -> HeldOutCheck | None:
    """Fits to all architectures but one, predicts that one, in turn.

    Near twins, which differ in vocabulary or mel bins alone, are left out together.

    Returns:
        The check; none with fewer than three architectures.
    """
    return leave_out(device, known, shape_of, level=level, seed=seed)


def leave_out(
    device: str,
    known: DeviceEvidence,
    group_of: Callable[[Configuration], Hashable],
    *,
    level: float = 0.90,
    seed: int = 0,
) -> HeldOutCheck | None:
    """Fits to all groups of configurations but one, predicts that one, in turn.

    Args:
        device: Id of the device.
        known: What is known of it.
        group_of: The group of a configuration.
        level: Probability of the predicted intervals.
        seed: Seed of the fits.

    Returns:
        The check; none with fewer than three groups.
    """
    groups: dict[Hashable, list[TimedRun]] = {}
    for run in known.runs:
        groups.setdefault(group_of(run.configuration), []).append(run)
    if len(groups) < LEAST_GROUPS:
        return None
    errors, inside = [], []
    for group, left_out in groups.items():
        others = [run for other, runs in groups.items() if other != group for run in runs]
        model = fit_device(device, replace(known, runs=tuple(others)), seed=seed)
        measured: dict[tuple[Configuration, object], list[TimedRun]] = {}
        for run in left_out:
            measured.setdefault((run.configuration, run.passes), []).append(run)
        for (configuration, _), repeats in measured.items():
            centre, sd = model.log_seconds(run_work(repeats[0]), configuration)
            seconds = float(np.median([sum(run.phases_s.values()) for run in repeats]))
            distance = float(centre[0]) - np.log(seconds)
            errors.append(abs(np.expm1(distance)))
            inside.append(abs(distance) <= normal_quantile((1 + level) / 2) * float(sd[0]))
    return HeldOutCheck(
        groups=len(groups),
        configurations=len(errors),
        median_error=float(np.median(errors)),
        coverage=float(np.mean(inside)),
        level=level,
    )
