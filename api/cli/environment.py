"""The command ``settings``: what the environment sets, what it is now, what it is for."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from api.cli import options
from api.cli.errors import handled
from api.cli.output import print_json, print_table


def settings(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The table as the documentation has it.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    r"""List the settings with their values and defaults; secrets are hidden.

    \b
    speechplan settings
    SPEECHPLAN_PORT=9000 speechplan settings --json
    """
    with handled(as_json):
        from measurements.settings import Settings, described, table

        if markdown:
            typer.echo(table())
            return
        items = list(described(Settings()))
        if as_json:
            print_json({"items": [asdict(one) for one in items]})
            return
        rows = (
            (one.variable, one.value, "set" if one.set else "default", one.description)
            for one in items
        )
        print_table(("variable", "value", "", "what"), rows)
