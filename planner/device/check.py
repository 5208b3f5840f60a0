"""How well latency is predicted for architectures that were not timed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models_registry.architectures import WhisperArchitecture
from models_registry.configuration import Configuration
from planner.device.evidence import DeviceEvidence, TimedRun
from planner.device.model import fit_device
from planner.device.work import run_work
from planner.quantiles import normal_quantile


@dataclass(frozen=True)
class HeldOutCheck:
    """Predictions of each architecture's configurations from the others' runs.

    Attributes:
        architectures: Architectures left out in turn.
        configurations: Configurations predicted, with other token counts counted anew.
        median_error: Median of ``|predicted / measured - 1|`` of their seconds.
        coverage: Share of them inside the predicted interval.
        level: Probability of that interval.
    """

    architectures: int
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
    groups: dict[tuple[int, ...], list[TimedRun]] = {}
    for run in known.runs:
        groups.setdefault(_shape(run.configuration), []).append(run)
    if len(groups) < 3:
        return None
    errors, inside = [], []
    for shape, left_out in groups.items():
        others = [run for other, group in groups.items() if other != shape for run in group]
        model = fit_device(device, replace(known, runs=tuple(others)), seed=seed)
        measured: dict[tuple[Configuration, object], list[TimedRun]] = {}
        for run in left_out:
            measured.setdefault((run.configuration, run.passes), []).append(run)
        for (configuration, _), repeats in measured.items():
            centre, sd = model.log_seconds(run_work(repeats[0]), configuration.precision)
            seconds = float(np.median([sum(run.phases_s.values()) for run in repeats]))
            distance = float(centre[0]) - np.log(seconds)
            errors.append(abs(np.expm1(distance)))
            inside.append(abs(distance) <= normal_quantile((1 + level) / 2) * float(sd[0]))
    return HeldOutCheck(
        architectures=len(groups),
        configurations=len(errors),
        median_error=float(np.median(errors)),
        coverage=float(np.mean(inside)),
        level=level,
    )


def _shape(configuration: Configuration) -> tuple[int, ...]:
    a = configuration.architecture
    if isinstance(a, WhisperArchitecture):
        return a.d_model, a.encoder_layers
    return a.hidden, a.encoder_layers
