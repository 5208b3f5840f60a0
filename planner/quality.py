"""How well a configuration does: curves over the axes, and what was really observed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from models_registry.architectures import FRAMES_PER_SECOND
from models_registry.configuration import Configuration, Task
from planner.arrays import Array
from planner.curves import ScalingModel, fit
from planner.errors import InsufficientDataError
from planner.evidence import Evidence, Observation
from planner.quantiles import normal_quantile

Basis = Literal["measured", "published", "interpolated", "extrapolated"]

FULL_WINDOW_S = 30.0
STUDY_SD = 0.5
MODEL_SD = 0.15
PRECISION_SD = 0.1
WINDOWING_SD = 0.1
ADAPTER_SD = 0.2
DEPTH_SD = 0.3
READOUT_SD = 0.1
"""Spread of offsets in log error: a study can be twice as hard as another, a model
strays from its size's curve by a seventh, a precision or a ladder of windows costs
about a tenth, an adapter moves a fifth; emotions are read off some layer of a model by
a third better than off another."""


def axes_of(configurations: Sequence[Configuration], task: Task) -> dict[str, Array]:
    """The axes of the curves, each so that more of it means less error.

    ASR: parameters (xN); ``heard_s``, the audio that is not cut off by the
    truncating policy of arXiv 2606.22790 (its xT); ``window_s`` really run
    otherwise; and the encoder tokens per second of audio (xV), an axis for each
    place where they are reduced: at the stem, inside, or at the output.
    SER: window, encoder tokens per second behind a reduction at the stem or inside,
    LoRA rank and layers unfrozen (one more than their number).
    """
    tokens = FRAMES_PER_SECOND / np.array([c.token_stride for c in configurations])
    where = np.array([-1 if (k := c.reduction_layer) is None else k for c in configurations])
    layers = np.array([c.exit_layer or c.architecture.encoder_layers for c in configurations])
    full = float(FRAMES_PER_SECOND)
    stem = np.where(where == 0, tokens, full)
    inside = np.where((where > 0) & (where < layers), tokens, full)
    if task == "ser":
        return {
            "window_s": np.array([c.window_s for c in configurations]),
            "tokens_per_s_stem": stem,
            "tokens_per_s_inside": inside,
            "rank": np.array([float(c.rank or 1) for c in configurations]),
            "unfrozen_layers_plus_1": np.array([1.0 + c.unfrozen_layers for c in configurations]),
        }
    truncates = np.array([c.window_policy == "truncate" for c in configurations])
    window_s = np.array([c.window_s for c in configurations])
    return {
        "parameters": np.array([float(c.architecture.parameters) for c in configurations]),
        "heard_s": np.where(truncates, window_s, FULL_WINDOW_S),
        "window_s": np.where(truncates, FULL_WINDOW_S, window_s),
        "tokens_per_s_stem": stem,
        "tokens_per_s_inside": inside,
        "tokens_per_s_output": np.where(where == layers, tokens, full),
    }


@dataclass(frozen=True)
class Quality:
    """Predicted errors of configurations.

    Attributes:
        mean: Centre of the prediction, shape ``(n,)``; errors are fractions.
        lower: Lower end of the interval.
        upper: Upper end.
        draws: Joint draws, shape ``(draws, n)``.
        basis: What each rests on.
        provenance: Where each comes from, in one line.
    """

    mean: Array
    lower: Array
    upper: Array
    draws: Array
    basis: tuple[Basis, ...]
    provenance: tuple[str, ...]


class QualityModel:
    """Curves over all studies of a task, answering for one of them.

    Studies and models each carry an offset, so sources meet without being mixed.
    A configuration that the study itself has observed is answered with that
    observation; nothing is smoothed over it.

    Args:
        evidence: What was observed.
        seed: Seed of the fit.

    Raises:
        InsufficientDataError: Too few observations for curves.
    """

    def __init__(self, evidence: Evidence, seed: int = 0) -> None:
        self._evidence = evidence
        self._seed = seed
        self._observed = _by_configuration(evidence.in_study)
        usable = [o for o in evidence.observations if _on_the_axes(o.configuration)]
        known = {configuration.model for configuration in self._observed}
        if not self._observed and not usable:
            raise InsufficientDataError(
                f"nothing is known about {evidence.task}: measure a configuration first",
                measure=[{"task": evidence.task}],
            )
        configurations = [o.configuration for o in usable]
        self.curves: ScalingModel = fit(
            axes_of(configurations, evidence.task),
            [o.error for o in usable],
            error_se=[_fit_se(o) for o in usable],
            groups={
                "study": [o.study for o in usable],
                **groups_of(configurations, evidence.task),
            },
            group_sd={"study": STUDY_SD, **group_sd(evidence.task)},
            seed=seed,
        )
        self._common_sd = _common_sd(evidence.in_study)
        self._known_models = known | {c.model for c in configurations}

    def predict(
        self, configurations: Sequence[Configuration], *, level: float, draws: int
    ) -> Quality:
        """Errors of configurations with intervals and joint draws.

        Args:
            configurations: What to predict.
            level: Probability of the intervals.
            draws: How many joint draws.
        """
        axes = axes_of(configurations, self._evidence.task)
        groups = {
            "study": [self._evidence.study] * len(configurations),
            **groups_of(configurations, self._evidence.task),
        }
        mean, lower, upper = self.curves.predict(axes, level, groups=groups)
        joint = self.curves.draws(axes, draws, groups=groups, seed=self._seed)
        beyond = self.curves.extrapolation(axes) > 0
        basis: list[Basis] = [
            "extrapolated" if far or c.model not in self._known_models else "interpolated"
            for far, c in zip(beyond, configurations, strict=True)
        ]
        provenance = [f"curves over {self.curves.observed.rows} observations"] * len(configurations)
        rng = np.random.default_rng(self._seed + 1)
        reach = normal_quantile(0.5 + level / 2)
        up, down = np.log(upper / mean), np.log(mean / lower)
        upper = mean * np.exp(np.hypot(up, reach * self._common_sd))
        lower = mean * np.exp(-np.hypot(down, reach * self._common_sd))
        for row, configuration in enumerate(configurations):
            observation = self._observed.get(configuration)
            if observation is None:
                continue
            own = _fit_se(observation) / observation.error
            spread = np.hypot(own, self._common_sd)
            mean[row] = observation.error
            lower[row] = observation.error * np.exp(-reach * spread)
            upper[row] = observation.error * np.exp(reach * spread)
            joint[:, row] = observation.error * np.exp(own * rng.standard_normal(draws))
            basis[row] = observation.source
            provenance[row] = observation.provenance
        joint *= np.exp(self._common_sd * rng.standard_normal((draws, 1)))
        top = 1.0 if self._evidence.task == "ser" else np.inf
        return Quality(
            np.minimum(mean, top),
            np.minimum(lower, top),
            np.minimum(upper, top),
            np.minimum(joint, top),
            tuple(basis),
            tuple(provenance),
        )


def group_sd(task: Task) -> dict[str, float]:
    """Spread of the offsets in log error, by factor of :func:`groups_of`."""
    return {
        "model": MODEL_SD if task == "asr" else STUDY_SD,
        "precision": PRECISION_SD,
        "windowing": WINDOWING_SD,
        "adapter": ADAPTER_SD,
        "depth": DEPTH_SD,
        "readout": READOUT_SD,
    }


def groups_of(configurations: Sequence[Configuration], task: Task) -> dict[str, list[str]]:
    """Labels that share an offset, by factor.

    Emotions are read best off a middle layer, so layers are labels and not an axis.
    """
    groups: dict[str, list[str]] = {
        "model": [c.model for c in configurations],
        "precision": [c.precision for c in configurations],
    }
    if task == "asr":
        groups["windowing"] = [
            f"ladder, tail {c.silence_s:g} s" if c.window_policy == "ladder" else "one window"
            for c in configurations
        ]
        groups["adapter"] = [f"{c.adapter} {c.recipe}" for c in configurations]
    if task == "ser":
        last = [c.exit_layer or c.architecture.encoder_layers for c in configurations]
        groups["depth"] = [
            f"{c.model} layer {layer}" for c, layer in zip(configurations, last, strict=True)
        ]
        groups["readout"] = [c.readout for c in configurations]
    return groups


def _by_configuration(
    observations: Sequence[Observation],
) -> dict[Configuration, Observation]:
    """The surest observation of each configuration."""
    surest: dict[Configuration, Observation] = {}
    for observation in observations:
        known = surest.get(observation.configuration)
        if known is None or _se(observation) < _se(known):
            surest[observation.configuration] = observation
    return surest


UNKNOWN_SE = 0.03
"""Standard error, as a share of the error, of a figure published without one."""


def _se(observation: Observation) -> float:
    if observation.error_se is None:
        return UNKNOWN_SE * observation.error
    return observation.error_se


def _fit_se(observation: Observation) -> float:
    """Standard error that shapes the curves: without what the study's speech shares."""
    return _se(observation) if observation.paired_se is None else observation.paired_se


def _common_sd(observations: Sequence[Observation]) -> float:
    """Spread of log error that everything measured on a study's speech shares.

    The speech is a sample; another sample would move all of it up or down. It
    widens every interval and cancels between configurations.
    """
    shared = [
        (_se(o) ** 2 - o.paired_se**2) / o.error**2 for o in observations if o.paired_se is not None
    ]
    return float(np.sqrt(max(np.median(shared), 0.0))) if shared else 0.0


def _on_the_axes(configuration: Configuration) -> bool:
    """Whether the curves describe it: mean pooling, and an adapter that has a rank, if any."""
    return configuration.reduction == "mean" and configuration.adapter in ("none", "lora")


def without(evidence: Evidence, configuration: Configuration) -> Evidence:
    """The evidence as if the study had not observed a configuration."""
    kept = tuple(
        o
        for o in evidence.observations
        if o.study != evidence.study or o.configuration != configuration
    )
    return replace(evidence, observations=kept)
