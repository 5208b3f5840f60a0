"""What Prometheus is told: requests as they come, everything else read from the store.

The worker is a process of its own, so queues, runs and coverage are counted where both meet:
in the store, when they are asked for.
"""

from __future__ import annotations

import os
import platform
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import TypeVar

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from api.processes import METRICS_FOLDER
from measurements.coverage import judged, timed, verified
from measurements.jobs.queue import JobQueue
from measurements.logs import get_logger
from measurements.store import Store, StoreError
from planner.answer import Recommendation

_log = get_logger("metrics")

disable_created_metrics()

_LATENCY_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
_ERROR = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
"""Absolute errors of WER or UA, as fractions."""


@dataclass(frozen=True)
class _Came:
    """What has come of a prediction of quality, or of an RTF.

    Attributes:
        of: Its task, or its device.
        basis: What it rested on.
        inside: Whether it held.
        off: How far it was from what was measured.
    """

    of: str
    basis: str
    inside: bool
    off: float


_Checked = tuple[list[_Came], list[_Came]]
"""Of quality, and of RTFs."""

"""Errors that a real run has checked, with their tasks, and times."""

_Group = TypeVar("_Group", bound=tuple[str, ...])

REQUESTS = Counter("speechplan_http_requests", "Requests answered", ("method", "route", "status"))
LATENCY = Histogram(
    "speechplan_http_request_duration_seconds",
    "From a request's first byte to its answer's last",
    ("method", "route"),
    buckets=_LATENCY_S,
)
UNDER_WAY = Gauge(
    "speechplan_http_requests_in_progress", "Requests under way", multiprocess_mode="livesum"
)
RECOMMENDATIONS = Counter(
    "speechplan_recommendations",
    "Recommendations, by whether a real run should come first",
    ("verification",),
)


def note_recommendation(answer: Recommendation) -> None:
    """Counts an answer."""
    RECOMMENDATIONS.labels("needed" if answer.verification.needed else "not_needed").inc()


class StoreCollector(Collector):
    """Counts of the store and of the job engine, and how checked predictions came out.

    A store that does not answer is told as ``speechplan_store_up 0``; the rest is left out.
    """

    def __init__(self, store: Store, queue: JobQueue) -> None:
        self._store = store
        self._queue = queue
        self._checked: tuple[object, _Checked] = (None, ([], []))

    def collect(self) -> Iterator[Metric]:
        """Everything at this moment."""
        build = GaugeMetricFamily("speechplan_build_info", "Always 1", labels=("version", "python"))
        build.add_metric((version("speechplan"), platform.python_version()), 1)
        yield build
        up = GaugeMetricFamily("speechplan_store_up", "Whether store and job engine answer")
        found: list[Metric] = []
        try:
            found += self._counts()
            found += self._coverage()
        except (StoreError, SQLAlchemyError) as error:
            _log.warning("store_unavailable", error=str(error).splitlines()[0])
            found = []
        up.add_metric((), float(bool(found)))
        yield up
        yield from found

    def _counts(self) -> Iterable[Metric]:
        counts = self._store.counts()
        yield _gauge(
            "speechplan_measurements",
            "Measurements in the store",
            ("task", "source"),
            counts.measurements,
        )
        yield _gauge(
            "speechplan_verifications",
            "Verifications by status",
            ("status",),
            {(status,): n for status, n in counts.verifications.items()},
        )
        yield _gauge(
            "speechplan_sweep_runs",
            "Runs of sweeps by status",
            ("status",),
            {(status,): n for status, n in counts.sweep_runs.items()},
        )
        yield _gauge(
            "speechplan_jobs",
            "Jobs that wait (enqueued) or that a worker is at (pending)",
            ("status",),
            {(status,): n for status, n in self._queue.depth().items()},
        )

    def _coverage(self) -> Iterable[Metric]:
        quality, speeds = self._record()
        timings = Tally((one.of, one.basis) for one in speeds)
        held = Tally((one.of, one.basis) for one in speeds if one.inside)
        checked = Tally((one.of, one.basis) for one in quality)
        inside = Tally((one.of, one.basis) for one in quality if one.inside)
        yield _gauge(
            "speechplan_predictions_checked",
            "Predictions that a real run has checked",
            ("task", "basis"),
            checked,
        )
        yield _gauge(
            "speechplan_predictions_inside",
            "Of those, how many came out inside of their interval",
            ("task", "basis"),
            {group: inside[group] for group in checked},
        )
        yield _gauge(
            "speechplan_rtf_predictions_checked",
            "RTFs that a real run has checked",
            ("device", "basis"),
            timings,
        )
        yield _gauge(
            "speechplan_rtf_predictions_inside",
            "Of those, how many came out inside of their interval",
            ("device", "basis"),
            {group: held[group] for group in timings},
        )
        errors = HistogramMetricFamily(
            "speechplan_prediction_absolute_error",
            "|measured - predicted| of WER or UA, as a fraction, over checked predictions",
            labels=("task",),
        )
        for task in sorted({one.of for one in quality}):
            off = [one.off for one in quality if one.of == task]
            errors.add_metric((task,), _buckets(off), sum(off))
        yield errors

    def _record(self) -> _Checked:
        """Checked predictions; read again when one was added."""
        state = self._store.record_state()
        if self._checked[0] != state:
            self._checked = (state, _checked(self._store))
        return self._checked[1]


def _checked(store: Store) -> _Checked:
    quality = [
        _Came(
            verification.question.task,
            run.predicted.basis,
            bool(run.inside),
            abs(run.measured.value - run.predicted.mean),
        )
        for verification, run in verified(store)
    ]
    speeds = [
        _Came(one.device, one.shown.basis, bool(one.inside), abs(one.corrected - one.shown.mean))
        for one in timed(store)
        if one.shown is not None and one.corrected is not None
    ]
    for one in judged(store):
        off = abs(one.measured - one.predicted.mean)
        if one.quantity in ("wer", "ua"):
            task, basis = one.configuration.task, one.predicted.basis
            quality.append(_Came(task, basis, bool(one.inside), off))
        elif one.quantity == "rtf" and one.device is not None:
            speeds.append(_Came(one.device, one.predicted.basis, bool(one.inside), off))
    return quality, speeds


def exposition(collector: StoreCollector, accept: str) -> tuple[bytes, str]:
    """Everything in the format that is asked for, and that format's media type."""
    requests = REGISTRY
    if METRICS_FOLDER in os.environ:
        requests = CollectorRegistry()
        MultiProcessCollector(requests)
    encode, media_type = choose_encoder(accept)
    return encode(_Both(requests, collector)), media_type


class _Both:
    """Requests' metrics and the store's, as one registry."""

    def __init__(self, *collectors: Collector) -> None:
        self._collectors = collectors

    def collect(self) -> Iterator[Metric]:
        for collector in self._collectors:
            yield from collector.collect()


def _gauge(
    name: str, said: str, labels: tuple[str, ...], values: Mapping[_Group, int]
) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, said, labels=labels)
    for group, value in sorted(values.items()):
        gauge.add_metric(group, value)
    return gauge


def _buckets(values: list[float]) -> list[tuple[str, float]]:
    """Cumulative counts below each bound."""
    within = [0] * (len(_ERROR) + 1)
    for value in values:
        within[bisect_left(_ERROR, value)] += 1
    names = [*map(str, _ERROR), "+Inf"]
    return [(name, float(sum(within[: k + 1]))) for k, name in enumerate(names)]
