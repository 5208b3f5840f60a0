"""The commands, put together."""

from __future__ import annotations

import warnings
from inspect import getdoc
from typing import Annotated

import typer

from api.cli import (
    adapting,
    calibrating,
    comparing,
    demo,
    exchanging,
    keys,
    listing,
    planning,
    running,
    serving,
    sweeping,
)

app = typer.Typer(
    name="speechplan",
    help="Plans compute for speech models: which model, window, token resolution and precision"
    " for a budget, with honest intervals, checked by real runs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Exit codes: 0 answered, 2 bad usage, 3 no feasible configuration, 4 too little data,"
    " 1 anything else.",
)

for _command in (
    planning.recommend,
    planning.pareto,
    listing.cost,
    listing.models,
    listing.devices,
    listing.studies,
    listing.coverage,
    running.measure,
    running.verify,
    running.transcribe,
    running.classify,
    calibrating.calibrate,
    sweeping.sweep,
    sweeping.sweeps,
    comparing.measurements,
    comparing.compare,
    comparing.curves,
    adapting.adapt,
    adapting.adapters,
    serving.serve,
    serving.worker,
    exchanging.import_measurements,
    demo.demo,
):
    # Behind a backspace lines are kept as they are; docstrings spell it as the escape.
    app.command(
        # A word of the language can't be a function's name.
        name="import" if _command is exchanging.import_measurements else None,
        help=(getdoc(_command) or "").replace(r"\b", "\b"),
    )(_command)
app.add_typer(keys.keys, name="keys")
app.add_typer(serving.db, name="db")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("speechplan"))
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    # Libraries' deprecations are for developers, who see them in the tests.
    warnings.simplefilter("ignore")


def main() -> None:
    """Entry of the console script."""
    app()
