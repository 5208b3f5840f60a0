"""The command ``fit``: scaling curves of a study, or of any table of axes and errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli import completing, options
from api.cli.errors import handled, usage
from api.cli.output import console, print_json, show_remarks
from api.cli.stores import existing_store

if TYPE_CHECKING:
    from planner.curves import ScalingModel


def fit(
    table: Annotated[
        Path | None,
        typer.Argument(help="CSV file with a header: axes, the error, labels.", show_default=False),
    ] = None,
    error: Annotated[str, typer.Option(help="The table's column of the error.")] = "error",
    axis: Annotated[
        list[str] | None,
        typer.Option(
            help="The table's column of an axis; may be repeated. All columns of positive numbers"
            " if left out."
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="Column of labels that shift the error, such as its source."),
    ] = None,
    error_se: Annotated[
        str | None, typer.Option(help="Column of the error's standard error.")
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            help="Study whose curves are fitted, in place of a table.",
            autocompletion=completing.studies,
        ),
    ] = None,
    alone: Annotated[
        bool,
        typer.Option("--alone", help="Fit the study's own rows, without those of other studies."),
    ] = False,
    plot: options.Plot = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    r"""Fit scaling curves and say what they rest on: form, held-out score, elasticities, offsets.

    Of a study these are the curves that its answers come from: all studies of the task meet in
    them, through an offset each. Of a table, the error may be of anything that is positive and
    better when lower. A column that can't be an axis and rows that repeat another in every column
    are left out with a warning.

    \b
    speechplan fit --study asr-librispeech-test-other
    speechplan fit --study asr-librispeech-mini-test-other --alone --plot curves.png
    speechplan fit results.csv --error wer --axis parameters --axis window_s --group source
    """
    with handled(as_json):
        if (table is None) == (study is None):
            usage("name either a CSV file or --study")
        warnings: tuple[str, ...] = ()
        if table is None:
            assert study is not None
            model, name = _of_study(study, alone, seed)
        else:
            name = error
            model, warnings = _of_table(table, error, axis or (), group or (), error_se, seed)
        if plot is not None:
            from api.charts import draw
            from api.fitted_chart import fitted_chart

            at = None if study is None else {"study": study}
            draw(fitted_chart(model, name=name, at=at), plot)
        if as_json:
            print_json({**model.summary().model_dump(mode="json"), "warnings": warnings})
            return
        show_remarks((f"warning: {said}" for said in warnings), quiet=as_json)
        typer.echo(model.report())
        if plot is not None:
            console.print(f"drawn in {plot}")


def _of_study(study: str, alone: bool, seed: int) -> tuple[ScalingModel, str]:
    from measurements.fits import FITS
    from measurements.studies import evidence_for, study_of
    from planner.errors import InsufficientDataError
    from planner.quality import curves_of

    store = existing_store()
    task = study_of(store, study).task
    evidence = evidence_for(task, study, store)
    rows = evidence.in_study if alone else evidence.observations
    if not rows:
        raise InsufficientDataError(f"study {study} has no measurement: measure one first")
    return curves_of(task, rows, seed=seed, fits=FITS), "WER" if task == "asr" else "1 - UA"


def _of_table(
    path: Path,
    error: str,
    axes: list[str] | tuple[()],
    groups: list[str] | tuple[()],
    error_se: str | None,
    seed: int,
) -> tuple[ScalingModel, tuple[str, ...]]:
    from measurements.curve_table import read_curve_table
    from planner.curves import fit as fit_curves

    read = read_curve_table(path, error=error, axes=axes, groups=groups, error_se=error_se)
    model = fit_curves(
        read.axes, read.error, error_se=read.error_se, groups=read.groups or None, seed=seed
    )
    return model, read.warnings
