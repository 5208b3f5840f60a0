"""Commands about single configurations: ``predict``, and ``judge`` of what it saved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli import completing, options
from api.cli.axes import with_axes
from api.cli.errors import handled, usage
from api.cli.given import Given
from api.cli.output import called, console, of_kind, print_json, print_table, value_text
from api.cli.setting import BUDGETS, predicting, with_setting
from api.cli.stores import existing_store, writable_store
from models_registry import Configuration
from models_registry.plans import read_configurations

if TYPE_CHECKING:
    from api.schemas import PredictionsResponse
    from measurements.judging import Judged


@with_axes(without=("model",))
@with_setting(
    without=("task", "model", "max_batch_size", *BUDGETS),
    also=("max_utilisation",),
)
def predict(
    axes: Given,
    given: Given,
    model: Annotated[
        str | None,
        typer.Option(
            help="Model, for example whisper-base.",
            rich_help_panel=options.PANEL,
            autocompletion=completing.models,
        ),
    ] = None,
    plan: Annotated[
        list[Path] | None,
        typer.Option(
            "--plan",
            "--config",
            help="A YAML or JSON file with a configuration, a list of them, or a plan; may be"
            " repeated. Instead of the options.",
            rich_help_panel=options.PANEL,
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Data set whose study is meant, instead of --study.",
            autocompletion=completing.datasets,
        ),
    ] = None,
    subset: options.Subset = None,
    language: options.Language = None,
    name: options.Name = None,
    save: Annotated[
        Path | None,
        typer.Option(
            help="Write the predictions to a JSON file, for 'judge' to hold them against"
            " what is measured later."
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    r"""Predict what a configuration will do: WER or UA, FLOPs, memory, time, energy, money.

    The numbers are those that a recommendation of it would have, each with its interval and what
    it rests on. Time, energy and money belong to a device.

    \b
    speechplan predict --model base --window-s 15 --device local
    speechplan predict --model small --device nvidia-l4 --usd-per-device-hour 0.8 --audio-s 30
    speechplan predict --config configurations.yaml --save predictions.json
    """
    with handled(as_json):
        configurations = _named(axes, model, plan or [])
        from api.schemas import PredictionsRequest
        from api.services.planning import PlanningService

        asked = PredictionsRequest(
            configurations=configurations,
            dataset=dataset,
            subset=subset,
            language=language,
            dataset_name=name,
            **predicting(given, configurations[0].task),
        )
        planning = PlanningService(existing_store())
        if save is None:
            answer = planning.predict(asked)
        else:
            from measurements.judgements import write_predictions

            saved = planning.predict_for_later(asked)
            write_predictions(saved, save)
            answer = planning.answer_of(saved)
        if as_json:
            print_json(answer)
            return
        _show(answer)
        if save is not None:
            typer.echo(f"saved in {save}: 'speechplan judge {save}' when something was measured")


def judge(
    file: Annotated[Path, typer.Argument(help="What 'predict --save' wrote.", show_default=False)],
    as_json: options.Json = False,
) -> None:
    r"""Judge saved predictions by what was measured after they were made.

    Of each configuration the first later measurement of the same study counts, for time, energy
    and memory on the same device and without other work beside it. What was measured before is
    no judgement. The coverage record counts each prediction once.

    \b
    speechplan judge predictions.json
    """
    with handled(as_json):
        from measurements.judgements import read_predictions
        from measurements.judging import judge as judged_by

        found = judged_by(read_predictions(file), writable_store())
        if as_json:
            print_json(found)
            return
        _show_judged(found)


def _named(axes: Given, model: str | None, files: list[Path]) -> list[Configuration]:
    """The configurations, by options or by files."""
    if (model is None) == (not files):
        usage("name either --model or --plan")
    if model is not None:
        return [Configuration(model=model, **axes)]
    fields = Configuration.model_fields
    for name, value in axes.items():
        if value != fields[name].get_default():
            usage(f"--plan says what is run: leave --{name.replace('_', '-')} out")
    return [one for file in files for one in read_configurations(file)]


def _show(answer: PredictionsResponse) -> None:
    from planner.words import chance

    def rows() -> Iterator[tuple[str, ...]]:
        for item in answer.items:
            label = item.configuration.label()
            for name, one in item.predictions.items():
                mean, interval = value_text(one.mean, one.unit), ""
                if one.lower < one.upper:
                    low, high = (value_text(end, one.unit) for end in (one.lower, one.upper))
                    interval = f"{low} to {high}"
                unit = "" if one.unit in ("fraction", "parameters") else f" {one.unit}"
                yield label, called(name), f"{mean}{unit}", interval, one.basis, one.provenance
                label = ""

    level = f"at {chance(answer.level)}"
    print_table(("configuration", "of", "predicted", level, "basis", "rests on"), rows())
    for place, item in enumerate(answer.items, 1):
        which = item.configuration.label() if len(answer.items) == 1 else f"configuration {place}"
        for note in item.notes:
            console.print(f"{which}: {note}")
        if item.deployment is not None:
            console.print(
                f"{which}: {item.deployment.devices} devices for"
                f" {item.deployment.arrivals_per_s:g} recordings per second"
            )
    console.print(f"Study: {answer.study}")
    console.print(f"Workload: {answer.workload}")
    for why in dict.fromkeys(answer.left_out.values()):
        names = [called(name) for name, said in answer.left_out.items() if said == why]
        console.print(f"Left out: {', '.join(names)}: {why}")


def _show_judged(found: Judged) -> None:
    from planner.words import chance

    since = f"{found.predicted_at:%Y-%m-%d %H:%M} UTC"
    every = found.judgements
    if not every:
        many = len(found.items)
        which = "the configuration" if many == 1 else f"any of the {many} configurations"
        console.print(f"Nothing was measured of {which} in {found.study} since {since}.")
    else:
        verdicts = {True: "inside", False: "outside", None: "no interval"}
        rows = (
            (
                one.configuration.label(),
                called(one.quantity)
                + ("" if one.predicted.unit == "fraction" else f", {one.predicted.unit}"),
                value_text(one.predicted.mean, one.predicted.unit),
                f"{value_text(one.predicted.lower, one.predicted.unit)} to"
                f" {value_text(one.predicted.upper, one.predicted.unit)}"
                f" at {chance(one.predicted.level)}",
                value_text(one.measured, one.predicted.unit),
                f"{one.ratio:.3g}",
                verdicts[one.inside],
                one.note or "",
            )
            for one in every
        )
        titles = ("configuration", "of", "predicted", "interval", "measured", "ratio", "verdict")
        print_table((*titles, "note"), rows)
    for item in found.items:
        for why in dict.fromkeys(item.waiting.values()):
            names = [called(name) for name, said in item.waiting.items() if said == why]
            console.print(f"{item.configuration.label()}: {', '.join(names)}: {why}")
    if found.coverage:
        print_table(
            ("of", "level", "inside", "share", "median error", "mean width", "interval score"),
            (
                (
                    of_kind(one),
                    chance(one.level),
                    f"{one.inside} of {one.predictions}",
                    f"{one.share:.0%} ({one.lower:.0%} to {one.upper:.0%} at 95%)",
                    f"{one.median_error:.1%}",
                    f"{one.mean_width:.3f}",
                    f"{one.mean_interval_score:.3f}",
                )
                for one in found.coverage
            ),
        )
        console.print(f"{found.new} new in the coverage record.")
