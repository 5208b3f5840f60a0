"""The command that repeats a run; kept with it as its provenance."""

from __future__ import annotations

import shlex

from models_registry import Configuration

_FLAGS = {
    "window_s": "--window-s",
    "window_policy": "--window-policy",
    "tail_s": "--tail-s",
    "token_stride": "--token-stride",
    "reduction_layer": "--reduction-layer",
    "reduction": "--reduction",
    "exit_layer": "--exit-layer",
    "readout": "--readout",
    "adapter": "--adapter",
    "rank": "--rank",
    "unfrozen_layers": "--unfrozen-layers",
    "recipe": "--recipe",
    "precision": "--precision",
    "batch_size": "--batch-size",
}


def configuration_flags(configuration: Configuration) -> list[str]:
    """Command-line options that name a configuration, defaults left out."""
    flags = ["--task", configuration.task, "--model", configuration.model]
    fields = type(configuration).model_fields
    for name, flag in _FLAGS.items():
        value = getattr(configuration, name)
        if value != fields[name].default:
            flags += [flag, f"{value:g}" if isinstance(value, float) else str(value)]
    return flags


def measure_command(
    configuration: Configuration,
    dataset: str,
    *,
    subset: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    timing: bool = True,
) -> str:
    """``speechplan measure ...`` for a configuration on a data set."""
    words = ["speechplan", "measure", *configuration_flags(configuration), "--dataset", dataset]
    if subset is not None:
        words += ["--subset", subset]
    if limit is not None:
        words += ["--limit", str(limit)]
        if seed:
            words += ["--seed", str(seed)]
    if not timing:
        words.append("--no-timing")
    return shlex.join(words)
