"""Commands about adapters: ``adapt``, ``adapters``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from api.cli import options
from api.cli.axes import with_axes
from api.cli.errors import handled, usage
from api.cli.given import Given
from api.cli.output import console, print_json, run_progress, show_remarks
from models_registry import Configuration

if TYPE_CHECKING:
    from measurements.adaptation.records import TrainingRecord


@with_axes(without=("readout", "precision", "batch_size"), adapter="lora")
def adapt(
    axes: Given,
    dataset: options.Dataset,
    subset: options.Subset = None,
    language: options.Language = None,
    name: options.Name = None,
    limit: options.Limit = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Most optimiser steps.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--lr", help="Peak learning rate; the kind's own if left out.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Utterances of a step.")] = None,
    weights: options.Weights = None,
    device: options.RunDevice = "auto",
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    r"""Train an adapter; the same command goes on where it was stopped.

    Recipe self-distilled teaches a model to do without silence behind the speech: what it
    hears in its full window is what it learns to hear in a tight one. No transcripts are
    needed.

    \b
    speechplan adapt --model tiny.en --adapter lora --rank 8 --recipe self-distilled \
        --dataset librispeech:~/LibriSpeech --subset train-clean-100
    """
    with handled(as_json):
        if axes["adapter"] == "none":
            usage("--adapter none trains nothing: choose lora, dama, partial or full")
        configuration = Configuration(**axes)
        from measurements.adaptation.records import Hyperparameters, peak_learning_rate
        from measurements.commands import adapt_command
        from measurements.datasets import open_dataset

        given = {
            "steps": steps,
            "learning_rate": learning_rate or peak_learning_rate(configuration),
            "batch_size": batch_size,
            "seed": seed,
        }
        hyperparameters = Hyperparameters(**{k: v for k, v in given.items() if v is not None})
        whole = open_dataset(
            dataset, subset, task=configuration.task, language=language, called=name
        )
        show_remarks(whole.remarks, quiet=as_json)
        speech = whole.limited(limit, seed)
        from measurements.adaptation.run import adapt as train

        with run_progress(configuration.label(), quiet=as_json) as report:
            record = train(
                configuration,
                speech,
                hyperparameters,
                device=device,
                weights=options.weights_source(weights, configuration),
                command=adapt_command(
                    configuration,
                    dataset,
                    hyperparameters,
                    subset=subset,
                    language=language,
                    called=name,
                    limit=limit,
                    weights=weights,
                ),
                on_progress=report,
            )
        if as_json:
            print_json({**record.model_dump(mode="json"), "remarks": whole.remarks})
        else:
            _show(record)


def adapters(as_json: options.Json = False) -> None:
    r"""List the adapters that were trained on this machine.

    \b
    speechplan adapters
    """
    with handled(as_json):
        from measurements.adaptation.records import records

        found = records()
        if as_json:
            print_json({"adapters": [record.model_dump(mode="json") for record in found]})
            return
        if not found:
            console.print("No adapter yet: 'speechplan adapt' trains one.")
            return
        for record in found:
            console.print(f"{record.key[:16]}  [bold]{record.configuration.label()}[/bold]")
            console.print(
                f"  {record.trainable_parameters:,} parameters, {record.data.name},"
                f" {record.training_flops / 1e12:.4g} TFLOPs, {record.training_s:.0f} s,"
                f" held-out loss {_losses(record)}"
            )


def _show(record: TrainingRecord) -> None:
    data = record.data
    console.print(f"[bold]{record.configuration.label()}[/bold]")
    console.print(
        f"  held-out loss {_losses(record)} at step {record.best_step} of"
        f" {record.losses[-1].step}, on {data.held_out_utterances} utterances of"
        f" {len(data.held_out_speakers)} speakers who are not trained on"
    )
    console.print(
        f"  {record.trainable_parameters:,} trainable parameters, {data.utterances} utterances"
        f" ({data.audio_s:.0f} s) of {data.name}"
        + (f", {data.left_out_utterances} left out" if data.left_out_utterances else "")
    )
    console.print(
        f"  {record.training_flops / 1e12:.4g} TFLOPs ({record.convention}) in"
        f" {record.training_s:.0f} s on {record.device.id}"
    )
    console.print(f"  key {record.key[:16]}")


def _losses(record: TrainingRecord) -> str:
    kept = next(point for point in record.losses if point.step == record.best_step)
    return f"{record.losses[0].held_out:.4f} to {kept.held_out:.4f}"
