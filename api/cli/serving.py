"""Commands of the service: ``serve``, ``worker``, ``db``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import Annotated

import typer

from api.cli import options
from api.cli.errors import handled, usage
from api.cli.stores import writable_store

db = typer.Typer(help="Look after the database.", no_args_is_help=True)


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    with_worker: Annotated[
        bool, typer.Option("--worker/--no-worker", help="Start a worker beside the service.")
    ] = True,
    device: options.RunDevice = "auto",
) -> None:
    """Serve the HTTP API, with a worker for real runs beside it.

    The API is described at /schema/docs.
    """
    with handled():
        import uvicorn

        from api.app import create_app
        from api.security import has_keys, is_loopback
        from measurements.settings import Settings

        settings = Settings()
        address, number = host or settings.host, port or settings.port
        if not is_loopback(address) and not has_keys(writable_store(), settings):
            usage(
                f"{address} is not a loopback address: make a key first, with"
                " 'speechplan keys create', or set SPEECHPLAN_API_KEY"
            )
        app = create_app(settings)
        worker_process = _start_worker(device) if with_worker else None
        typer.echo(f"speechplan listens on http://{address}:{number}", err=True)
        try:
            uvicorn.run(app, host=address, port=number, log_level="warning", access_log=False)
        finally:
            if worker_process is not None:
                worker_process.communicate()


def worker(
    device: options.RunDevice = "auto",
    name: Annotated[
        str,
        typer.Option(
            help="Tells workers on one database apart; a worker takes up what an earlier one of"
            " its name left unfinished."
        ),
    ] = "worker-1",
    attached: Annotated[
        bool, typer.Option("--attached", hidden=True, help="Stop when standard input closes.")
    ] = False,
) -> None:
    """Run queued verifications and sweeps until stopped."""
    if attached:
        threading.Thread(target=_stop_with_standard_input, daemon=True).start()
    with handled():
        from measurements.jobs.worker import run_worker
        from measurements.settings import Settings

        run_worker(Settings(), device=device, name=name)


@db.command()
def upgrade() -> None:
    """Create the tables, or bring them up to date."""
    with handled():
        from measurements.jobs.queue import JobQueue
        from measurements.settings import Settings
        from measurements.store import Store

        settings = Settings()
        Store.open(settings.database_url).close()
        JobQueue.prepare(settings).close()
        typer.echo(f"{settings.database_url} is up to date")


def _start_worker(device: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "api.cli", "worker", "--device", device, "--attached"]
    return subprocess.Popen(command, stdin=subprocess.PIPE)


def _stop_with_standard_input() -> None:
    """The pipe closes with the service however that ends; a signal would need it alive."""
    while sys.stdin.buffer.read(1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
