"""The command ``import``: measurements that were made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli import options
from api.cli.errors import handled
from api.cli.output import console, print_json
from api.cli.stores import writable_store


def import_measurements(
    file: Annotated[Path, typer.Argument(help="A .csv, .jsonl or .parquet file.")],
    as_json: options.Json = False,
) -> None:
    r"""Take in measurements that were made elsewhere, all of a file or none.

    Columns are study, dataset, provenance, wer or ua (a fraction), the fields of a
    configuration (model, window_s, token_stride and so on; defaults where left out), and where
    known se, lower, upper, level, utterances, reference_words, language and source. A row whose
    key is known has to say what is known, and is not stored again. Times and costs are read from
    JSONL only: a new row of a table that has them is refused.

    \b
    speechplan import results.csv
    speechplan import mine.jsonl
    """
    with handled(as_json):
        from measurements import exchange

        try:
            new, known = exchange.take_in(exchange.read_rows(file), writable_store())
        except exchange.RowsError as error:
            for wrong in error.errors[:_SHOWN]:
                typer.echo(f"{file}: {wrong}", err=True)
            raise
        if as_json:
            print_json({"stored": new, "known": known})
        else:
            console.print(f"{new} stored, {known} known already")


_SHOWN = 20
