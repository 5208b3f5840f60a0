"""The worker: runs queued verifications and sweeps with DBOS, one run at a time.

Every step's result is in the job engine's database before the next begins, and
every utterance's in the store, so a worker that is killed goes on at the step it
was in, and no measurement is lost or made twice. One that is told to stop ends
behind the batch under way.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import ClassVar

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer
from sqlalchemy import exc
from structlog.contextvars import bound_contextvars

from measurements import tracing, verifying
from measurements import verification as verifications
from measurements.jobs import orphans
from measurements.jobs.names import Names, default_name
from measurements.jobs.queue import (
    APPLICATION,
    QUEUE,
    SWEEP,
    VERIFY,
    JobQueue,
    application_version,
    job_options,
)
from measurements.logs import get_logger
from measurements.settings import Settings
from measurements.store import Store
from measurements.sweeps.runner import Sweep
from measurements.verification_records import Stopped

_log = get_logger("worker")


class _LeftOff(BaseException):
    """A job is left where it is, to be taken up there; no ``Exception``, which were its result."""


_WAIT_S = 15.0
"""How long a sweep waits whose last runs others are at work on."""

_LOOK_S = 30.0
"""How often it is looked for what nobody would take up."""


def _database_is_away(error: BaseException) -> bool:
    return isinstance(error, exc.OperationalError | exc.InterfaceError | exc.TimeoutError)


# Over ten minutes in all: a database that is restarted, or locked, or whose disk is full,
# stops the work for as long as that lasts.
_step = DBOS.step(
    retries_allowed=True,
    interval_seconds=1.0,
    backoff_rate=1.5,
    max_attempts=15,
    should_retry=_database_is_away,
)


class _Context:
    """What the steps work on, set once when the worker starts, and the jobs that it is at."""

    store: Store
    device: str = "auto"
    stop = threading.Event()
    under_way: ClassVar[set[str]] = set()

    @classmethod
    def go_on(cls) -> None:
        """Asked before every piece of work.

        Raises:
            _LeftOff: The worker was told to stop: the next start takes the job up here.
        """
        if cls.stop.is_set():
            raise _LeftOff


@contextmanager
def _at(job_id: str, request_id: str | None) -> Iterator[None]:
    """Work on a job: every line about it, and its span, say which one it is and who asked for it.

    Raises:
        _LeftOff: A database could not be reached, written or locked, the job engine's own
            perhaps, which repeats no write: the job is taken up where it is.
    """
    about = {"job_id": job_id} | ({} if request_id is None else {"request_id": request_id})
    tracing.note(**about)
    own = str(DBOS.workflow_id)
    _Context.under_way.add(own)
    try:
        with bound_contextvars(**about):
            yield
    except Exception as error:
        if not _database_is_away(error):
            raise
        _log.warning("job_left_off", job_id=job_id, error=str(error))
        raise _LeftOff from error
    finally:
        _Context.under_way.discard(own)


@DBOS.workflow(name=VERIFY)
def verify(identifier: str, request_id: str | None = None) -> str:
    """Runs one configuration after another, batch by batch, until the decision is safe.

    Returns:
        Its final status.
    """
    with _at(identifier, request_id):
        _log.info("verification_taken_up")
        try:
            status = _verify(identifier)
        except Exception as error:  # whatever else went wrong is the verification's result
            if _database_is_away(error):
                raise
            _log.exception("verification_failed")
            return _give_up(identifier, f"{type(error).__name__}: {error}")
        _log.info("verification_ended", status=status)
        return status


def _verify(identifier: str) -> str:
    return verifying.drive(_Durable(identifier))


class _Durable:
    """The steps of a verification, each of them one of the job engine's."""

    def __init__(self, identifier: str) -> None:
        self._identifier = identifier

    def begin(self) -> int:
        return _begin(self._identifier)

    def batches(self, number: int, stage: int) -> int:
        return _batches(self._identifier, number, stage)

    def run_batch(self, number: int, stage: int, index: int) -> verifying.Ended | None:
        return _run_batch(self._identifier, number, stage, index)

    def settled(self, number: int, stage: int) -> Stopped | None:
        return _settled(self._identifier, number, stage)

    def conclude(self, number: int, stage: int, stopped: Stopped | None) -> int:
        return _conclude(self._identifier, number, stage, stopped)


@_step
def _begin(identifier: str) -> int:
    _Context.go_on()
    return _work_on(identifier).begin()


@_step
def _batches(identifier: str, number: int, stage: int) -> int:
    return _work_on(identifier).batches(number, stage)


@_step
def _run_batch(identifier: str, number: int, stage: int, index: int) -> verifying.Ended | None:
    _Context.go_on()
    return _work_on(identifier).run_batch(number, stage, index)


@_step
def _settled(identifier: str, number: int, stage: int) -> Stopped | None:
    return _work_on(identifier).settled(number, stage)


@_step
def _conclude(identifier: str, number: int, stage: int, stopped: Stopped | None) -> int:
    _Context.go_on()
    return _work_on(identifier).conclude(number, stage, stopped)


