"""``/v1/sweeps``: many configurations measured by a design."""

from __future__ import annotations

import math
import uuid
from functools import partial
from typing import Annotated, Any

from litestar import Controller, Request, Response, delete, get, post
from litestar.concurrency import sync_to_thread
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.response import ServerSentEvent

from api import events, idempotency, paging
from api.examples import Documented
from api.idempotency import IdempotencyKey
from api.job_schemas import SweepResponse, SweepRun, SweepRunsPage, SweepsPage
from api.paging import Before, Cursor, Limit, page
from api.problems import not_found, problem, responses
from api.services.datasets import check_dataset
from api.stopping import Stopping
from measurements.jobs import orphans
from measurements.jobs.queue import JobQueue
from measurements.settings import Settings
from measurements.store import Store
from measurements.sweeps.checks import check_runs, remarks_of
from measurements.sweeps.kept import KeptSweep
from measurements.sweeps.spec import SweepSpec
from models_registry import UnknownNameError

MOST_RUNS = 2_000


class SweepController(Controller):
    """Sweeps."""

    path = "/v1/sweeps"
    tags = ["sweeps"]  # noqa: RUF012

    @post(
        operation_id="startSweep",
        operation_class=Documented,
        opt={"scope": "measure"},
        summary="Measure many configurations by a design",
        status_code=202,
        responses=responses(400, 409, 413, 415, 422, 503, 507),
        raises=[],
        sync_to_thread=True,
    )
    def start(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[SweepSpec],
        store: NamedDependency[Store],
        queue: NamedDependency[JobQueue],
        settings: NamedDependency[Settings],
        idempotency_key: IdempotencyKey = None,
    ) -> Response[SweepResponse]:
        """Queues it; follow it at the address in ``Location``.

        The same document goes on where it was, and repeats nothing. With a key that was sent
        before it is only looked at: one that was cancelled since stays so.
        """
        for speech in data.speech:
            check_dataset(speech.dataset, settings)
        most = len(data.models) * len(data.speech) * math.prod(map(len, data.axes.values()))
        if most > MOST_RUNS:
            raise problem(
                422, "sweep", "The sweep can't be begun", f"{most} runs; {MOST_RUNS} at most"
            )
        caller = idempotency.caller_of(request)
        turn = idempotency.identifier_of(idempotency_key, caller, data.key)
        with idempotency.alone(turn, store):
            work, remarks = _begun(data, turn, store, queue)
        shown = _shown(work).model_copy(update={"remarks": list(remarks)})
        return Response(shown, status_code=202, headers={"Location": f"{self.path}/{work.id}"})

    @get(
        operation_id="listSweeps",
        operation_class=Documented,
        summary="List the sweeps",
        responses=responses(400, 503),
        raises=[],
        sync_to_thread=True,
    )
    def index(
        self,
        store: NamedDependency[Store],
        cursor: Before = None,
        limit: Annotated[int, QueryParameter(description="At most so many", ge=1, le=100)] = 20,
    ) -> SweepsPage:
        """Sweeps, newest first, a page at a time; new ones shift no page."""
        paging.check(cursor, store.sweep)
        rows = store.recent_sweeps(before=cursor, limit=limit + 1)
        return SweepsPage(
            items=[_shown(KeptSweep.of(row.id, store)) for row in rows[:limit]],
            next_cursor=rows[limit - 1].id if len(rows) > limit else None,
        )

    @get(
        "/{sweep_id:str}",
        operation_id="getSweep",
        operation_class=Documented,
        summary="Follow a sweep",
        responses=responses(400, 404, 503),
        raises=[],
        sync_to_thread=True,
    )
    def show(self, sweep_id: FromPath[str], store: NamedDependency[Store]) -> SweepResponse:
        """How far it is: its runs by what has become of them."""
        return _shown(_found(sweep_id, store))

    @get(
        "/{sweep_id:str}/runs",
        operation_id="listSweepRuns",
        operation_class=Documented,
        summary="List a sweep's runs",
        responses=responses(400, 404, 503),
        raises=[],
        sync_to_thread=True,
    )
    def runs(
        self,
        sweep_id: FromPath[str],
        store: NamedDependency[Store],
        cursor: Cursor = "0",
        limit: Limit = 100,
    ) -> SweepRunsPage:
        """What came out of each, and the command that repeats it; an adaptive sweep adds some."""
        items, following = page(_found(sweep_id, store).states(), cursor, limit)
        runs = [SweepRun(**dict(state), command=state.run.command()) for state in items]
        return SweepRunsPage(items=runs, next_cursor=following)

    @get(
        "/{sweep_id:str}/events",
        operation_id="followSweep",
        operation_class=Documented,
        summary="Follow a sweep as server-sent events",
        media_type="text/event-stream",
        responses=responses(400, 404, 503),
        raises=[],
    )
    async def follow(
        self,
        request: Request[Any, Any, Any],
        sweep_id: FromPath[str],
        store: NamedDependency[Store],
        stopping: NamedDependency[Stopping],
    ) -> ServerSentEvent:
        """An event ``sweep`` whenever a run has begun or ended; the stream ends with it.

        Or with the service: ask again then, with the last event's id in ``Last-Event-ID`` to be
        told of what has changed since. Comments keep the line open while nothing does.
        """
        await sync_to_thread(_found, sweep_id, store)
        look = partial(_look, sweep_id, store)
        known = request.headers.get("last-event-id")
        return ServerSentEvent(events.changes("sweep", look, lambda: stopping.asked, known=known))

    @delete(
        "/{sweep_id:str}",
        operation_id="cancelSweep",
        operation_class=Documented,
        opt={"scope": "measure"},
        summary="Cancel a sweep",
        status_code=200,
        responses=responses(400, 404, 409, 503, 507),
        raises=[],
        sync_to_thread=True,
    )
    def cancel(self, sweep_id: FromPath[str], store: NamedDependency[Store]) -> SweepResponse:
        """Ends it behind the run under way; what was measured stays, and posting it goes on.

        One that was cancelled before stays so.
        """
        work = _found(sweep_id, store)
        work.cancel()
        if (status := work.status) != "cancelled":
            raise problem(409, "conflict", "That is over already", f"the sweep is {status}")
        return _shown(work)


