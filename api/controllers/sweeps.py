"""``/v1/sweeps``: many configurations measured by a design."""

from __future__ import annotations

import math
from typing import Annotated

from litestar import Controller, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from api.problems import not_found, problem, responses
from api.schemas import Schema
from api.services import check_dataset
from measurements.jobs.queue import JobQueue
from measurements.settings import Settings
from measurements.store import Store
from measurements.sweeps.kept import KeptSweep
from measurements.sweeps.spec import SweepSpec
from measurements.sweeps.states import RunState
from models_registry import UnknownNameError

MOST_RUNS = 2_000


class SweepRun(RunState):
    """A run of a sweep.

    Attributes:
        command: What repeats it.
    """

    command: str


class SweepSummary(Schema):
    """A sweep and how far it is.

    Attributes:
        id: Names it by its content: the same document is the same sweep.
        status: ``running``, ``done`` or ``cancelled``.
        spec: What it measures.
        total: Runs that there will be.
        done: Runs that have a result.
        running: Runs that somebody is at.
        waiting: Runs to come.
        failed: Runs that were given up.
    """

    id: str
    status: str
    spec: SweepSpec
    total: int
    done: int
    running: int
    waiting: int
    failed: int


class SweepResponse(SweepSummary):
    """A sweep with its runs, in their order."""

    runs: list[SweepRun]


class SweepsPage(Schema):
    """A page of sweeps.

    Attributes:
        items: Sweeps, newest first.
        next_cursor: Cursor of the next page; none on the last.
    """

    items: list[SweepSummary]
    next_cursor: str | None


class SweepController(Controller):
    """Sweeps."""

    path = "/v1/sweeps"
    tags = ["sweeps"]  # noqa: RUF012

    @post(
        operation_id="startSweep",
        opt={"scope": "measure"},
        summary="Measure many configurations by a design",
        status_code=202,
        responses=responses(400, 413, 422, 503),
        raises=[],
        sync_to_thread=True,
    )
    def start(
        self,
        data: JSONBody[SweepSpec],
        store: NamedDependency[Store],
        queue: NamedDependency[JobQueue],
        settings: NamedDependency[Settings],
    ) -> Response[SweepResponse]:
        """Queues it; follow it at the address in ``Location``.

        The same document goes on where it was, and repeats nothing.
        """
        for speech in data.speech:
            check_dataset(speech.dataset, settings)
        most = len(data.models) * len(data.speech) * math.prod(map(len, data.axes.values()))
        if most > MOST_RUNS:
            raise problem(
                422, "sweep", "The sweep can't be begun", f"{most} runs; {MOST_RUNS} at most"
            )
        work = KeptSweep(data, store)
        work.go_on()
        queue.enqueue_sweep(work.id)
        return Response(
            _with_runs(work), status_code=202, headers={"Location": f"{self.path}/{work.id}"}
        )

    @get(
        operation_id="listSweeps",
        summary="List the sweeps",
        responses=responses(400, 503),
        raises=[],
        sync_to_thread=True,
    )
    def index(
        self,
        store: NamedDependency[Store],
        cursor: Annotated[
            str, QueryParameter(description="Where to go on", pattern="^[0-9]{1,9}$")
        ] = "0",
        limit: Annotated[int, QueryParameter(description="At most so many", ge=1, le=100)] = 20,
    ) -> SweepsPage:
        """Sweeps, newest first, a page at a time."""
        rows, first = list(reversed(store.sweeps())), int(cursor)
        return SweepsPage(
            items=[_summary(KeptSweep.of(row.id, store)) for row in rows[first : first + limit]],
            next_cursor=str(first + limit) if first + limit < len(rows) else None,
        )

    @get(
        "/{sweep_id:str}",
        operation_id="getSweep",
        summary="Follow a sweep",
        responses=responses(404, 503),
        raises=[],
        sync_to_thread=True,
    )
    def show(self, sweep_id: FromPath[str], store: NamedDependency[Store]) -> SweepResponse:
        """Its runs, what came out of each, and the command that repeats it."""
        return _with_runs(_found(sweep_id, store))

    @delete(
        "/{sweep_id:str}",
        operation_id="cancelSweep",
        opt={"scope": "measure"},
        summary="Cancel a sweep",
        status_code=200,
        responses=responses(404, 503),
        raises=[],
        sync_to_thread=True,
    )
    def cancel(self, sweep_id: FromPath[str], store: NamedDependency[Store]) -> SweepResponse:
        """Ends it behind the run under way; what was measured stays, and posting it goes on."""
        work = _found(sweep_id, store)
        work.cancel()
        return _with_runs(work)


def _found(identifier: str, store: Store) -> KeptSweep:
    try:
        return KeptSweep.of(identifier, store)
    except UnknownNameError as error:
        raise not_found("sweep", error.name) from None


def _fields(work: KeptSweep) -> dict[str, object]:
    progress = work.progress()
    return {
        "id": work.id,
        "status": work.status,
        "spec": work.spec,
        "total": progress.total,
        "done": progress.count("done"),
        "running": progress.count("running"),
        "waiting": progress.count("waiting"),
        "failed": progress.count("failed"),
    }


def _summary(work: KeptSweep) -> SweepSummary:
    return SweepSummary.model_validate(_fields(work))


def _with_runs(work: KeptSweep) -> SweepResponse:
    runs = [
        SweepRun(**dict(state), command=state.run.command()) for state in work.progress().states
    ]
    return SweepResponse.model_validate({**_fields(work), "runs": runs})
