"""What every evaluation does: batch by batch, going on where it stopped."""

from __future__ import annotations

import copy
import hashlib
import json
import platform
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from typing import Any, ClassVar, Literal, Self

import numpy as np

from measurements import timing
from measurements.adaptation.records import read_record
from measurements.datasets import Dataset, Utterance
from measurements.devices import cuda_device, local_cpu, torch_build
from measurements.identity import check_study
from measurements.memory import MemoryMeter, measuring_bytes
from measurements.microbenchmark import fingerprint_of
from measurements.progress import Progress
from measurements.protocols import with_cuts
from measurements.records import (
    AdapterInfo,
    DatasetInfo,
    DeviceInfo,
    Measurement,
    Metric,
    PairedRatio,
    UtteranceResult,
    measurement_key,
)
from measurements.statistics import Interval
from measurements.store import Store
from models_registry import Configuration, WeightsSource
from models_registry.adapters import Adapter, find_adapter, weights_sha256
from models_registry.loading import torch_device
from models_registry.loading.clock import Weighty
from models_registry.loading.encoder import PrefixCache
from models_registry.weights import default_source, fetch

MAX_STORED_DURATIONS = 100


class Evaluation(ABC):
    """One configuration on one data set.

    Every finished batch is in the store before the next one begins; a new
    object for the same run sees what is there and does only the rest.

    Args:
        configuration: What to run.
        dataset: On what.
        store: Where results are kept.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        weights: Where the weights come from; the default source when left out.
        command: How to repeat it, kept as its provenance.
        seed: Seed of whatever is random.
        timing: Whether the configuration is timed at the end; without it, the
            measurement has no real-time factor.
        adapter: Key or folder of the adapter to run with; the one trained for the
            configuration when left out.

    Raises:
        AdapterError: No adapter fits the configuration, or several do.
        WeightsError: Weights that were named can't be had.
    """

    PROTOCOL: ClassVar[str]
    """Part of a measurement's key: raised when the results would change."""

    PHASE: ClassVar[str]
    """What a user is told is going on meanwhile."""

    def __init__(
        self,
        configuration: Configuration,
        dataset: Dataset,
        store: Store,
        *,
        device: str = "auto",
        weights: WeightsSource | None = None,
        command: str = "",
        seed: int = 0,
        timing: bool = True,
        adapter: str | None = None,
    ) -> None:
        self.configuration = configuration
        self.dataset = dataset
        self.store = store
        self.seed = seed
        self.timing = timing
        self.timing_limit_s: float | None = None
        """Seconds that timing takes at most, unless every recording once takes longer."""
        self.paired: PairedRatio | None = None
        """Of a run that ended early, what its measurement says instead of a level."""
        self.ended: Literal["better", "worse"] | None = None
        """The verdict that ended it."""
        self._prefixes: PrefixCache | None = None
        self._loading_peak: int | None = None
        self._device = torch_device(device)
        self._weights = weights
        self._command = command
        self.device = describe_device(self._device)
        self.fingerprint = dataset.fingerprint()
        self.adapter = self._find_adapter(adapter)
        self._other_weights = _identity_of(weights, configuration)
        self.key = self._key()

    def _key(self) -> str:
        return measurement_key(
            self.configuration,
            self.fingerprint,
            self.device.id,
            self._protocol(),
            self._adapter_identity(),
            weights=self._other_weights,
            seed=self._seed_identity(),
            language=self.dataset.language if self.configuration.task == "asr" else None,
        )

    def _protocol(self) -> str:
        c = self.configuration
        if c.window_policy == "truncate":
            return self.PROTOCOL
        return with_cuts(self.PROTOCOL, self.dataset, c.speech_s)

    def _find_adapter(self, wanted: str | None) -> Adapter | None:
        adapted = self.configuration.adapter != "none" or wanted is not None
        return find_adapter(self.configuration, wanted) if adapted else None

    def _adapter_identity(self) -> str | None:
        """What of the measurement's key stands for the adapter."""
        return self.adapter.key if self.adapter else None

    def _seed_identity(self) -> int:
        """The seed as part of the measurement's key: 0 where utterances fare alike with any."""
        return 0

    def share(self, prefixes: PrefixCache) -> None:
        """Shares what other evaluations in this process compute alike; a task may have none.

        Args:
            prefixes: The same object for each of them.
        """
        self._prefixes = prefixes

    @cached_property
    @abstractmethod
    def batches(self) -> Sequence[Sequence[Utterance]]:
        """What is evaluated and stored at once, in this order."""

    @property
    def missing(self) -> int:
        """Utterances that are not evaluated yet."""
        done = {result.utterance for result in self.store.utterances(self.key)}
        return sum(utterance.id not in done for utterance in self.dataset.utterances)

    @abstractmethod
    def run_batch(self, index: int) -> int:
        """Evaluates what is missing of a batch and stores it.

        Returns:
            How many utterances were evaluated.
        """

    @abstractmethod
    def finish(self) -> Measurement:
        """Times the configuration, sums up its utterances and stores the measurement."""

    @abstractmethod
    def progress(
        self, phase: str | None = None, began: float | None = None, first: int = 0
    ) -> Progress:
        """How far the run is, by what is in the store.

        Args:
            phase: What is going on.
            began: ``time.perf_counter()`` when this try began.
            first: Utterances that were finished then.
        """

    def on(self, dataset: Dataset, command: str) -> Self:
        """The same run on other utterances; a model that is loaded is shared.

        Args:
            dataset: The utterances.
            command: How to repeat it.
        """
        other = copy.copy(self)
        other.__dict__.pop("batches", None)
        other.dataset, other._command = dataset, command
        other.fingerprint = dataset.fingerprint()
        other.key = other._key()
        return other

    def run(self, on_progress: Callable[[Progress], None] | None = None) -> Measurement:
        """Does what is left to do and stores the measurement.

        Args:
            on_progress: Called before the first batch and after each.

        Raises:
            DatasetError: An audio file can't be read.
            WeightsError: The weights can't be had.
        """
        report = on_progress or (lambda _: None)
        if finished := self.finished():
            total = len(self.dataset.utterances)
            metric = finished.metric
            report(Progress("done", total, total, metric.name, metric.value))
            return finished
        began, first = time.perf_counter(), self.progress().done
        report(self.progress(self.PHASE, began, first))
        for index in range(len(self.batches)):
            if self.run_batch(index):
                report(self.progress(self.PHASE, began, first))
        report(self.progress("timing" if self.timing else "scoring", began, first))
        measurement = self.finish()
        report(self.progress("done", began, first))
        return measurement

    def finished(self) -> Measurement | None:
        """The measurement of this run as the data set describes it now; None before its end.

        What the model did stays the same where a study was given another name, or speakers were
        added. Such a run is stored again under a key of its own, its interval made anew.
        """
        known = self.store.measurement(self.key)
        if known is None:
            return None
        results = self.store.utterances(self.key)
        ids = [r.utterance for r in results] or [u.id for u in self.dataset.utterances]
        said: dict[str, Any] = {
            "study": self.dataset.study,
            "dataset": known.dataset.model_copy(
                update={
                    "name": self.dataset.name,
                    "language": self.dataset.language,
                    "synthetic": self.dataset.synthetic,
                }
            ),
            "speakers": self.dataset.speakers_of(ids),
        }
        if all(getattr(known, name) == value for name, value in said.items()):
            return known
        about = [said["study"], said["dataset"].model_dump(mode="json"), said["speakers"]]
        key = hashlib.sha256(json.dumps([known.key, *about]).encode()).hexdigest()
        if self.store.measurement(key) is None:
            check_study(self.dataset, self.store)
            self._describe_anew(known, key, said)
            self.store.add_utterances(key, results)
        return self.store.measurement(key)

    def _describe_anew(self, known: Measurement, key: str, said: dict[str, Any]) -> None:
        """Stores a run again with what its data set says now."""
        update = {
            **said,
            "key": key,
            "metric": self._metric_of(known, said["speakers"]),
            "provenance": self._command or known.provenance,
            "replaces": known.key,
        }
        self.store.add_measurement(known.model_copy(update=update))

    def _metric_of(self, known: Measurement, speakers: Sequence[str]) -> Metric:
        """The metric of a run whose utterances turn out to be of other speakers."""
        return known.metric

    def _progress(
        self,
        phase: str | None,
        done: int,
        metric: str,
        value: float | None,
        began: float | None,
        first: int,
    ) -> Progress:
        total, new = len(self.dataset.utterances), done - first
        elapsed_s = 0.0 if began is None else time.perf_counter() - began
        return Progress(
            phase=phase or self.PHASE,
            done=done,
            total=total,
            metric=metric,
            value=value,
            elapsed_s=elapsed_s,
            left_s=elapsed_s / new * (total - done) if new > 0 else None,
        )

    def _keep(
        self,
        results: Sequence[UtteranceResult],
        model: Weighty,
        timed: Sequence[Utterance],
        *,
        metric: tuple[Literal["wer", "ua"], Interval, str],
        flops: float,
        **fields: Any,
    ) -> Measurement:
        """Times the model, puts the measurement together and stores it.

        Args:
            results: Of every utterance.
            model: What is timed.
            timed: On these.
            metric: Its name, its interval, and what else to know about it.
            flops: Of an utterance, the mean, under ``counted-1``.
            fields: What only this task has.
        """
        # Another process may have begun the study meanwhile.
        check_study(self.dataset, self.store)
        name, interval, about = metric
        times = (
            timing.measured_fields(
                model,
                timed,
                seed=self.seed,
                held_bytes=self._held_bytes() or 0,
                limit_s=self.timing_limit_s,
            )
            if self.timing
            else {}
        )
        if self.timing and self._device.type == "cpu":
            times["peak_memory_bytes"] = self._peak_bytes(times["peak_memory_bytes"])
        measurement = Measurement(
            key=self.key,
            study=self.dataset.study,
            configuration=self.configuration,
            source="measured",
            provenance=self._command or "speechplan measure",
            metric=metric_from(name, interval, about),
            flops_counted=flops,
            flops_per_audio_s=flops * len(results) / sum(r.audio_s for r in results),
            device=self.device,
            fingerprint=fingerprint_of(self._device, self.device) if self.timing else None,
            weights_bytes=model.weights_bytes,
            software=software(),
            ended=self.ended,
            paired=self.paired,
            created_at=datetime.now(UTC),
            **times,
            **fields,
        )
        self.store.add_measurement(measurement)
        return self.store.measurement(self.key) or measurement

    @contextmanager
    def _loading(self) -> Iterator[None]:
        """Notes the peak of memory while a model is loaded on a CPU."""
        if self._device.type != "cpu" or not self.timing:
            yield
            return
        held, meter = self._held_bytes(), MemoryMeter(self._device)
        yield
        peak = meter.read().peak_bytes
        self._loading_peak = None if peak is None or held is None else peak - held

    def _held_bytes(self) -> int | None:
        """Memory on the device that is no part of serving the configuration, if it is known."""
        shared = self._prefixes.bytes_on(self._device.type) if self._prefixes else 0
        own = measuring_bytes() if self._device.type == "cpu" else 0
        return None if own is None else shared + own

    def _peak_bytes(self, timed: int | None) -> int | None:
        """Peak of a process that serves the configuration, from loading on, if it is known."""
        if timed is None or self._held_bytes() is None:
            return None
        return max(timed, self._loading_peak or 0)

    def _adapter_info(self) -> AdapterInfo | None:
        return read_record(self.adapter.folder).info() if self.adapter else None

    def _dataset_info(
        self,
        durations_s: Sequence[float],
        *,
        reference_words: int | None = None,
        tokens_per_audio_s: float | None = None,
    ) -> DatasetInfo:
        durations = np.sort(durations_s)
        if len(durations) > MAX_STORED_DURATIONS:
            middles = (np.arange(MAX_STORED_DURATIONS) + 0.5) / MAX_STORED_DURATIONS
            durations = np.quantile(durations, middles)
        return DatasetInfo(
            name=self.dataset.name,
            fingerprint=self.fingerprint,
            utterances=len(durations_s),
            audio_s=sum(durations_s),
            reference_words=reference_words,
            durations_s=tuple(round(float(d), 3) for d in durations),
            tokens_per_audio_s=tokens_per_audio_s,
            language=self.dataset.language,
            synthetic=self.dataset.synthetic,
        )