def _begun(
    spec: SweepSpec, turn: str | None, store: Store, queue: JobQueue
) -> tuple[KeptSweep, tuple[str, ...]]:
    """The sweep, which goes on unless an idempotency key has begun it before; and remarks."""
    begun = None
    if turn is not None:
        begun = queue.sweep_turn(idempotency.key_part(turn))
        idempotency.check_unused(turn, begun)
    if begun is not None:
        return KeptSweep(spec, store), remarks_of(spec)
    remarks = check_runs(spec, store)
    turn = turn or uuid.uuid4().hex[:8]
    with orphans.handing_over(spec.id, turn, store):
        work = KeptSweep(spec, store)
        work.go_on()
        try:
            queue.enqueue_sweep(work.id, turn)
        except Exception:
            # Otherwise it would seem to run for ever; posted again, it goes on.
            work.cancel()
            raise
    return work, remarks


def _found(identifier: str, store: Store) -> KeptSweep:
    try:
        return KeptSweep.of(identifier, store)
    except UnknownNameError as error:
        raise not_found("sweep", error.name) from None


def _look(identifier: str, store: Store) -> tuple[str, bool]:
    work = _found(identifier, store)
    return _shown(work).model_dump_json(), work.status != "running"


def _shown(work: KeptSweep) -> SweepResponse:
    progress = work.progress()
    return SweepResponse(
        id=work.id,
        status=work.status,
        error=work.error,
        spec=work.spec,
        total=progress.total,
        done=progress.count("done"),
        running=progress.count("running"),
        waiting=progress.count("waiting"),
        failed=progress.count("failed"),
    )
