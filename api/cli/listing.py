"""Commands that look things up: ``cost``, ``models``, ``devices``, ``studies``, ``coverage``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from api.cli import options
from api.cli.axes import with_axes
from api.cli.errors import handled, usage
from api.cli.given import Given
from api.cli.output import console, of_kind, print_json, print_table
from api.cli.stores import existing_store
from models_registry import Configuration

if TYPE_CHECKING:
    from measurements.profiles import DeviceProfile


@with_axes()
def cost(
    axes: Given,
    output_tokens: Annotated[
        int, typer.Option(min=1, max=448, help="Tokens decoded, end of text included.")
    ] = 20,
    classes: Annotated[int, typer.Option(min=0, help="Classes of the read-out (SER).")] = 0,
    merged: Annotated[
        bool,
        typer.Option(
            "--merged/--unmerged", help="Whether its adapter is merged and costs nothing."
        ),
    ] = True,
    convention: options.Convention = options.ConventionName.counted,
    as_json: options.Json = False,
) -> None:
    r"""Count FLOPs and memory of one forward pass over a full window.

    \b
    speechplan cost --model whisper-large-v3 --convention seed-2606.22790
    speechplan cost --model base --window-s 15 --token-stride 2 --reduction-layer 3 --json
    speechplan cost --model base --adapter lora --rank 32 --unmerged
    """
    with handled(as_json):
        from api.services.costs import cost_of

        configuration = Configuration(**axes)
        counted = cost_of(
            configuration,
            convention=convention.value,
            output_tokens=output_tokens,
            classes=classes,
            merged=merged,
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
    r"""List the models of the registry, and where their weights are.

    \b
    speechplan models
    """
    with handled(as_json):
        from api.services.models import list_models

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
    r"""List the devices that time and money can be asked for, and what was timed on them.

    \b
    speechplan devices
    """
    with handled(as_json):
        from api.services.devices import list_devices

        found = list_devices(existing_store())
        if as_json:
            print_json(found)
            return
        rows = (
            (
                f"{item.name} (this machine)" if item.local else item.name,
                item.kind,
                item.source,
                _timed(item.profile),
            )
            for item in found.items
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
    r"""List the studies: what is measured and published in each.

    \b
    speechplan studies --json
    """
    with handled(as_json):
        from api.services.studies import list_studies

        items = list_studies(existing_store())
        if as_json:
            print_json({"items": [item.model_dump(mode="json") for item in items]})
            return
        rows = ((i.id, i.task, str(i.measured), str(i.published)) for i in items)
        print_table(("study", "task", "measured", "published"), rows)


def coverage(plot: options.Plot = None, as_json: options.Json = False) -> None:
    r"""Show how often predictions that were verified or judged came out inside of their interval.

    Errors on speech that was measured before are judged as ratios to a configuration measured on
    the same utterances, levels on speech that was not known. Widths and interval scores (Gneiting
    and Raftery, 2007; lower is better) are in log. The histogram of probability integral
    transforms is flat where predictions are calibrated, high in the middle where intervals are
    too wide, and at the ends where they are too narrow.

    \b
    speechplan coverage
    speechplan coverage --plot predicted-and-measured.png
    """
    with handled(as_json):
        from measurements.coverage import coverage as coverage_of
        from measurements.coverage import verified

        store = existing_store()
        items = [] if store is None else coverage_of(store)
        if plot is not None:
            runs = [] if store is None else verified(store)
            if not runs:
                usage("no prediction was verified yet: there is nothing to draw")
            from api.charts import draw, verified_chart

            draw(verified_chart(runs), plot)
        if as_json:
            print_json({"items": [item.model_dump(mode="json") for item in items]})
            return
        if not items:
            console.print(
                "No prediction was verified yet: see 'speechplan verify' and 'speechplan judge'."
            )
            return
        rows = (
            (
                of_kind(i),
                i.study or i.basis or "all",
                f"{i.level:.0%}",
                f"{i.inside} of {i.predictions}",
                f"{i.share:.0%} ({i.lower:.0%} to {i.upper:.0%} at 95%)",
                f"{i.median_error:.1%}",
                f"{i.mean_width:.3f}",
                f"{i.mean_interval_score:.3f}",
                " ".join(map(str, i.pit)),
            )
            for i in items
        )
        titles = ("of", "predictions", "level", "inside", "share", "median error")
        scores = ("mean width", "interval score", "PIT by tenths")
        print_table((*titles, *scores), rows)
