"""Runs a configuration over a data set, batch by batch, and can go on where it stopped."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version

import numpy as np

from measurements import counting, timing
from measurements.datasets import Dataset, Utterance
from measurements.devices import cuda_device, local_cpu
from measurements.progress import Progress
from measurements.records import (
    DatasetInfo,
    DeviceInfo,
    ErrorCounts,
    Measurement,
    Metric,
    UtteranceResult,
    measurement_key,
)
from measurements.scoring import NORMALISER, WordErrors, word_error_rate, word_errors
from measurements.store import Store
from models_registry import Configuration, WeightsSource
from models_registry.loading import load, torch_device
from models_registry.loading.audio import Waveform, to_waveform
from models_registry.loading.whisper import WhisperTranscriber

PROTOCOL = "asr-greedy-2"
"""Part of a measurement's key: raised when the evaluator's results would change."""

BATCH_AUDIO_S = 240.0
"""Window seconds that are decoded together and stored at once: 8 full windows."""

MAX_STORED_DURATIONS = 100


class Evaluation:
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
        seed: Seed of the bootstrap.
    """

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
    ) -> None:
        self.configuration = configuration
        self.dataset = dataset
        self.store = store
        self.seed = seed
        self._device = torch_device(device)
        self._weights = weights
        self._command = command
        self.device = _describe(self._device)
        self.fingerprint = dataset.fingerprint()
        self.key = measurement_key(configuration, self.fingerprint, self.device.id, PROTOCOL)

    @cached_property
    def transcriber(self) -> WhisperTranscriber:
        """The loaded model."""
        return load(
            self.configuration,
            device=str(self._device),
            weights=self._weights,
            language=self.dataset.language,
        )

    @cached_property
    def batches(self) -> list[list[Utterance]]:
        """Utterances of similar length together, longest first."""
        ordered = sorted(self.dataset.utterances, key=lambda u: (-u.duration_s(), u.id))
        size = max(1, int(BATCH_AUDIO_S / self.configuration.window_s))
        return [ordered[start : start + size] for start in range(0, len(ordered), size)]

    def run(self, on_progress: Callable[[Progress], None] | None = None) -> Measurement:
        """Does what is left to do and stores the measurement.

        Args:
            on_progress: Called before the first batch and after each.

        Raises:
            DatasetError: An audio file can't be read.
            WeightsError: The weights can't be had.
        """
        report = on_progress or (lambda _: None)
        if finished := self.store.measurement(self.key):
            total = len(self.dataset.utterances)
            report(Progress("done", total, total, finished.metric.value))
            return finished
        began, first = time.perf_counter(), self.progress().done
        report(self.progress("transcribing", began, first))
        for index in range(len(self.batches)):
            if self.run_batch(index):
                report(self.progress("transcribing", began, first))
        report(self.progress("timing", began, first))
        measurement = self.finish()
        report(self.progress("done", began, first))
        return measurement

    def run_batch(self, index: int) -> int:
        """Transcribes what is missing of a batch, scores and stores it.

        Returns:
            How many utterances were transcribed.
        """
        done = {result.utterance for result in self.store.utterances(self.key)}
        missing = [u for u in self.batches[index] if u.id not in done]
        if not missing:
            return 0
        waveforms = [_waveform(utterance) for utterance in missing]
        transcriptions = self.transcriber.transcribe_batch(waveforms)
        results = []
        for utterance, waveform, transcription in zip(
            missing, waveforms, transcriptions, strict=True
        ):
            errors = word_errors(utterance.reference, transcription.text, self.dataset.language)
            results.append(
                UtteranceResult(
                    utterance=utterance.id,
                    audio_s=len(waveform) / 16_000,
                    substitutions=errors.substitutions,
                    deletions=errors.deletions,
                    insertions=errors.insertions,
                    reference_words=errors.reference_words,
                    hypothesis=transcription.text,
                    output_tokens=tuple(map(len, transcription.tokens)),
                    cut_short=transcription.cut_short,
                )
            )
        return self.store.add_utterances(self.key, results)

    def finish(self) -> Measurement:
        """Times the configuration, sums up its utterances and stores the measurement."""
        if finished := self.store.measurement(self.key):
            return finished
        results = self.store.utterances(self.key)
        errors = [
            WordErrors(r.substitutions, r.deletions, r.insertions, r.reference_words)
            for r in results
        ]
        interval = word_error_rate(errors, seed=self.seed)
        samples, peak = timing.time_utterances(
            self.transcriber, self._timed_utterances(), seed=self.seed
        )
        flops = counting.mean_flops(self.configuration, results)
        counting.check(self.transcriber, _waveform(self._timed_utterances()[0]))
        audio_s = sum(r.audio_s for r in results)
        measurement = Measurement(
            key=self.key,
            study=self.dataset.study,
            configuration=self.configuration,
            source="measured",
            provenance=self._command or "speechplan measure",
            dataset=self._dataset_info(results),
            metric=Metric(
                name="wer",
                value=interval.value,
                lower=interval.lower,
                upper=interval.upper,
                level=interval.level,
                se=interval.se,
                method=f"bootstrap over utterances; normaliser {NORMALISER}",
            ),
            errors=ErrorCounts(
                substitutions=sum(e.substitutions for e in errors),
                deletions=sum(e.deletions for e in errors),
                insertions=sum(e.insertions for e in errors),
                reference_words=sum(e.reference_words for e in errors),
            ),
            utterance_errors=tuple((e.total, e.reference_words) for e in errors),
            flops_counted=flops,
            flops_per_audio_s=flops * len(results) / audio_s,
            timings=tuple(samples),
            rtf=timing.real_time_factors(samples),
            peak_memory_bytes=peak,
            device=self.device,
            software=_software(),
            created_at=datetime.now(UTC),
        )
        self.store.add_measurement(measurement)
        return self.store.measurement(self.key) or measurement

    def _timed_utterances(self) -> list[Utterance]:
        """A few utterances spread over the durations."""
        ordered = sorted(self.dataset.utterances, key=lambda u: (u.duration_s(), u.id))
        places = np.linspace(0, len(ordered) - 1, min(timing.UTTERANCES, len(ordered)))
        return [ordered[round(place)] for place in places]

    def _dataset_info(self, results: Sequence[UtteranceResult]) -> DatasetInfo:
        durations = np.sort([r.audio_s for r in results])
        if len(durations) > MAX_STORED_DURATIONS:
            middles = (np.arange(MAX_STORED_DURATIONS) + 0.5) / MAX_STORED_DURATIONS
            durations = np.quantile(durations, middles)
        audio_s = sum(r.audio_s for r in results)
        text_tokens = sum(sum(r.output_tokens) - len(r.output_tokens) for r in results)
        return DatasetInfo(
            name=self.dataset.name,
            fingerprint=self.fingerprint,
            utterances=len(results),
            audio_s=audio_s,
            reference_words=sum(r.reference_words for r in results),
            durations_s=tuple(round(float(d), 3) for d in durations),
            tokens_per_audio_s=text_tokens / audio_s,
            language=self.dataset.language,
            synthetic=self.dataset.synthetic,
        )

    def progress(
        self, phase: str = "transcribing", began: float | None = None, first: int = 0
    ) -> Progress:
        """How far the run is, by what is in the store.

        Args:
            phase: What is going on.
            began: ``time.perf_counter()`` when this try began.
            first: Utterances that were finished then.
        """
        results = self.store.utterances(self.key)
        words = sum(r.reference_words for r in results)
        wrong = sum(r.substitutions + r.deletions + r.insertions for r in results)
        total, new = len(self.dataset.utterances), len(results) - first
        elapsed_s = 0.0 if began is None else time.perf_counter() - began
        return Progress(
            phase=phase,
            done=len(results),
            total=total,
            wer=wrong / words if words else None,
            elapsed_s=elapsed_s,
            left_s=elapsed_s / new * (total - len(results)) if new > 0 else None,
        )


def _waveform(utterance: Utterance) -> Waveform:
    return to_waveform(*utterance.audio())


def _describe(device: object) -> DeviceInfo:
    if getattr(device, "type", "cpu") == "cuda":
        import torch

        return cuda_device(torch.cuda.get_device_name(device))  # type: ignore[arg-type]
    return local_cpu()


def _software() -> dict[str, str]:
    packages = ("speechplan", "torch", "transformers", "jiwer", "numpy")
    return {name: version(name) for name in packages} | {"python": platform.python_version()}
