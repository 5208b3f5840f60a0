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
    known se, lower, upper, level, utterances, reference_words and source.

    \b
    speechplan import results.csv
    speechplan measurements --output mine.jsonl
    """
    with handled(as_json):
        from measurements import exchange

        try:
            found = exchange.read_file(file)
        except exchange.RowsError as error:
            for wrong in error.errors[:_SHOWN]:
                typer.echo(f"{file}: {wrong}", err=True)
            raise
        new = writable_store().add_measurements(found)
        if as_json:
            print_json({"stored": new, "known": len(found) - new})
        else:
            console.print(f"{new} stored, {len(found) - new} known already")


_SHOWN = 20
