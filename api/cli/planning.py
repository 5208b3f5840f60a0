"""Commands that need no model: ``recommend``, ``cost``, ``models``, ``studies``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli import options
from api.cli.axes import Axes, with_axes
from api.cli.errors import handled, usage
from api.cli.output import console, print_json, print_table, show_recommendation
from models_registry import Configuration, UnknownNameError

if TYPE_CHECKING:
    from measurements.profiles import DeviceProfile
    from measurements.store import Store
    from planner.question import Question

_OPTION = {"gflops_per_utterance": "gflops"}
"""Options that are called otherwise than the cost."""

_BUDGET = "Budget: upper bounds, all held at once"
_DEVICE = "Device and workload"
_CARE = "How careful to be"


def recommend(
    task: options.Task = "asr",
    gflops: Annotated[
        float | None,
        typer.Option(help="GFLOPs per utterance, the mean.", rich_help_panel=_BUDGET),
    ] = None,
    gflops_per_audio_second: Annotated[
        float | None, typer.Option(help="GFLOPs per second of audio.", rich_help_panel=_BUDGET)
    ] = None,
    rtf: Annotated[
        float | None,
        typer.Option(help="Computing seconds per second of audio.", rich_help_panel=_BUDGET),
    ] = None,
    memory_gib: Annotated[
        float | None,
        typer.Option(help="Weights, caches and activations in GiB.", rich_help_panel=_BUDGET),
    ] = None,
    parameters: Annotated[
        float | None, typer.Option(help="Parameters of the model.", rich_help_panel=_BUDGET)
    ] = None,
    usd_per_audio_hour: Annotated[
        float | None, typer.Option(help="USD per hour of audio.", rich_help_panel=_BUDGET)
    ] = None,
    target_wer: Annotated[
        float | None,
        typer.Option(
            help="WER to reach, a fraction; the cheapest that does.", rich_help_panel=_BUDGET
        ),
    ] = None,
    target_ua: Annotated[
        float | None,
        typer.Option(
            help="Unweighted accuracy to reach, a fraction (SER).", rich_help_panel=_BUDGET
        ),
    ] = None,
    minimise: Annotated[
        str,
        typer.Option(help="Cost to keep low when there is a target.", rich_help_panel=_BUDGET),
    ] = "gflops_per_utterance",
    relax: Annotated[
        list[str] | None,
        typer.Option(
            help="See what more of a budget would buy, for example gflops=+50%; +20% if left"
            " out. May be repeated.",
            rich_help_panel=_BUDGET,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Device that time and money belong to: local, or one that 'devices' lists.",
            rich_help_panel=_DEVICE,
        ),
    ] = None,
    usd_per_device_hour: Annotated[
        float | None, typer.Option(help="Price of the device.", rich_help_panel=_DEVICE)
    ] = None,
    audio_s: Annotated[
        float | None,
        typer.Option(
            help="Plan for recordings of this duration instead of the study's.",
            rich_help_panel=_DEVICE,
        ),
    ] = None,
    tokens_per_audio_s: Annotated[
        float | None,
        typer.Option(help="Tokens said per second of audio.", rich_help_panel=_DEVICE),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(help="Study to answer for; 'studies' lists them.", rich_help_panel=_DEVICE),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Only these models; may be repeated.", rich_help_panel=_DEVICE),
    ] = None,
    convention: options.Convention = options.ConventionName.counted,
    level: Annotated[
        float, typer.Option(help="Probability of the intervals.", rich_help_panel=_CARE)
    ] = 0.90,
    risk: Annotated[
        float,
        typer.Option(help="Tolerated probability of being wrong.", rich_help_panel=_CARE),
    ] = 0.10,
    trials: Annotated[
        int,
        typer.Option(
            help="Optuna trials between the lattice's windows and strides.", rich_help_panel=_CARE
        ),
    ] = 0,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    r"""Recommend a configuration for a budget, or the cheapest one for a target.

    \b
    speechplan recommend --gflops 200
    speechplan recommend --rtf 0.05 --device local --relax rtf=+50%
    speechplan recommend --target-wer 0.06 --memory-gib 2 --json
    """
    with handled(as_json):
        from api.services import PlanningService

        question = make_question(
            task=task,
            study=study,
            budget={
                "gflops_per_utterance": gflops,
                "gflops_per_audio_second": gflops_per_audio_second,
                "rtf": rtf,
                "memory_gib": memory_gib,
                "parameters": parameters,
                "usd_per_audio_hour": usd_per_audio_hour,
            },
            target_wer=target_wer,
            target_ua=target_ua,
            minimise=minimise,
            relax=relaxations(relax or ()),
            convention=convention.value,
            device=device,
            usd_per_device_hour=usd_per_device_hour,
            audio_s=audio_s,
            tokens_per_audio_s=tokens_per_audio_s,
            models=model,
            level=level,
            risk=risk,
            trials=trials,
            seed=seed,
        )
        answer = PlanningService(existing_store()).recommend(question)
        if as_json:
            print_json(answer)
        else:
            show_recommendation(answer.recommendation, answer.study)


def relaxations(texts: Iterable[str]) -> dict[str, float]:
    """Factors by cost of ``gflops=+20%``: the names are those of the budget's options."""
    from planner.question import Budget

    known = {_OPTION.get(name, name): name for name in Budget.model_fields}
    factors = {}
    for text in texts:
        name, _, more = text.partition("=")
        match = re.fullmatch(r"\+(\d+(?:\.\d+)?)%", more)
        if match is None or float(match[1]) == 0:
            usage(f"--relax {text}: a budget and how much more, for example gflops=+20%")
        cost = name.replace("-", "_")
        if cost not in known and cost not in known.values():
            raise UnknownNameError("budget", name, [k.replace("_", "-") for k in known])
        factors[known.get(cost, cost)] = 1 + float(match[1]) / 100
    return factors


