"""Optuna where a lattice ends: windows and strides between its points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from models_registry import MODELS
from models_registry.architectures import WhisperArchitecture
from models_registry.configuration import Configuration
from planner.arrays import Array
from planner.space import STRIDES, WINDOWS_S

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

BATCH = 16
WINDOW_STEP_S = 0.5
STRIDE_STEP = 0.05

Evaluate = Callable[[Sequence[Configuration]], tuple[Array, Array]]
"""Objective and worst violated constraint (0 or less is feasible), each ``(n,)``."""


def search_between(
    evaluate: Evaluate,
    models: Sequence[str],
    start: Sequence[Configuration],
    *,
    trials: int,
    seed: int,
    sampler: BaseSampler | None = None,
) -> list[Configuration]:
    """Searches windows, strides and layers of some models by ask and tell.

    TPE, since the space mixes a category with numbers that depend on it; it
    begins at the lattice's own front.

    Args:
        evaluate: Judges a batch of configurations.
        models: Models to search, Whisper only.
        start: Where to begin.
        trials: How many configurations to try.
        seed: Seed of the sampler.
        sampler: Another than TPE.

    Returns:
        Feasible configurations that were tried, best first.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if sampler is None:
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=BATCH)
    study = optuna.create_study(direction="minimize", sampler=sampler)
    for configuration in start:
        study.enqueue_trial(_parameters(configuration))
    feasible: dict[Configuration, float] = {}
    for first in range(0, trials, BATCH):
        asked = [study.ask() for _ in range(min(BATCH, trials - first))]
        batch = [_suggest(trial, models) for trial in asked]
        objective, violation = evaluate(batch)
        for trial, configuration, value, worst in zip(
            asked, batch, objective, violation, strict=True
        ):
            trial.set_constraint("budgets", float(worst))
            study.tell(trial, float(value))
            if worst <= 0:
                feasible[configuration] = float(value)
    return sorted(feasible, key=feasible.__getitem__)


def _suggest(trial: object, models: Sequence[str]) -> Configuration:
    suggest = trial.suggest_float  # type: ignore[attr-defined]
    model = trial.suggest_categorical("model", list(models))  # type: ignore[attr-defined]
    window_s = suggest("window_s", min(WINDOWS_S), max(WINDOWS_S), step=WINDOW_STEP_S)
    stride = suggest("token_stride", 1.0, max(STRIDES), step=STRIDE_STEP)
    depth = suggest("depth", 0.0, 1.0, step=0.5)
    architecture = MODELS.get(model)
    assert isinstance(architecture, WhisperArchitecture)
    return Configuration(
        model=model,
        window_s=round(window_s, 2),
        token_stride=round(stride, 2),
        reduction_layer=round(depth * architecture.encoder_layers),
    )


def _parameters(configuration: Configuration) -> dict[str, str | float]:
    layers = configuration.architecture.encoder_layers
    layer = configuration.reduction_layer
    return {
        "model": configuration.model,
        "window_s": configuration.window_s,
        "token_stride": configuration.token_stride,
        "depth": 1.0 if layer is None else float(np.round(2 * layer / layers) / 2),
    }
