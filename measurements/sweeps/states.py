"""What has become of a sweep's runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from measurements.progress import Progress
from measurements.records import Metric, Record
from measurements.sweeps.spec import Run

Status = Literal["waiting", "running", "done", "failed"]


class Failure(Record):
    """Why a run has no result.

    Attributes:
        kind: ``dataset``, ``weights``, ``unsupported`` (the configuration can't be
            loaded) or ``other``.
        reason: In one line; it names the file where one is to blame.
    """

    kind: Literal["dataset", "weights", "unsupported", "other"]
    reason: str


class RunState(Record):
    """A run of a sweep and what has become of it.

    Attributes:
        run: What is run.
        status: How far it is.
        tries: Tries that failed.
        measurement: Key of the measurement.
        metric: What it found.
        failure: Why the last try failed.
    """

    run: Run
    status: Status = "waiting"
    tries: int = 0
    measurement: str | None = None
    metric: Metric | None = None
    failure: Failure | None = None


@dataclass(frozen=True)
class SweepProgress:
    """How far a sweep is.

    Attributes:
        states: Its runs, in their order.
        total: How many there will be.
        current: How far the runs under way are that are this process's, by their keys.
        left_s: Seconds to go at the pace so far, with as many runs at once as now, runs
            taken to last as their FLOPs.
    """

    states: tuple[RunState, ...]
    total: int
    current: Mapping[str, Progress] = field(default_factory=dict)
    left_s: float | None = None

    @property
    def over(self) -> bool:
        """Whether no run is left."""
        return not self.count("running") and not self.count("waiting")

    def count(self, status: Status) -> int:
        """Runs with a status; what an adaptive sweep has yet to choose is waiting."""
        extra = self.total - len(self.states) if status == "waiting" else 0
        return extra + sum(state.status == status for state in self.states)