@_step
def _give_up(identifier: str, reason: str) -> str:
    found = _work_on(identifier).load()
    return verifications.fail(found, reason, _Context.store).status


@DBOS.workflow(name=SWEEP)
def sweep(identifier: str, turn: int, request_id: str | None = None) -> bool:
    """Does one run of a sweep and queues the next turn behind what else is waiting.

    Returns:
        Whether there is a next turn.
    """
    with _at(f"sweep-{identifier}", request_id):
        did_one = _run_next(identifier)
        # Others may be at work on what is left, and may be killed at it.
        waits = not did_one and _has_runs_left(identifier)
        _log.info(
            "sweep_run_ended" if did_one else "sweep_waits" if waits else "sweep_ended", turn=turn
        )
        if not did_one and not waits:
            return False
        first = str(DBOS.workflow_id).rpartition(".")[0] or str(DBOS.workflow_id)
        following = job_options(SWEEP, f"{first}.{turn + 1}")
        if waits:
            following["delay_seconds"] = _WAIT_S
        if (context := tracing.context_under_way()) is not None:
            following["otel_context"] = context
        DBOS.enqueue_workflow_with_options(following, identifier, turn + 1, request_id)
        return True


@_step
def _run_next(identifier: str) -> bool:
    """Does a run that nobody has; what went wrong with it is in the store."""
    _Context.go_on()
    work = Sweep.of(identifier, _Context.store, device=_Context.device)
    return work.run_next(lambda _: _Context.go_on())


@_step
def _has_runs_left(identifier: str) -> bool:
    return Sweep.of(identifier, _Context.store).status == "running"


@lru_cache(maxsize=1)
def _work_on(identifier: str) -> verifying.Verifying:
    """The verification under way; its model stays loaded."""
    return verifying.Verifying(identifier, _Context.store, device=_Context.device)


def run_worker(
    settings: Settings,
    *,
    device: str = "auto",
    name: str | None = None,
    on_start: Callable[[str], object] = lambda _: None,
) -> None:
    """Works until it is told to stop (SIGINT or SIGTERM).

    Args:
        settings: Where the store and the jobs are, and how long the batch under way may
            take then; it is abandoned after that, and done again by the next start.
        device: Where models run.
        name: Tells workers on one database apart; :func:`default_name` when left out. A
            worker that starts takes up what an earlier one of its name left unfinished, and
            one that runs what others left that do not come back.
        on_start: Told the name once it is this worker's.

    Raises:
        NameTaken: A living worker on this machine has the name.
    """
    _Context.store = Store.open(settings.database_url)
    _Context.device = device
    own = name or default_name(_Context.store)
    names = Names(_Context.store, own)
    with names.claimed():
        on_start(own)
        _work(settings, names, own)
    _Context.store.close()
    _log.info("worker_stopped")


def _work(settings: Settings, names: Names, name: str) -> None:
    traced = tracing.make_provider()
    if traced is not None:
        from opentelemetry.trace import set_tracer_provider

        set_tracer_provider(traced)
    config: DBOSConfig = {
        "name": APPLICATION,
        "system_database_url": settings.resolved_jobs_url,
        "serializer": DBOSPortableJSONSerializer(),
        "application_version": application_version(),
        "executor_id": name,
        "log_level": "WARNING",
        "enable_otlp": traced is not None,
        "otel_attribute_format": "semconv",
    }
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(
        QUEUE, worker_concurrency=1, polling_interval_sec=0.5, on_conflict="always_update"
    )
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: _Context.stop.set())
    _log.info("worker_started", name=name, device=_Context.device)
    queue = JobQueue(settings)
    idle: set[str] = set()
    while not _Context.stop.wait(_LOOK_S):
        try:
            names.renew()
            orphans.renew(_Context.store, queue)
            orphans.adopt(_Context.store, queue)
            orphans.give_up(_Context.store, queue)
            taken = queue.taken()
            _take_up(names.vanished(taken))
            idle = _take_up_own(taken.get(name, set()), idle)
        except Exception as error:  # the databases may be away: the next look is soon
            _log.warning("orphans_not_looked_for", error=str(error))
    queue.close()
    _log.info("worker_stopping")
    DBOS.destroy(workflow_completion_timeout_sec=settings.shutdown_grace_s)
    if traced is not None:
        traced.shutdown()  # which sends what is left


def _take_up(vanished: set[str]) -> None:
    """Puts the jobs that others were at back into the queue."""
    if vanished:
        DBOS._recover_pending_workflows(sorted(vanished))
        _log.info("vanished_workers_jobs_taken_up", names=sorted(vanished))


def _take_up_own(taken: set[str], idle: set[str]) -> set[str]:
    """Puts own jobs that were left off back into the queue.

    Args:
        taken: What this worker is at by the queue's notes.
        idle: What it was not really at when this was asked last; only once may be the moment
            at which a job begins or ends.

    Returns:
        What it is not really at now.
    """
    now = taken - _Context.under_way
    for job in sorted(now & idle):
        DBOS.resume_workflow(job, queue_name=QUEUE)
        _log.info("own_job_taken_up", workflow_id=job)
    return now - idle
