"""Evaluates speech recognition: transcripts, word errors, FLOPs, timings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from measurements import counting, timing
from measurements.datasets import DatasetError, Utterance
from measurements.evaluation.base import Evaluation, metric_from, spread_over_durations
from measurements.progress import Progress
from measurements.records import ErrorCounts, Measurement, Metric, UtteranceResult
from measurements.scoring import (
    WordErrors,
    errors_of,
    normalise,
    normaliser_of,
    word_error_rate,
    word_errors,
)
from models_registry.loading import load
from models_registry.loading.audio import Waveform, to_waveform
from models_registry.loading.whisper import WhisperTranscriber

BATCH_AUDIO_S = 240.0
"""Window seconds that are decoded together and stored at once: 8 full windows."""


class TranscriptionEvaluation(Evaluation):
    """One configuration of a Whisper model on transcribed speech."""

    PROTOCOL = "asr-greedy-4"
    PHASE = "transcribing"

    _scorable = False
    """Whether the references are known to hold a word; a part of them may still hold none."""

    @cached_property
    def transcriber(self) -> WhisperTranscriber:
        """The loaded model."""
        with self._loading():
            transcriber = load(
                self.configuration,
                device=str(self._device),
                weights=self._weights,
                language=self.dataset.language,
                adapter=self.adapter.folder if self.adapter else None,
            )
        assert isinstance(transcriber, WhisperTranscriber)
        transcriber.share(self._prefixes, str(self._weights))
        return transcriber

    @cached_property
    def batches(self) -> list[list[Utterance]]:
        """Utterances of similar length together, longest first.

        Raises:
            DatasetError: No reference holds a word, so nothing could be scored.
        """
        if not self._scorable:
            self._check_references()
        ordered = sorted(self.dataset.utterances, key=lambda u: (-u.duration_s(), u.id))
        size = max(1, int(BATCH_AUDIO_S / self.configuration.window_s))
        return [ordered[start : start + size] for start in range(0, len(ordered), size)]

    def _check_references(self) -> None:
        """Refuses references without a word before hours of transcribing, not behind them."""
        language = self.dataset.language
        if not any(normalise(u.reference, language) for u in self.dataset.utterances):
            raise DatasetError(
                f"data set {self.dataset.name}: none of its {len(self.dataset.utterances)}"
                " references holds a word after normalisation, so there is no word error rate;"
                " nothing was transcribed"
            )
        self._scorable = True

    def run_batch(self, index: int) -> int:
        """Transcribes what is missing of a batch, scores and stores it."""
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
                    passes=transcription.passes,
                    text_tokens=transcription.text_tokens,
                    windows=transcription.windows,
                    retried=transcription.retried,
                    cut_short=transcription.cut_short,
                    audio_sha256=self.dataset.contents[utterance.id],
                )
            )
        return self.store.add_utterances(self.key, results)

    def finish(self) -> Measurement:
        """Times the configuration, sums up its utterances and stores the measurement."""
        if finished := self.finished():
            return finished
        results = self.store.utterances(self.key)
        errors = errors_of(results)
        speakers = self.dataset.speakers_of([r.utterance for r in results])
        if not any(e.reference_words for e in errors):
            raise DatasetError(
                f"data set {self.dataset.name}: the references of the {len(results)} utterances"
                " measured hold no word; their transcripts are kept, more utterances add to them"
            )
        interval = word_error_rate(errors, speakers=speakers, seed=self.seed)
        timed = spread_over_durations(self.dataset.utterances, timing.UTTERANCES)
        # What is taken from others is neither timed nor counted.
        self.transcriber.share(None)
        flops = counting.mean_flops(self.configuration, results)
        counting.check(self.transcriber, _waveform(timed[0]))
        counts = ErrorCounts(
            substitutions=sum(e.substitutions for e in errors),
            deletions=sum(e.deletions for e in errors),
            insertions=sum(e.insertions for e in errors),
            reference_words=sum(e.reference_words for e in errors),
            empty_references=sum(not e.reference_words for e in errors),
            empty_insertions=sum(e.insertions for e in errors if not e.reference_words),
        )
        audio_s = sum(r.audio_s for r in results)
        return self._keep(
            results,
            self.transcriber,
            timed,
            metric=("wer", interval, f"normaliser {normaliser_of(self.dataset.language)}"),
            flops=flops,
            dataset=self._dataset_info(
                [r.audio_s for r in results],
                reference_words=counts.reference_words,
                tokens_per_audio_s=sum(r.text_tokens for r in results) / audio_s,
            ),
            errors=counts,
            utterance_errors=tuple((e.total, e.reference_words) for e in errors),
            windows=sum(r.windows for r in results),
            retried=sum(r.retried for r in results),
            speakers=speakers,
            adapter=self._adapter_info(),
        )

    def _metric_of(self, known: Measurement, speakers: Sequence[str]) -> Metric:
        """The metric with an interval over the speakers."""
        if speakers == known.speakers or not known.utterance_errors:
            return known.metric
        errors = [WordErrors(wrong, 0, 0, words) for wrong, words in known.utterance_errors]
        interval = word_error_rate(errors, speakers=speakers, seed=self.seed)
        _, _, about = (known.metric.method or "").partition("; ")
        return metric_from("wer", interval, about)

    def progress(
        self, phase: str | None = None, began: float | None = None, first: int = 0
    ) -> Progress:
        """How far the run is, by what is in the store."""
        results = self.store.utterances(self.key)
        words = sum(r.reference_words for r in results)
        wrong = sum(r.errors for r in results)
        value = wrong / words if words else None
        return self._progress(phase, len(results), "wer", value, began, first)


def _waveform(utterance: Utterance) -> Waveform:
    return to_waveform(*utterance.audio())
