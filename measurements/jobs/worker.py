"""The worker: runs queued verifications and sweeps with DBOS, one run at a time.

Every step's result is in the job engine's database before the next begins, and
every utterance's in the store, so a worker that is killed goes on at the step it
was in, and no measurement is lost or made twice.
"""

from __future__ import annotations

import logging
import signal
import threading
from functools import lru_cache
from typing import Any

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, EnqueueOptions

from measurements import verification as verifications
from measurements import verifying
from measurements.jobs.queue import APPLICATION, QUEUE, SWEEP, VERIFY, application_version
from measurements.sequential import Stages
from measurements.settings import Settings
from measurements.store import Store
from measurements.sweeps import Sweep
from measurements.verification import Verification

_log = logging.getLogger("speechplan.worker")


class _Context:
    """What the steps work on; set once when the worker starts."""

    store: Store
    device: str = "auto"


@DBOS.workflow(name=VERIFY)
def verify(identifier: str) -> str:
    """Runs one configuration after another, batch by batch, until the decision is safe.

    Returns:
        Its final status.
    """
    try:
        number, stages = 0, _begin(identifier)
        while stages:
            for stage in range(stages):
                for index in range(_batches(identifier, number, stage)):
                    if _run_batch(identifier, number, stage, index) is None:
                        return "cancelled"
                if _settled(identifier, number, stage):
                    break
            stages = _conclude(identifier, number, stage)
            number += 1
        return "succeeded"
    except Exception as error:  # whatever went wrong is the verification's result
        _log.exception("verification %s failed", identifier)
        return _give_up(identifier, f"{type(error).__name__}: {error}")


@DBOS.step()
def _begin(identifier: str) -> int:
    """Marks it as running; returns how many stages its first run has: none if cancelled."""
    found = _load(identifier)
    if found.status == "cancelled":
        return 0
    verifying.begin(found, _Context.store)
    return len(_stages(identifier, 0).sizes)


@DBOS.step()
def _batches(identifier: str, number: int, stage: int) -> int:
    """How many batches a stage of a run has."""
    return len(_stages(identifier, number).at(stage).batches)


@DBOS.step()
def _run_batch(identifier: str, number: int, stage: int, index: int) -> int | None:
    """Transcribes and stores a batch; what is in the store already is left out.

    Returns:
        How many utterances were new; none where the verification was cancelled.
    """
    if _load(identifier).status == "cancelled":
        return None
    evaluation = _stages(identifier, number).at(stage)
    done = evaluation.run_batch(index)
    progress = evaluation.progress()
    update: dict[str, Any] = {"done": progress.done, "wer_so_far": progress.value}
    verifications.save(_load(identifier).model_copy(update=update), _Context.store)
    return done


@DBOS.step()
def _settled(identifier: str, number: int, stage: int) -> bool:
    """Whether the utterances so far are enough."""
    stages = _stages(identifier, number)
    return verifying.settled(_load(identifier), stages, stage, _Context.store) is not None


@DBOS.step()
def _conclude(identifier: str, number: int, stage: int) -> int:
    """Times and stores the measurement, and asks again.

    Returns:
        Stages of the next run; none at the end.
    """
    found = _load(identifier)
    if len(found.runs) == number:  # not done by a worker that was killed right after
        stages = _stages(identifier, number)
        stopped = verifying.settled(found, stages, stage, _Context.store)
        measurement = stages.at(stage).finish()
        noted = verifications.note(found, measurement, stopped, _Context.store)
        found = verifications.proceed(noted, _Context.store)
    return 0 if found.outcome is not None else len(_stages(identifier, number + 1).sizes)


@DBOS.step()
def _give_up(identifier: str, reason: str) -> str:
    return verifications.fail(_load(identifier), reason, _Context.store).status


@DBOS.workflow(name=SWEEP)
def sweep(identifier: str, turn: int) -> bool:
    """Does one run of a sweep and queues the next turn behind what else is waiting.

    Returns:
        Whether there is a next turn.
    """
    if not _run_next(identifier):
        return False
    first = str(DBOS.workflow_id).rpartition(".")[0] or str(DBOS.workflow_id)
    following: EnqueueOptions = {
        "workflow_name": SWEEP,
        "queue_name": QUEUE,
        "workflow_id": f"{first}.{turn + 1}",
        "app_version": application_version(),
    }
    DBOS.enqueue_workflow_with_options(following, identifier, turn + 1)
    return True


@DBOS.step()
def _run_next(identifier: str) -> bool:
    """Does a run that nobody has; what went wrong with it is in the store."""
    return Sweep.of(identifier, _Context.store, device=_Context.device).run_next()


def _load(identifier: str) -> Verification:
    found = verifications.find(identifier, _Context.store)
    if found is None:
        raise LookupError(f"verification {identifier} is not in the store")
    return found


@lru_cache(maxsize=1)
def _stages(identifier: str, number: int) -> Stages:
    """A run of a verification, the one under way; its model stays loaded."""
    return verifying.stages_of(_load(identifier), _Context.store, device=_Context.device)


def run_worker(settings: Settings, *, device: str = "auto", name: str = "worker-1") -> None:
    """Works until it is told to stop (SIGINT or SIGTERM).

    Args:
        settings: Where the store and the jobs are.
        device: Where models run.
        name: Tells workers on one database apart. A worker that starts takes
            up what an earlier one of its name left unfinished.
    """
    _Context.store = Store.open(settings.database_url)
    _Context.device = device
    config: DBOSConfig = {
        "name": APPLICATION,
        "system_database_url": settings.resolved_jobs_url,
        "serializer": DBOSPortableJSONSerializer(),
        "application_version": application_version(),
        "executor_id": name,
        "log_level": "WARNING",
    }
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(
        QUEUE, worker_concurrency=1, polling_interval_sec=0.5, on_conflict="always_update"
    )
    stop = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: stop.set())
    stop.wait()
    # A batch under way is abandoned: the next start takes it up again.
    DBOS.destroy(workflow_completion_timeout_sec=0)
    _Context.store.close()
