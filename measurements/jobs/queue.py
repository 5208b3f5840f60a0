"""Hands verifications and sweeps to the workers. Needs no torch."""

from __future__ import annotations

import logging
import threading
import uuid
from collections import Counter
from importlib.metadata import version
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError
from structlog.contextvars import get_contextvars

from measurements import tracing
from measurements.logs import get_logger
from measurements.settings import Settings, without_password
from measurements.store import StoreError
from measurements.store.engine import BUSY_S, create_file, make_engine, migrating

if TYPE_CHECKING:
    from dbos import DBOSClient, EnqueueOptions

_log = get_logger("queue")

APPLICATION = "speechplan"
QUEUE = "measurements"
VERIFY = "verify"
SWEEP = "sweep"


def application_version() -> str:
    """Jobs are taken up by workers of the same version only."""
    return version("speechplan")


class JobQueue:
    """The job engine's database, as the service sees it; connected to when it is first needed.

    Args:
        settings: Where it is.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = settings.resolved_jobs_url
        self._client: DBOSClient | None = None
        self._connecting = threading.Lock()
        create_file(self._url)
        self._locks = make_engine(self._url, BUSY_S) if self._url.startswith("sqlite") else None

    def prepare(self) -> None:
        """Brings the engine's tables up to date and connects.

        Raises:
            SQLAlchemyError: The database can't be reached, or is locked.
        """
        self._connected()

    def enqueue_verification(self, identifier: str) -> None:
        """Queues a verification; the same id twice is one job."""
        options: EnqueueOptions = {
            "workflow_name": VERIFY,
            "queue_name": QUEUE,
            "workflow_id": identifier,
            "app_version": application_version(),
        }
        self._enqueue(options, identifier)
        _log.info("verification_queued", job_id=identifier)

    def enqueue_sweep(self, identifier: str, turn: str | None = None) -> None:
        """Queues a sweep; queueing it again lets it go on, and repeats nothing.

        Args:
            identifier: Which sweep.
            turn: Names the job; the same twice is one. It has no ``_``.
        """
        options: EnqueueOptions = {
            "workflow_name": SWEEP,
            "queue_name": QUEUE,
            "workflow_id": _sweep_job(identifier, turn or uuid.uuid4().hex[:8]),
            "app_version": application_version(),
        }
        self._enqueue(options, identifier, 1)
        _log.info("sweep_queued", job_id=f"sweep-{identifier}")

    def sweep_turn(self, beginning: str) -> str | None:
        """Name of the first turn that begins like that, of any sweep; none where there is none."""
        jobs = self._connected().list_workflows(
            workflow_id_prefix=f"{SWEEP}-{beginning}", limit=1, load_input=False, load_output=False
        )
        return jobs[0].workflow_id.split("-", 1)[1].rpartition("_")[0] if jobs else None

    def job_status(self, identifier: str) -> str | None:
        """The engine's own word on a job, if it knows it."""
        jobs = self._connected().list_workflows(workflow_ids=[identifier])
        return jobs[0].status if jobs else None

    def forget(self, identifier: str) -> None:
        """Lets the engine forget a job, finished or not."""
        if self.job_status(identifier) is not None:
            self._connected().delete_workflow(identifier)

    def depth(self) -> dict[str, int]:
        """Jobs that wait (``enqueued``) or that a worker is at (``pending``), by status."""
        jobs = self._connected().list_workflows(
            status=["ENQUEUED", "PENDING"], queues_only=True, load_input=False, load_output=False
        )
        return dict(Counter(job.status.lower() for job in jobs))

    def check(self) -> None:
        """Asks the job engine's database for an answer.

        Raises:
            StoreError: There is none.
        """
        try:
            self.depth()
        except SQLAlchemyError as error:
            shown = without_password(self._url)
            raise StoreError(f"{shown}: {str(error).strip().splitlines()[0]}") from error

    def close(self) -> None:
        """Gives back the connections."""
        if self._locks is not None:
            self._locks.dispose()
        if self._client is not None:
            self._client.destroy()
            self._client = None

    def _enqueue(self, options: EnqueueOptions, *arguments: str | int) -> None:
        """Queues a job that knows the request, and belongs to the trace, which it came from."""
        if (context := tracing.context_under_way()) is not None:
            options["otel_context"] = context
        self._check_unlocked()
        self._connected().enqueue(options, *arguments, get_contextvars().get("request_id"))

    def _check_unlocked(self) -> None:
        """The engine waits for a locked file without end; a request must not."""
        if self._locks is not None:
            with self._locks.connect() as connection:
                connection.exec_driver_sql("begin immediate")
                connection.exec_driver_sql("rollback")

    def _connected(self) -> DBOSClient:
        with self._connecting:
            if self._client is None:
                self._check_unlocked()
                # Only now: it is a tenth of a start, and an answer does without.
                from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer

                logging.getLogger("dbos").setLevel(logging.WARNING)
                with migrating(self._url):
                    DBOS.migrate(self._url)
                self._client = DBOSClient(
                    system_database_url=self._url,
                    serializer=DBOSPortableJSONSerializer(),
                    application_name=APPLICATION,
                    # A request that waits for a database to come back can't say so.
                    retry_connection_errors=False,
                )
            return self._client


def _sweep_job(identifier: str, turn: str) -> str:
    return f"{SWEEP}-{turn}_{identifier}"
