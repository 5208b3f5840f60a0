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
    database,
    demo,
    environment,
    exchanging,
    fitting,
    keys,
    listing,
    planning,
    predicting,
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
    add_completion=True,
    epilog="Exit codes: 0 answered, 2 bad usage, 3 no feasible configuration, 4 too little data,"
    " 1 anything else.",
)

_PANELS = {
    "Ask": (
        planning.recommend,
        predicting.predict,
        planning.pareto,
        planning.export,
        listing.cost,
    ),
    "Measure": (
        running.measure,
        running.verify,
        sweeping.sweep,
        adapting.adapt,
        calibrating.calibrate,
        exchanging.import_measurements,
    ),
    "Look": (
        comparing.measurements,
        comparing.compare,
        comparing.curves,
        fitting.fit,
        sweeping.sweeps,
        listing.studies,
        listing.models,
        listing.devices,
        adapting.adapters,
        predicting.judge,
        listing.coverage,
    ),
    "Run": (running.transcribe, running.classify, demo.demo),
    "Serve": (serving.serve, serving.worker, environment.settings),
}

for _panel, _commands in _PANELS.items():
    for _command in _commands:
        app.command(
            # A word of the language can't be a function's name.
            name="import" if _command is exchanging.import_measurements else None,
            rich_help_panel=_panel,
        )(_command)
app.add_typer(keys.keys, name="keys", rich_help_panel="Serve")
app.add_typer(database.db, name="db", rich_help_panel="Serve")


def _explain(group: typer.Typer) -> None:
    """Docstrings as help: paragraphs are filled; behind a backspace lines are kept as they are."""
    for command in group.registered_commands:
        paragraphs = (getdoc(command.callback) or "").split("\n\n")
        command.help = "\n\n".join(
            text.replace(r"\b", "\b") if text.startswith(r"\b") else " ".join(text.split())
            for text in paragraphs
        )
    for below in group.registered_groups:
        if below.typer_instance is not None:
            _explain(below.typer_instance)


_explain(app)


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
