"""Runs a sweep: takes a run that nobody has, measures it, notes what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from measurements.datasets import DatasetError
from measurements.progress import Progress
from measurements.records import Metric
from measurements.store import Store
from measurements.sweeps.kept import KeptSweep, flops_of
from measurements.sweeps.spec import Run, SweepError, SweepSpec
from measurements.sweeps.states import Failure, RunState, Status, SweepProgress
from models_registry import UnknownNameError
from planner.cost import utterance_flops
from planner.workload import DEFAULT_WORKLOAD

if TYPE_CHECKING:
    from measurements.evaluation import Evaluation
    from models_registry.loading.encoder import PrefixCache

MAX_RETRIES = 2
MAX_DEATHS = 3
_POLL_S = 1.0


class Sweep(KeptSweep):
    """A sweep in a store; several processes may run it at once.

    Args:
        spec: What is to be measured.
        store: Where it is kept; what is there already is not done again.
        device: Where runs go whose device is ``auto``.

    Raises:
        SweepError: A point of the design is no configuration.
        UnknownNameError: A model is not in the registry.
    """

    def __init__(self, spec: SweepSpec, store: Store, *, device: str = "auto") -> None:
        super().__init__(spec, store, device=device)
        self._prefixes: PrefixCache | None = None

    def run(self, on_progress: Callable[[SweepProgress], None] | None = None) -> SweepProgress:
        """Runs what is left, and waits for what other processes are at work on.

        Args:
            on_progress: Called as runs go on.
        """
        report = on_progress or (lambda _: None)
        self.go_on()
        while True:
            if self.run_next(report):
                continue
            progress = self.progress()
            report(progress)
            if self.ended(progress) or self.status == "cancelled":
                return progress
            time.sleep(_POLL_S)

    def run_next(self, on_progress: Callable[[SweepProgress], None] | None = None) -> bool:
        """Takes one run and does it; whether there was one to take, and it may go on."""
        report = on_progress or (lambda _: None)
        if self.status == "cancelled":
            return False
        self._choose()
        waiting = [state for state in self.states() if state.status == "waiting"]
        deaths = self._claims.deaths()
        # What has failed, or ended the process that ran it, goes behind the rest.
        for state in sorted(waiting, key=lambda s: s.tries + deaths.get(s.run.key, 0)):
            if not self._claims.take(state.run.key):
                continue
            died = deaths.get(state.run.key, 0)
            with self._claims.held(state.run.key):
                # Somebody may have finished it between the look and the claim.
                fresh = next(s for s in self.states() if s.run == state.run)
                if fresh.status in ("waiting", "running"):
                    if died < MAX_DEATHS:
                        self._execute(fresh, report)
                    else:
                        self._put(_given_up(fresh, died))
                    return True
        self.ended(self.progress())
        return False

    def ended(self, progress: SweepProgress) -> bool:
        """Whether no run is left, which is noted."""
        if progress.over and self.status != "done":
            self._save("done")
        return progress.over

    def _execute(self, state: RunState, report: Callable[[SweepProgress], None]) -> None:
        began = time.perf_counter()
        before: int | None = None
        update: dict[str, object]

        def follow(progress: Progress) -> None:
            nonlocal before
            if before is not None and progress.done > before:
                self._claims.got_on(state.run.key)
            before = progress.done
            report(self.progress({state.run.key: progress}))

        try:
            evaluation = _evaluation(state.run, self.store, self.device)
            evaluation.share(self._shared())
            measurement = evaluation.run(follow)
        except SQLAlchemyError:
            # Not the run's fault: whoever called tries again when the database is back.
            raise
        except Exception as error:  # whatever went wrong is the run's result, not the sweep's
            failure = _failure(error)
            tries = state.tries + 1
            final = failure.kind in ("dataset", "unsupported") or tries > MAX_RETRIES
            status: Status = "failed" if final else "waiting"
            update = {"status": status, "tries": tries, "failure": failure}
            self._put(state.model_copy(update=update))
        else:
            update = {
                "status": "done",
                "measurement": measurement.key,
                "metric": measurement.metric,
                "failure": None,
            }
            self._put(state.model_copy(update=update))
            self.note_pace(flops_of(state.run), time.perf_counter() - began)

    def _shared(self) -> PrefixCache:
        from models_registry.loading.encoder import PrefixCache

        if self._prefixes is None:
            self._prefixes = PrefixCache()
        return self._prefixes

    def _choose(self) -> None:
        """Adds the next run of an adaptive sweep, unless runs are waiting already."""
        if self.spec.design != "adaptive" or not self._claims.take(f"choice of {self.id}"):
            return
        with self._claims.held(f"choice of {self.id}"):
            states = self.states()
            if len(states) < self.total and all(s.status != "waiting" for s in states):
                from measurements.sweeps.adaptive import Observed, next_configuration

                observed = [
                    Observed(state.run.configuration, *_error(state.metric))
                    for state in states
                    if state.metric is not None
                ]
                failed = {s.run.configuration for s in states if s.status == "failed"}
                left = [c for c in self._candidates if c not in failed]
                chosen = next_configuration(
                    left,
                    [float(utterance_flops(c, DEFAULT_WORKLOAD).total) for c in left],
                    observed,
                    pending=[s.run.configuration for s in states if s.status == "running"],
                    seed=self.spec.seed,
                )
                if chosen is not None:
                    self._add([self.spec.run_of(chosen, self.spec.speech[0])])


def _evaluation(run: Run, store: Store, device: str) -> Evaluation:
    from measurements.evaluation import evaluation_of

    return evaluation_of(
        run.configuration,
        run.speech.open(run.configuration.task),
        store,
        device=device if run.device == "auto" else run.device,
        command=run.command(),
        seed=run.speech.seed,
        timing=run.timing,
    )


def _given_up(state: RunState, died: int) -> RunState:
    reason = (
        f"{died} processes at work on it ended without a word or a new result: killed, out of"
        " memory, or a crash in native code; the system's log may say which"
    )
    failure = Failure(kind="other", reason=reason)
    return state.model_copy(
        update={"status": "failed", "tries": state.tries + died, "failure": failure}
    )


def _failure(error: Exception) -> Failure:
    names = {cls.__name__ for cls in type(error).__mro__}
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if isinstance(error, DatasetError | UnknownNameError | SweepError):
        return Failure(kind="dataset", reason=lines[0])
    if names & {"UnsupportedConfigurationError", "AdapterError"}:
        return Failure(kind="unsupported", reason=lines[0])
    if names & {"WeightsError", "MalformedModelError"}:
        return Failure(kind="weights", reason=lines[0])
    return Failure(kind="other", reason=f"{type(error).__name__}: {lines[0]}")


def _error(metric: Metric) -> tuple[float, float]:
    """The error that curves are fitted to, and its standard error."""
    error = metric.error
    if error <= 0:
        # Half an error, as far as the standard error of none tells how many were tried.
        error = (metric.se or 1e-4) / 2
    return error, metric.se or 0.1 * error
