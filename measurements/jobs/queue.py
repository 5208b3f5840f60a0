"""Hands verifications and sweeps to the workers. Needs no torch."""

from __future__ import annotations

import logging
import threading
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy.exc import SQLAlchemyError
from structlog.contextvars import get_contextvars

from measurements import tracing
from measurements.logs import get_logger
from measurements.settings import Settings, without_password
from measurements.store import StoreError
from measurements.store.engine import BUSY_S, create_file, make_engine, migrating

if TYPE_CHECKING:
    from dbos import DBOSClient, EnqueueOptions, WorkflowStatus

_log = get_logger("queue")

APPLICATION = "speechplan"
QUEUE = "measurements"
VERIFY = "verify"
SWEEP = "sweep"


PROTOCOL = 1
"""Raised when the steps of jobs change: one that is half done can't go on by others."""

_PREFIX = "jobs-"

_FAILED: list[str] = ["ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
_ACTIVE: list[str] = ["ENQUEUED", "DELAYED", "PENDING"]


def application_version() -> str:
    """Jobs are taken up by workers of the same protocol only, of whatever version."""
    return f"{_PREFIX}{PROTOCOL}"


def job_options(workflow: str, identifier: str) -> EnqueueOptions:
    """How a job is queued, by what it does and its id."""
    return {
        "workflow_name": workflow,
        "queue_name": QUEUE,
        "workflow_id": identifier,
        "app_version": application_version(),
    }


class Job(NamedTuple):
    """A job as the engine has it.

    Attributes:
        id: Its id.
        name: What it does.
        arguments: To what.
    """

    id: str
    name: str
    arguments: tuple[Any, ...]


class FailedSweep(NamedTuple):
    """A sweep whose job ended with an error, and that has no other.

    Attributes:
        id: The sweep's.
        reason: In one line.
        failed_s: When, in seconds since the epoch.
    """

    id: str
    reason: str
    failed_s: float


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
        self._enqueue(job_options(VERIFY, identifier), identifier)
        _log.info("verification_queued", job_id=identifier)

    def enqueue_sweep(self, identifier: str, turn: str | None = None) -> None:
        """Queues a sweep; queueing it again lets it go on, and repeats nothing.

        Args:
            identifier: Which sweep.
            turn: Names the job; the same twice is one. It has no ``_``.
        """
        job = _sweep_job(identifier, turn or uuid.uuid4().hex[:8])
        self._enqueue(job_options(SWEEP, job), identifier, 1)
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

    def failed_sweeps(self) -> list[FailedSweep]:
        """Sweeps that nobody goes on with because their last job ended with an error."""
        failed: dict[str, FailedSweep] = {}
        for job in self._sweep_jobs(_FAILED):
            when_s = (job.updated_at or 0) / 1000
            known = failed.get(sweep := _sweep_of(job.workflow_id))
            if known is None or known.failed_s < when_s:
                failed[sweep] = FailedSweep(sweep, _reason(job.error), when_s)
        # Asked for behind them: one that is queued meanwhile is seen.
        active = {_sweep_of(job.workflow_id) for job in self._sweep_jobs(_ACTIVE)} if failed else ()
        return [one for one in failed.values() if one.id not in active]

    def _sweep_jobs(self, status: list[str]) -> list[WorkflowStatus]:
        return self._connected().list_workflows(
            status=status, name=SWEEP, load_input=False, load_output=True
        )

    def taken(self) -> dict[str, set[str]]:
        """Ids of the jobs that each worker is at, or was when it ended, by its name."""
        jobs = self._connected().list_workflows(
            status="PENDING",
            queue_name=QUEUE,
            app_version=application_version(),
            load_input=False,
            load_output=False,
        )
        taken: dict[str, set[str]] = {}
        for job in jobs:
            if job.executor_id is not None:
                taken.setdefault(job.executor_id, set()).add(job.workflow_id)
        return taken

    def older(self) -> list[Job]:
        """Jobs of an older protocol that wait."""
        jobs = self._connected().list_workflows(
            status=["ENQUEUED", "DELAYED"], queue_name=QUEUE, load_output=False
        )
        return [
            Job(job.workflow_id, job.name, tuple(job.input["args"]))
            for job in jobs
            if job.input is not None and _protocol(job.app_version) < PROTOCOL
        ]

    def replace(self, job: Job) -> None:
        """Queues a job again, from its beginning and by this protocol."""
        self._connected().delete_workflow(job.id)
        self._connected().enqueue(job_options(job.name, job.id), *job.arguments)
        _log.info("job_queued_again", job_id=job.id)

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


def _protocol(version: str | None) -> int:
    number = (version or "").removeprefix(_PREFIX)
    # Once jobs had the package's version.
    return int(number) if number.isdecimal() else 0


def _sweep_of(job: str) -> str:
    """The sweep that a job goes on with, by the job's id."""
    return job.rpartition("_")[2].partition(".")[0]


def _reason(error: Exception | None) -> str:
    if error is None:
        return "its workers ended at it without a word, time and again"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0]


def _sweep_job(identifier: str, turn: str) -> str:
    return f"{SWEEP}-{turn}_{identifier}"
