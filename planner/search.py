"""Optuna where a lattice ends: between its points, and in spaces of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from models_registry import MODELS
from models_registry.architectures import WhisperArchitecture
from models_registry.configuration import Configuration, Precision, WindowPolicy
from planner.arrays import Array
from planner.space import STRIDES, WINDOWS_S

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.samplers import BaseSampler

BATCH = 16
WINDOW_STEP_S = 0.5
STRIDE_STEP = 0.05

Evaluate = Callable[[Sequence[Configuration]], tuple[Array, Array]]
"""Objective and worst violated constraint (0 or less is feasible), each ``(n,)``."""

Suggest = Callable[["Trial"], Configuration]
"""A space: asks a trial for numbers and choices, and makes a configuration of them."""


@dataclass(frozen=True)
class Choices:
    """What is chosen by name; windows, strides and depths are numbers."""

    models: tuple[str, ...]
    policies: tuple[WindowPolicy, ...]
    precisions: tuple[Precision, ...]

    @classmethod
    def of(cls, configurations: Iterable[Configuration]) -> Choices:
        """Those of some configurations."""
        rows = [(c.model, c.window_policy, c.precision) for c in configurations]
        models, policies, precisions = (tuple(sorted(set(one))) for one in zip(*rows, strict=True))
        return cls(models, policies, precisions)


def plain(configurations: Iterable[Configuration]) -> list[Configuration]:
    """Those that can be searched between: no adapter, nothing cut off."""
    return [c for c in configurations if c.adapter == "none" and c.window_policy != "truncate"]


def search_between(
    evaluate: Evaluate,
    choices: Choices,
    start: Sequence[Configuration],
    *,
    trials: int,
    seed: int,
    sampler: BaseSampler | None = None,
) -> list[Configuration]:
    """Searches windows, strides and layers of some Whisper models.

    Args:
        evaluate: Judges a batch of configurations.
        choices: Models, window policies and precisions to search.
        start: Where to begin; the lattice's own front.
        trials: How many configurations to try.
        seed: Seed of the sampler.
        sampler: Another than TPE.

    Returns:
        Feasible configurations that were begun with or tried, best first.
    """
    return search(
        evaluate,
        partial(_suggest, choices),
        start,
        parameters=_parameters,
        trials=trials,
        seed=seed,
        sampler=sampler,
    )


def search(
    evaluate: Evaluate,
    suggest: Suggest,
    start: Sequence[Configuration] = (),
    *,
    parameters: Callable[[Configuration], Mapping[str, str | float]] | None = None,
    trials: int,
    seed: int,
    sampler: BaseSampler | None = None,
) -> list[Configuration]:
    """Searches a space by ask and tell, in batches.

    TPE, since spaces mix categories with numbers that depend on them.

    Args:
        evaluate: Judges a batch of configurations.
        suggest: Makes a configuration of what it asks a trial for.
        start: Configurations to begin with.
        parameters: What a trial would have to be told for one of those; without it they are
            judged, and the sampler learns nothing from them.
        trials: How many configurations to try.
        seed: Seed of the sampler.
        sampler: Another than TPE.

    Returns:
        Feasible configurations that were begun with or tried, best first.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if sampler is None:
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=BATCH)
    study = optuna.create_study(direction="minimize", sampler=sampler)
    feasible: dict[Configuration, float] = {}
    if start:
        objective, violation = evaluate(start)
        feasible = {
            configuration: float(value)
            for configuration, value, worst in zip(start, objective, violation, strict=True)
            if worst <= 0
        }
        # What is near the budget teaches most; half of the trials are left for the sampler.
        if parameters is not None:
            order = np.lexsort((objective, np.maximum(violation, 0.0)))
            for place in order[: trials // 2].tolist():
                study.enqueue_trial(dict(parameters(start[place])))
    for first in range(0, trials, BATCH):
        asked = [study.ask() for _ in range(min(BATCH, trials - first))]
        batch = [suggest(trial) for trial in asked]
        objective, violation = evaluate(batch)
        for trial, configuration, value, worst in zip(
            asked, batch, objective, violation, strict=True
        ):
            trial.set_constraint("budgets", float(worst))
            study.tell(trial, float(value))
            if worst <= 0:
                feasible[configuration] = float(value)
    return sorted(feasible, key=feasible.__getitem__)


def _suggest(choices: Choices, trial: Trial) -> Configuration:
    suggest = trial.suggest_float
    model = trial.suggest_categorical("model", choices.models)
    policy = trial.suggest_categorical("window_policy", choices.policies)
    precision = trial.suggest_categorical("precision", choices.precisions)
    window_s = suggest("window_s", min(WINDOWS_S), max(WINDOWS_S), step=WINDOW_STEP_S)
    stride = suggest("token_stride", 1.0, max(STRIDES), step=STRIDE_STEP)
    depth = suggest("depth", 0.0, 1.0, step=0.5)
    architecture = MODELS.get(model)
    assert isinstance(architecture, WhisperArchitecture)
    return Configuration(
        model=model,
        window_policy=policy,
        precision=precision,
        window_s=round(window_s, 2),
        token_stride=round(stride, 2),
        reduction_layer=round(depth * architecture.encoder_layers),
    )


def _parameters(configuration: Configuration) -> dict[str, str | float]:
    layers = configuration.architecture.encoder_layers
    layer = configuration.reduction_layer
    return {
        "model": configuration.model,
        "window_policy": configuration.window_policy,
        "precision": configuration.precision,
        "window_s": configuration.window_s,
        "token_stride": configuration.token_stride,
        "depth": 1.0 if layer is None else float(np.round(2 * layer / layers) / 2),
    }
