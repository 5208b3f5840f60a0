"""Hands verifications and sweeps to the workers. Needs no torch."""

from __future__ import annotations

import logging
import uuid
from importlib.metadata import version

from dbos import DBOSClient, DBOSPortableJSONSerializer, EnqueueOptions

from measurements.settings import Settings

APPLICATION = "speechplan"
QUEUE = "measurements"
VERIFY = "verify"
SWEEP = "sweep"


def application_version() -> str:
    """Jobs are taken up by workers of the same version only."""
    return version("speechplan")


class JobQueue:
    """The job engine's database, as the service sees it.

    Args:
        settings: Where it is.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = settings.resolved_jobs_url
        self._client: DBOSClient | None = None

    @classmethod
    def prepare(cls, settings: Settings) -> JobQueue:
        """Brings the engine's tables up to date and connects."""
        from dbos import run_dbos_database_migrations

        logging.getLogger("dbos").setLevel(logging.WARNING)
        run_dbos_database_migrations(settings.resolved_jobs_url)
        return cls(settings)

    def enqueue_verification(self, identifier: str) -> None:
        """Queues a verification; the same id twice is one job."""
        options: EnqueueOptions = {
            "workflow_name": VERIFY,
            "queue_name": QUEUE,
            "workflow_id": identifier,
            "app_version": application_version(),
        }
        self._connected().enqueue(options, identifier)

    def enqueue_sweep(self, identifier: str) -> None:
        """Queues a sweep; queueing it again lets it go on, and repeats nothing."""
        options: EnqueueOptions = {
            "workflow_name": SWEEP,
            "queue_name": QUEUE,
            "workflow_id": f"sweep-{identifier}-{uuid.uuid4().hex[:8]}",
            "app_version": application_version(),
        }
        self._connected().enqueue(options, identifier, 1)

    def job_status(self, identifier: str) -> str | None:
        """The engine's own word on a job, if it knows it."""
        jobs = self._connected().list_workflows(workflow_ids=[identifier])
        return jobs[0].status if jobs else None

    def close(self) -> None:
        """Gives back the connections."""
        if self._client is not None:
            self._client.destroy()
            self._client = None

    def _connected(self) -> DBOSClient:
        if self._client is None:
            self._client = DBOSClient(
                system_database_url=self._url,
                serializer=DBOSPortableJSONSerializer(),
                application_name=APPLICATION,
            )
        return self._client
