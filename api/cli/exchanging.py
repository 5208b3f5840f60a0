"""The command ``import``: measurements that were made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from api.cli import options
from api.cli.errors import handled
from api.cli.output import console, print_json, show_remarks
from api.cli.stores import writable_store


def import_measurements(
    file: Annotated[Path, typer.Argument(help="A .csv, .jsonl or .parquet file.")],
    unit: Annotated[
        Literal["fraction", "percent"] | None,
        typer.Option(help="Unit of wer, ua, se, lower and upper, where no column unit says it."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    r"""Take in measurements that were made elsewhere, all of a file or none.

    Columns are study, dataset, provenance, wer or ua, their unit (fraction or percent; --unit
    states it of all rows, and it has to be stated if a figure is 1 or more), the fields of a
    configuration (model, window_s, token_stride and so on; defaults where left out), and where
    known se, lower, upper, level, utterances, reference_words, language and source. Columns of
    other names are refused. A row whose key is known has to say what is known, and is not stored
    again. Times and costs are read from JSONL only: a new row of a table that has them is refused.

    \b
    speechplan import results.csv
    speechplan import leaderboard.csv --unit percent
    speechplan import mine.jsonl
    """
    with handled(as_json):
        from measurements import exchange

        store = writable_store()
        try:
            rows = exchange.read_rows(file)
            found = exchange.from_rows(rows, store, unit)
        except exchange.RowsError as error:
            for wrong in error.errors[:_SHOWN]:
                typer.echo(f"{file}: {wrong}", err=True)
            raise
        new, known = exchange.keep(found, store)
        assumed = exchange.assumption_of(rows, found) if unit is None else None
        remarks = [*filter(None, [assumed]), *exchange.remarks_of(found)]
        if as_json:
            print_json({"stored": new, "known": known} | ({"remarks": remarks} if remarks else {}))
            return
        console.print(f"{new} stored, {known} known already")
        show_remarks(remarks, quiet=as_json)


_SHOWN = 20
