"""Runs a sweep on a Ray cluster: tasks take its runs, each task on a GPU or on processors.

Ray places the tasks; the store says which runs are left, and who is at work on them. Results
go from the tasks to the store batch by batch, so that nothing is lost with a task or with the
process that placed it. On several machines the store is a PostgreSQL for that reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from measurements.progress import Progress
from measurements.sweeps.kept import flops_of
from measurements.sweeps.placement import Resources, needs_of, said, shared_url, slots
from measurements.sweeps.ray_cluster import connected, nodes
from measurements.sweeps.ray_tasks import Board, work_off
from measurements.sweeps.runner import MAX_DEATHS, Sweep
from measurements.sweeps.spec import SweepError
from measurements.sweeps.states import SweepProgress

_POLL_S = 1.0
_GRACE_S = 10.0
"""How long cancelled tasks have to give up their claims."""
_WITHOUT_NODE_S = 300.0
"""How long a cluster may have no node for a run, before that is an error."""


def run(
    work: Sweep,
    on_progress: Callable[[SweepProgress], None] | None = None,
    *,
    address: str | None = None,
    cpus: int | None = None,
) -> SweepProgress:
    """Runs what is left of a sweep on a cluster, and waits for what others are at work on.

    Args:
        work: The sweep.
        on_progress: Called about once a second.
        address: The cluster's. ``RAY_ADDRESS``, a cluster that runs on this machine, or else
            one that is started for the sweep, if left out; none of it if Ray is connected.
        cpus: Processors of a run. If left out, one; a node's all for a run that is timed on them.

    Raises:
        SweepError: Ray is not installed, its cluster can't be reached, has no node for such a
            run or loses all of them, the store can't be reached from its nodes, or the sweep
            names one of the GPUs.
        SQLAlchemyError: The database is away.
        StoreError: A node can't open the store.
    """
    if work.spec.device.startswith("cuda:"):
        raise SweepError(f"Ray chooses the GPU of a run: device cuda, not {work.spec.device}")
    report = on_progress or (lambda _: None)
    work.go_on()
    progress = work.progress()
    if work.ended(progress):
        report(progress)
        return progress
    with connected(address) as ray:
        there = nodes(ray)
        needs = needs_of(work.spec, [node["Resources"] for node in there], cpus)
        addresses = [node["NodeManagerAddress"] for node in there]
        url = shared_url(work.store.url, addresses, ray.util.get_node_ip_address())
        return _Driver(ray, work, url, needs).run(report)


class _Driver:
    """Keeps as many tasks in flight as there are runs left, and room for them.

    Args:
        ray: The module, connected.
        work: The sweep.
        url: The store's, for every node.
        needs: What a task asks of its node.
    """

    def __init__(self, ray: Any, work: Sweep, url: str, needs: Resources) -> None:
        self._ray = ray
        self._work = work
        self._needs = needs
        self._tasks: list[Any] = []
        self._lost = 0
        self._had_room_s = time.monotonic()
        self._began: dict[str, float] = {}
        self._current: Mapping[str, Progress] = {}
        board = ray.remote(Board).options(num_cpus=0, max_restarts=-1).remote()
        self._asked = board.read.remote()
        self._ask = board.read.remote
        # A process that ended is this driver's to replace: it knows what is left.
        task = ray.remote(_task).options(
            name=f"sweep {work.id}",
            num_cpus=needs["CPU"],
            num_gpus=needs.get("GPU", 0),
            max_retries=0,
        )
        device = "cuda" if "GPU" in needs else "cpu"
        self._begin: Callable[[], Any] = lambda: task.remote(work.id, url, device, board)

    def run(self, report: Callable[[SweepProgress], None]) -> SweepProgress:
        """Runs what is left; see :func:`run`."""
        try:
            while True:
                progress = self._look()
                report(progress)
                cancelled = self._work.status == "cancelled"
                if self._work.ended(progress) or (cancelled and not progress.count("running")):
                    # Their last run is noted; what is left to them is to give up its claim.
                    self._wait(_GRACE_S)
                    return progress
                if not cancelled:
                    self._place(progress)
                self._collect(progress)
        finally:
            for force in (False, True):
                for task in self._tasks:
                    self._ray.cancel(task, force=force)
                self._wait(_GRACE_S)

    def _look(self) -> SweepProgress:
        """How far the sweep is, and each of its runs that a task is at."""
        if self._ray.wait([self._asked], timeout=0)[0]:
            # It is only what a user sees meanwhile: a board that went with its node is not missed.
            with suppress(self._ray.exceptions.RayError):
                told = self._ray.get(self._asked)
                self._current = {run: Progress(**fields) for run, fields in told.items()}
            self._asked = self._ask()
        now = time.perf_counter()
        running = set()
        for state in self._work.states():
            key = state.run.key
            if state.status == "running":
                running.add(key)
                self._began.setdefault(key, now)
            elif (began := self._began.pop(key, None)) is not None and state.status == "done":
                self._work.note_pace(flops_of(state.run), now - began)
        return self._work.progress({k: p for k, p in self._current.items() if k in running})

    def _place(self, progress: SweepProgress) -> None:
        there = [node["Resources"] for node in nodes(self._ray)]
        room = slots(there, self._needs)
        if room:
            self._had_room_s = time.monotonic()
        elif not there or time.monotonic() - self._had_room_s > _WITHOUT_NODE_S:
            raise SweepError(
                f"the Ray cluster has lost every node with {said(self._needs)}; what was"
                " finished is kept, the same command goes on"
            )
        # Tasks in flight that have no run yet will take one of those that wait.
        new = progress.count("waiting") - max(0, len(self._tasks) - progress.count("running"))
        self._tasks += [self._begin() for _ in range(min(new, room - len(self._tasks)))]

    def _collect(self, progress: SweepProgress) -> None:
        """Waits a moment, and sees to the tasks that ended."""
        took = False
        ended = self._wait(_POLL_S, most=1)
        for task in ended:
            try:
                took |= self._ray.get(task) > 0
            except self._ray.exceptions.RayTaskError as error:
                if not isinstance(error.cause, SQLAlchemyError):
                    raise _plain(error.cause) from None
                self._lost_one(error.cause, progress)
            except self._ray.exceptions.RayError as error:
                self._lost_one(error, progress)
        if not took and (ended or not self._tasks):
            time.sleep(_POLL_S)

    def _lost_one(self, error: Exception, progress: SweepProgress) -> None:
        """Lets another task take the place of one that was lost, though not for ever.

        Each run may end as many processes before it is given up.
        """
        self._lost += 1
        if self._lost > MAX_DEATHS * progress.total:
            raise error

    def _wait(self, seconds: float, most: int | None = None) -> list[Any]:
        """Waits for tasks, and forgets those that ended; which they are."""
        if not self._tasks:
            return []
        ended: list[Any]
        ended, self._tasks = self._ray.wait(
            self._tasks, num_returns=most or len(self._tasks), timeout=seconds
        )
        return ended


def _plain(error: Exception) -> Exception:
    """What went wrong on a node; Ray's own message is the traceback of another machine."""
    if isinstance(error, ImportError) or "failed to import" in str(error):
        return SweepError(
            "a node of the Ray cluster has no speechplan, or another version: install there what"
            f" is installed here, 'speechplan[measure,ray]'; it says {str(error).splitlines()[0]}"
        )
    return error


def _task(identifier: str, url: str, device: str, board: Any) -> int:
    return work_off(identifier, url, device, board.tell.remote)
