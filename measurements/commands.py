"""The command that repeats a run; kept with it as its provenance."""

from __future__ import annotations

import shlex

from measurements.adaptation.records import Hyperparameters
from models_registry import Configuration
from models_registry.adapters import trained_form
from models_registry.flags import configuration_flags


def measure_command(
    configuration: Configuration,
    dataset: str,
    *,
    subset: str | None = None,
    language: str | None = None,
    called: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    timing: bool = True,
    adapter_key: str | None = None,
    weights: str | None = None,
) -> str:
    """``speechplan measure ...`` for a configuration on a data set."""
    words = ["speechplan", "measure", *configuration_flags(configuration), "--dataset", dataset]
    if adapter_key is not None:
        words += ["--adapter-key", adapter_key]
    words += _speech_flags(subset, language, called)
    if limit is not None:
        words += ["--limit", str(limit)]
    if weights is not None:
        words += ["--weights", weights]
    if seed:
        words += ["--seed", str(seed)]
    if not timing:
        words.append("--no-timing")
    return shlex.join(words)


def adapt_command(
    configuration: Configuration,
    dataset: str,
    hyperparameters: Hyperparameters,
    *,
    subset: str | None = None,
    language: str | None = None,
    called: str | None = None,
    limit: int | None = None,
    weights: str | None = None,
) -> str:
    """``speechplan adapt ...`` for a configuration on a data set, all settings said."""
    h = hyperparameters
    words = ["speechplan", "adapt", *configuration_flags(trained_form(configuration))]
    words += ["--dataset", dataset, *_speech_flags(subset, language, called)]
    if limit is not None:
        words += ["--limit", str(limit)]
    if weights is not None:
        words += ["--weights", weights]
    words += ["--steps", str(h.steps), "--lr", f"{h.learning_rate:g}"]
    words += ["--batch-size", str(h.batch_size), "--seed", str(h.seed)]
    return shlex.join(words)


def _speech_flags(subset: str | None, language: str | None, called: str | None) -> list[str]:
    given = {"--subset": subset, "--language": language, "--name": called}
    return [word for flag, value in given.items() if value is not None for word in (flag, value)]