def metric_from(name: Literal["wer", "ua"], interval: Interval, about: str) -> Metric:
    """A metric of its interval, and what else to know about it."""
    return Metric(
        name=name,
        value=interval.value,
        lower=interval.lower,
        upper=interval.upper,
        level=interval.level,
        se=interval.se,
        method=f"{interval.method}; {about}",
    )


def spread_over_durations(utterances: Sequence[Utterance], count: int) -> list[Utterance]:
    """A few utterances, from the shortest to the longest."""
    ordered = sorted(utterances, key=lambda u: (u.duration_s(), u.id))
    places = np.linspace(0, len(ordered) - 1, min(count, len(ordered)))
    return [ordered[round(place)] for place in places]


def _identity_of(weights: WeightsSource | None, configuration: Configuration) -> str | None:
    """SHA-256 of weights; none of those that are taken where none are named."""
    if weights is None or weights == default_source(configuration.model):
        return None
    return weights_sha256(fetch(weights, configuration.architecture))


def software() -> dict[str, str]:
    """Versions that a result may depend on."""
    packages = ("speechplan", "torch", "transformers", "jiwer", "numpy")
    return {name: version(name) for name in packages} | {"python": platform.python_version()}


def describe_device(device: object) -> DeviceInfo:
    """What is kept of a torch device."""
    if getattr(device, "type", "cpu") == "cuda":
        import torch

        major, minor = torch.cuda.get_device_capability(device)  # type: ignore[arg-type]
        return cuda_device(
            torch.cuda.get_device_name(device),  # type: ignore[arg-type]
            capability=f"{major}.{minor}",
            library=torch_build(),
        )
    return local_cpu()
