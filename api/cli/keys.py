"""Commands that look after the service's keys: ``keys create``, ``list``, ``revoke``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from api.cli import options
from api.cli.errors import handled, usage
from api.cli.output import console, print_json, print_table
from api.cli.stores import writable_store

keys = typer.Typer(
    help="Look after the keys that requests carry; once there is one, the service asks for it.",
    no_args_is_help=True,
)


class ScopeName(StrEnum):
    """What a key is for."""

    plan = "plan"
    measure = "measure"
    admin = "admin"


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Whom it is for.")],
    scope: Annotated[
        ScopeName,
        typer.Option(help="plan: ask; measure: start real runs too; admin: everything."),
    ] = ScopeName.plan,
    as_json: options.Json = False,
) -> None:
    r"""Make a key. It is shown once: the store keeps a digest only.

    \b
    speechplan keys create "the night sweep" --scope measure
    """
    with handled(as_json):
        from api.security import create_key

        key = create_key(writable_store(), name=name, scope=scope.value)
        if as_json:
            print_json({"key": key, "name": name, "scope": scope.value})
        else:
            typer.echo(key)


@keys.command("list")
def list_keys(as_json: options.Json = False) -> None:
    r"""List the keys, never their secrets.

    \b
    speechplan keys list
    """
    with handled(as_json):
        rows = [
            (
                key.id,
                key.name,
                key.scope,
                f"{key.created_at:%Y-%m-%d}",
                "" if key.revoked_at is None else f"{key.revoked_at:%Y-%m-%d}",
            )
            for key in writable_store().api_keys()
        ]
        columns = ("id", "name", "scope", "created", "revoked")
        if as_json:
            print_json({"items": [dict(zip(columns, row, strict=True)) for row in rows]})
        else:
            print_table(columns, rows)


@keys.command()
def revoke(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="The key's id.")],
    as_json: options.Json = False,
) -> None:
    r"""Take a key's rights away, at once and for good.

    \b
    speechplan keys revoke 41b2c9d07f3e8a65
    """
    with handled(as_json):
        if not writable_store().revoke_api_key(identifier):
            usage(f"no key {identifier} with rights: 'speechplan keys list' shows them")
        if as_json:
            print_json({"id": identifier, "revoked": True})
        else:
            console.print(f"{identifier} is revoked")
