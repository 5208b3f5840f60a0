"""How well latency is predicted for what was not timed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models_registry.configuration import Configuration, Precision
from planner.device.evidence import DeviceEvidence, TimedRun
from planner.device.held_out import LEAST_GROUPS, shape_of
from planner.device.model import DeviceModel, fit_device, model_of
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
        for error, held in _predicted(model, left_out, level):
            errors.append(error)
            inside.append(held)
    return _check(len(groups), errors, inside, level)


def from_data_sheet(
    device: str, devices: Mapping[str, DeviceEvidence], *, level: float = 0.90
) -> dict[Precision, HeldOutCheck]:
    """Predicts all that was timed on a device as if nothing had been, by precision.

    Args:
        device: Id of the device.
        devices: What is known of it and of others.
        level: Probability of the predicted intervals.
    """
    known = devices[device]
    hidden = {**devices, device: replace(known, runs=(), memory=(), power_w=())}
    model = model_of(device, hidden)
    runs: dict[Precision, list[TimedRun]] = {}
    for run in known.runs:
        runs.setdefault(run.configuration.precision, []).append(run)
    found = {}
    for precision, own in runs.items():
        errors, inside = zip(*_predicted(model, own, level), strict=True)
        found[precision] = _check(1, errors, inside, level)
    return found


def _predicted(
    model: DeviceModel, runs: Iterable[TimedRun], level: float
) -> Iterator[tuple[float, bool]]:
    """Error of each configuration's median, and whether it is inside the interval."""
    measured: dict[tuple[Configuration, object], list[TimedRun]] = {}
    for run in runs:
        if run.slowdown_log_sd:
            continue
        measured.setdefault((run.configuration, run.passes), []).append(run)
    for (configuration, _), repeats in measured.items():
        centre, sd = model.log_seconds(run_work(repeats[0]), configuration)
        seconds = float(np.median([sum(run.phases_s.values()) for run in repeats]))
        distance = float(centre[0]) - np.log(seconds)
        held = abs(distance) <= normal_quantile((1 + level) / 2) * float(sd[0])
        yield float(abs(np.expm1(distance))), held


def _check(
    groups: int, errors: Sequence[float], inside: Sequence[bool], level: float
) -> HeldOutCheck:
    return HeldOutCheck(
        groups=groups,
        configurations=len(errors),
        median_error=float(np.median(errors)),
        coverage=float(np.mean(inside)),
        level=level,
    )
