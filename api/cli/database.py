"""Commands that look after the database: ``db upgrade``, ``backup``, ``restore``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli import options
from api.cli.errors import handled
from api.cli.output import console, print_json

if TYPE_CHECKING:
    from measurements.settings import Settings
    from measurements.store import Store

db = typer.Typer(help="Look after the database.", no_args_is_help=True)

Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]


@db.command()
def upgrade(as_json: options.Json = False) -> None:
    r"""Create the tables, or bring them up to date.

    \b
    speechplan db upgrade
    """
    with handled(as_json):
        from measurements.jobs.queue import JobQueue
        from measurements.settings import Settings
        from measurements.store import Store

        settings = Settings()
        store = Store.open(settings.database_url)
        queue = JobQueue(settings)
        queue.prepare()
        queue.close()
        store.close()
        if as_json:
            print_json({"database_url": store.shown_url, "status": "up to date"})
        else:
            console.print(f"{store.shown_url} is up to date")


@db.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where the copy goes.")],
    force: Force = False,
    as_json: options.Json = False,
) -> None:
    r"""Copy the store to a file, while it is in use.

    Measurements, studies, sweeps, verifications and keys are in it; jobs are not: 'db restore'
    queues again what was unfinished. PostgreSQL's own pg_dump does it there.

    \b
    speechplan db backup /backups/speechplan-$(date +%F).db
    """
    with handled(as_json):
        from measurements.settings import Settings
        from measurements.store.backup import back_up

        back_up(Settings().database_url, file, force=force)
        size = file.stat().st_size
        if as_json:
            print_json({"file": str(file), "bytes": size})
        else:
            console.print(f"{file}: {size:,} bytes")


@db.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A copy that 'db backup' made.")],
    force: Force = False,
    as_json: options.Json = False,
) -> None:
    r"""Put a copy in the store's place, with service and workers stopped.

    The file is checked first; one of an older version is brought up to date.

    \b
    speechplan db restore /backups/speechplan-2026-11-24.db --force
    """
    with handled(as_json):
        from measurements.settings import Settings
        from measurements.store import backup
        from measurements.store.store import Store

        settings = Settings()
        backup.restore(settings.database_url, file, force=force)
        store = Store(settings.database_url)
        again = _queue_again(store, settings)
        count = len(store.measurements())
        if as_json:
            print_json(
                {"database_url": store.shown_url, "measurements": count, "queued_again": again}
            )
        else:
            console.print(
                f"{store.shown_url} is what {file} held: {count} measurements;"
                f" {again} unfinished jobs are queued again"
            )
        store.close()


def _queue_again(store: Store, settings: Settings) -> int:
    """Queues what was unfinished when the copy was made; what is measured is not repeated."""
    from measurements.jobs.queue import JobQueue

    queue = JobQueue(settings)
    unfinished = [
        row.id for status in ("queued", "running") for row in store.verifications(status=status)
    ]
    for identifier in unfinished:
        # What the engine remembers of it may be of another time than the copy.
        queue.forget(identifier)
        queue.enqueue_verification(identifier)
    sweeps = [row.id for row in store.sweeps() if row.status == "running"]
    for identifier in sweeps:
        queue.enqueue_sweep(identifier)
    queue.close()
    return len(unfinished) + len(sweeps)