def make_question(
    *,
    audio_s: float | None = None,
    tokens_per_audio_s: float | None = None,
    models: list[str] | None = None,
    **fields: object,
) -> Question:
    """A question from what the options say.

    Raises:
        ValidationError: They are out of range or contradict each other.
    """
    from planner.question import Question
    from planner.workload import DEFAULT_WORKLOAD, Workload

    workload = None
    if audio_s is not None:
        workload = Workload(
            durations_s=(audio_s,),
            tokens_per_audio_s=tokens_per_audio_s or DEFAULT_WORKLOAD.tokens_per_audio_s,
            source=f"every recording {audio_s:g} s",
        )
    elif tokens_per_audio_s is not None:
        usage("--tokens-per-audio-s goes with --audio-s")
    return Question.model_validate(
        {**fields, "workload": workload, "models": tuple(models) if models else None}
    )


def existing_store() -> Store | None:
    """The store where there is one; reading needs none."""
    from measurements.settings import Settings

    url = Settings().database_url
    if url.startswith("sqlite"):
        from pathlib import Path

        if not Path(url.removeprefix("sqlite:///")).exists():
            return None
    from measurements.store import Store

    return Store.open(url)


@with_axes(without=("adapter", "rank", "unfrozen_layers", "recipe", "tail_s"))
def cost(
    axes: Axes,
    output_tokens: Annotated[
        int, typer.Option(min=1, max=448, help="Tokens decoded, end of text included.")
    ] = 20,
    classes: Annotated[int, typer.Option(min=0, help="Classes of the read-out (SER).")] = 0,
    convention: options.Convention = options.ConventionName.counted,
    as_json: options.Json = False,
) -> None:
    r"""Count FLOPs and memory of one forward pass over a full window.

    \b
    speechplan cost --model whisper-large-v3 --convention seed-2606.22790
    speechplan cost --model base --window-s 15 --token-stride 2 --reduction-layer 3 --json
    """
    with handled(as_json):
        from api.services import cost_of

        configuration = Configuration(**axes)
        counted = cost_of(
            configuration,
            convention=convention.value,
            output_tokens=output_tokens,
            classes=classes,
        )
        if as_json:
            print_json(counted)
            return
        tokens = "" if counted.output_tokens is None else f", {output_tokens} output tokens"
        console.print(f"[bold]{configuration.label()}[/bold], one window{tokens}")
        console.print(f"  {counted.gflops:,.4g} GFLOPs ({counted.convention})")
        for part in counted.breakdown:
            console.print(f"    {part.component:<12} {part.flops / 1e9:>12,.3f} GFLOPs")
        console.print(f"  {counted.memory_bytes / 2**20:,.0f} MiB")
        for name, size in counted.memory_breakdown.items():
            console.print(f"    {name:<12} {size / 2**20:>12,.1f} MiB")


def models(as_json: options.Json = False) -> None:
    """List the models of the registry, and where their weights are."""
    with handled(as_json):
        from api.services import list_models

        items = list_models()
        if as_json:
            print_json({"items": [item.model_dump(mode="json") for item in items]})
            return
        rows = (
            (
                item.name,
                " ".join(item.tasks),
                f"{item.parameters / 1e6:,.1f} M",
                str(item.encoder_layers),
                item.weights,
                item.hub_id,
            )
            for item in items
        )
        print_table(("model", "tasks", "parameters", "layers", "weights", "hub"), rows)


def devices(as_json: options.Json = False) -> None:
    """List the devices that time and money can be asked for, and what was timed on them."""
    with handled(as_json):
        from measurements.devices import local_device
        from measurements.profiles import device_profiles
        from models_registry.devices import DEVICES

        local = local_device()
        profiles = {profile.device.id: profile for profile in device_profiles(existing_store())}
        sources = {
            name: (profile.device.kind, "its timed runs") for name, profile in profiles.items()
        }
        sources.setdefault(local.id, (local.kind, "a probe"))
        sources |= {d.name: (d.kind, d.source) for d in DEVICES}
        if as_json:
            items = [
                {
                    "name": name,
                    "kind": kind,
                    "source": source,
                    "profile": profiles[name].model_dump(mode="json") if name in profiles else None,
                }
                for name, (kind, source) in sources.items()
            ]
            print_json({"items": items, "local": local.id})
            return
        rows = (
            (
                f"{name} (this machine)" if name == local.id else name,
                kind,
                source,
                _timed(profiles.get(name)),
            )
            for name, (kind, source) in sources.items()
        )
        print_table(("device", "kind", "rates from", "timed"), rows)


def _timed(profile: DeviceProfile | None) -> str:
    if profile is None:
        return "never"
    when = "" if profile.last is None else f", last {profile.last:%Y-%m-%d}"
    return (
        f"{profile.configurations} configurations of {profile.models} models,"
        f" {profile.runs} runs{when}"
    )


def studies(as_json: options.Json = False) -> None:
    """List the studies: what is measured and published in each."""
    with handled(as_json):
        from api.services import list_studies

        items = list_studies(existing_store())
        if as_json:
            print_json({"items": [item.model_dump(mode="json") for item in items]})
            return
        rows = ((i.id, i.task, str(i.measured), str(i.published)) for i in items)
        print_table(("study", "task", "measured", "published"), rows)
