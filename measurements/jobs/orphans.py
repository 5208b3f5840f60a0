"""Verifications that were noted in the store but never came into the queue.

The two are noted one after the other, on SQLite in two files: a service that is killed in
between, or a queue that can't be written just then, leaves a verification without a job.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from measurements.jobs.queue import JobQueue
from measurements.store import Store

SETTLED_AFTER = timedelta(seconds=20)
"""Younger ones may still be on their way into the queue, or belong to a command."""


def adopt(store: Store, queue: JobQueue, *, settled_after: timedelta = SETTLED_AFTER) -> list[str]:
    """Queues verifications that have no job.

    Args:
        store: Where they are noted.
        queue: Where their jobs are.
        settled_after: Age of those that are looked at.

    Returns:
        Ids of what was queued.
    """
    until = datetime.now(UTC) - settled_after
    waiting = store.verifications(status="queued")
    old = [row.id for row in waiting if _utc(row.updated_at) <= until]
    orphans = [identifier for identifier in old if queue.job_status(identifier) is None]
    for identifier in orphans:
        queue.enqueue_verification(identifier)
    return orphans


def _utc(when: datetime) -> datetime:
    # SQLite forgets the zone.
    return when if when.tzinfo else when.replace(tzinfo=UTC)
