"""The options that name a configuration, given to whichever command asks for them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated, Any

import typer

from api.cli import completing
from api.cli.given import with_options
from api.cli.options import PANEL, Task
from models_registry import Configuration
from models_registry.configuration import (
    AdapterKind,
    Precision,
    Readout,
    Recipe,
    Reduction,
    WindowPolicy,
)

_Model = Annotated[
    str,
    typer.Option(
        "--model",
        help="Model, for example whisper-base.",
        rich_help_panel=PANEL,
        autocompletion=completing.models,
    ),
]
_WindowS = Annotated[
    float,
    typer.Option(
        "--window-s", help="Longest audio one forward pass sees, in seconds.", rich_help_panel=PANEL
    ),
]
_WindowPolicy = Annotated[
    WindowPolicy,
    typer.Option(
        "--window-policy",
        help="Cut longer audio (chunk), and choose the window by its length (ladder); or drop"
        " what is left over (truncate).",
        rich_help_panel=PANEL,
    ),
]
_TailS = Annotated[
    float | None,
    typer.Option(
        "--tail-s",
        min=0,
        help="Silence left behind the speech in a short window, in seconds; left out: 0.5 on the"
        " ladder, none elsewhere and with a self-distilled adapter.",
        rich_help_panel=PANEL,
    ),
]
_TokenStride = Annotated[
    float,
    typer.Option(
        "--token-stride",
        help="Encoder tokens merged into one; fractions allowed.",
        rich_help_panel=PANEL,
    ),
]
_ReductionLayer = Annotated[
    int | None,
    typer.Option(
        "--reduction-layer",
        help="Encoder layer after which they are: 0 is the stem. The encoder's output if left out.",
        rich_help_panel=PANEL,
    ),
]
_Reduction = Annotated[
    Reduction,
    typer.Option("--reduction", help="Pool the tokens or pick one.", rich_help_panel=PANEL),
]
_ExitLayer = Annotated[
    int | None,
    typer.Option("--exit-layer", help="Last encoder layer that runs (SER).", rich_help_panel=PANEL),
]
_Readout = Annotated[
    Readout,
    typer.Option(
        "--readout", help="How emotions are read off the tokens (SER).", rich_help_panel=PANEL
    ),
]
_Precision = Annotated[
    Precision, typer.Option("--precision", help="Number format.", rich_help_panel=PANEL)
]
_BatchSize = Annotated[
    int,
    typer.Option("--batch-size", min=1, help="Forward passes run together.", rich_help_panel=PANEL),
]
_Adapter = Annotated[
    AdapterKind, typer.Option("--adapter", help="Kind of adaptation.", rich_help_panel=PANEL)
]
_Rank = Annotated[
    int | None,
    typer.Option("--rank", min=1, help="Rank of lora, highest of dama.", rich_help_panel=PANEL),
]
_UnfrozenLayers = Annotated[
    int,
    typer.Option(
        "--unfrozen-layers",
        min=0,
        help="Encoder layers from the top that are trained as a whole.",
        rich_help_panel=PANEL,
    ),
]
_Recipe = Annotated[
    Recipe | None,
    typer.Option(
        "--recipe",
        help="What the adapter learns from: transcripts, or the model's own full-window output."
        " supervised if left out.",
        rich_help_panel=PANEL,
    ),
]

_OPTIONS: dict[str, Any] = {
    "task": Task,
    "model": _Model,
    "window_s": _WindowS,
    "window_policy": _WindowPolicy,
    "tail_s": _TailS,
    "token_stride": _TokenStride,
    "reduction_layer": _ReductionLayer,
    "reduction": _Reduction,
    "exit_layer": _ExitLayer,
    "readout": _Readout,
    "adapter": _Adapter,
    "rank": _Rank,
    "unfrozen_layers": _UnfrozenLayers,
    "recipe": _Recipe,
    "precision": _Precision,
    "batch_size": _BatchSize,
}


def with_axes(
    *, without: Collection[str] = (), **defaults: Any
) -> Callable[[Callable[..., None]], Any]:
    """Gives a command an option for each field of a configuration.

    The command's parameter ``axes`` receives what was given, by field; an option that was
    left out has the configuration's own default.

    Args:
        without: Fields that the command has no option for.
        defaults: Where the command's differs from the configuration's.
    """
    fields = Configuration.model_fields
    return with_options(
        "axes",
        {
            name: (option, defaults.get(name, fields[name].get_default()))
            for name, option in _OPTIONS.items()
            if name not in without
        },
    )
