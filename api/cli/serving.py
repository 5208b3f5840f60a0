"""Commands of the service: ``serve``, ``worker``."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli import options
from api.cli.errors import OK, handled, usage
from api.cli.output import print_json
from api.cli.stores import writable_store

if TYPE_CHECKING:
    from litestar import Litestar

    from measurements.settings import Settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port to listen on; 0 for any that is free."),
    ] = None,
    with_worker: Annotated[
        bool, typer.Option("--worker/--no-worker", help="Start a worker beside the service.")
    ] = True,
    worker_name: Annotated[
        str | None,
        typer.Option(
            help="The worker's name on its database; the first free of HOST-1, HOST-2, .. if left"
            " out.",
            show_default=False,
        ),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, max=64, help="Processes that answer requests.")
    ] = 1,
    device: options.RunDevice = "auto",
    as_json: options.Json = False,
) -> None:
    r"""Serve the HTTP API, with a worker for real runs beside it.

    The API is described at /schema/docs.

    \b
    speechplan serve
    speechplan serve --port 9000 --no-worker
    speechplan serve --port 0 --json
    """
    from api.processes import WorkerProcess, answer_alone, answer_together, getting_ready

    with handled(as_json):
        from api.listening import listen, shown
        from measurements import logs
        from measurements.settings import Settings

        settings = Settings()
        logs.set_up(settings)
        address = settings.host if host is None else host
        if not _may_listen(address, settings):
            usage(
                f"{address} is not a loopback address: make a key first, with"
                " 'speechplan keys create', or set SPEECHPLAN_API_KEY"
            )
        # First of all: a service that has no port begins no other process.
        bound = listen(address, settings.port if port is None else port)
        url = f"http://{shown(address, bound[0].getsockname()[1])}"
        # The server ends with the signal that it got; after a graceful end that is no error.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(OK))
        common: dict[str, Any] = {
            "log_config": None,
            "access_log": False,  # the application's own line says more
            "server_header": False,
            "forwarded_allow_ips": list(settings.trusted_proxies),
            "timeout_graceful_shutdown": settings.shutdown_grace_s,
        }
        with getting_ready(processes):
            app = _application(settings) if processes == 1 else None
            worker_process = WorkerProcess(device, worker_name) if with_worker else None
            if as_json:
                print_json({"url": url, "worker": with_worker})
            logs.get_logger("serve").info("starting", url=url)
            try:
                if app is None:
                    answer_together(processes, bound, common)
                else:
                    answer_alone(app, bound, common)
            finally:
                if worker_process is not None:
                    worker_process.stop()


def worker(
    device: options.RunDevice = "auto",
    name: Annotated[
        str | None,
        typer.Option(
            help="Tells workers on one database apart; a worker takes up what an earlier one of"
            " its name left unfinished. The first free of HOST-1, HOST-2, .. if left out.",
            show_default=False,
        ),
    ] = None,
    attached: Annotated[
        bool, typer.Option("--attached", hidden=True, help="Stop when standard input closes.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    r"""Run queued verifications and sweeps until stopped.

    \b
    speechplan worker
    speechplan worker --device cuda:1 --name worker-2
    """
    if attached:
        from api.processes import lower_priority

        lower_priority()
        threading.Thread(target=_stop_with_standard_input, daemon=True).start()
    with handled(as_json):
        from measurements import logs
        from measurements.jobs.worker import run_worker
        from measurements.settings import Settings

        settings = Settings()
        logs.set_up(settings)

        def tell(own: str) -> None:
            if as_json:
                print_json({"worker": own, "device": device})

        run_worker(settings, device=device, name=name, on_start=tell)
    # A batch that outlasted the grace would keep the process until it ends.
    sys.stderr.flush()
    os._exit(OK)


def _may_listen(address: str, settings: Settings) -> bool:
    if address in ("127.0.0.1", "::1", "localhost"):
        return True  # Said without the framework, which takes half a second to import.
    from api.security import has_keys, is_loopback

    return is_loopback(address) or has_keys(writable_store(), settings)


def _application(settings: Settings) -> Litestar:
    from api.memory import starting

    with starting():
        from api.app import create_app

        return create_app(settings)


def _stop_with_standard_input() -> None:
    """The pipe closes with the service however that ends; a signal would need it alive."""
    while sys.stdin.buffer.read(1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
