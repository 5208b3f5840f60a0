"""Work that was noted in the store but never came into the queue, or that nobody there takes up.

The two are noted one after the other, on SQLite in two files: a service that is killed in
between, or a queue that can't be written just then, leaves work without a job.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from measurements.jobs.queue import JobQueue
from measurements.store import Store
from measurements.sweeps.claims import Claims, alive

SETTLED_AFTER = timedelta(seconds=20)
"""Younger verifications may still be on their way into the queue, or belong to a command."""

_ON_ITS_WAY = "sweep"


@contextmanager
def handing_over(sweep: str, turn: str, store: Store) -> Iterator[None]:
    """Claims a sweep's way into the queue; what dies on it is found by :func:`adopt`.

    A sweep that a command runs in its own process is "running" without a job, too; nothing
    else tells the two apart.

    Args:
        sweep: Which.
        turn: Of its job.
        store: Where it is noted meanwhile.
    """
    claims, way = Claims(store), f"{_ON_ITS_WAY} {sweep} {turn}"
    claims.seize(way)
    with claims.held(way):
        yield


def adopt(store: Store, queue: JobQueue, *, settled_after: timedelta = SETTLED_AFTER) -> list[str]:
    """Queues verifications that have no job, and sweeps that were left on their way to one.

    Args:
        store: Where they are noted.
        queue: Where their jobs are.
        settled_after: Age of the verifications that are looked at.

    Returns:
        Ids of what was queued.
    """
    until = datetime.now(UTC) - settled_after
    waiting = store.verifications(status="queued")
    old = [row.id for row in waiting if _utc(row.updated_at) <= until]
    orphans = [identifier for identifier in old if queue.job_status(identifier) is None]
    for identifier in orphans:
        queue.enqueue_verification(identifier)
    return [*orphans, *_adopt_sweeps(store, queue)]


def renew(store: Store, queue: JobQueue) -> list[str]:
    """Gives jobs of an older protocol that nobody is at to this one's workers, as new ones.

    Returns:
        Their ids.
    """
    older = queue.older()
    for job in older:
        # Its first argument; a verification has no way of that kind, and is adopted as queued.
        subject, *_ = job.arguments
        with handing_over(str(subject), uuid.uuid4().hex[:8], store):
            queue.replace(job)
    return [job.id for job in older]


def give_up(store: Store, queue: JobQueue) -> list[str]:
    """Notes as failed the sweeps whose job ended with an error: they would seem to run for ever.

    One that was let go on since is none of them.

    Returns:
        Their ids.
    """
    given_up = []
    for sweep, reason, failed_s in queue.failed_sweeps():
        row = store.sweep(sweep)
        if row is None or row.status != "running" or _utc(row.updated_at).timestamp() > failed_s:
            continue
        store.put_sweep(sweep, status="failed", document=row.document, error=reason)
        given_up.append(sweep)
    return given_up


def _adopt_sweeps(store: Store, queue: JobQueue) -> list[str]:
    adopted = []
    for way, claim in store.claims().items():
        kind, _, rest = way.partition(" ")
        if kind != _ON_ITS_WAY or alive(claim):
            continue
        sweep, turn = rest.split(" ")
        row = store.sweep(sweep)
        if row is not None and row.status == "running":
            queue.enqueue_sweep(sweep, turn)
            adopted.append(sweep)
        store.release(way, claim.owner)
    return adopted


def _utc(when: datetime) -> datetime:
    # SQLite forgets the zone.
    return when if when.tzinfo else when.replace(tzinfo=UTC)
