"""Evaluates emotion recognition: read-outs on speakers that they have not heard."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property

import torch

from measurements import counting, timing
from measurements.datasets import DatasetError, Utterance
from measurements.evaluation.base import Evaluation, software, spread_over_durations
from measurements.evaluation.readout_training import (
    speaker_folds,
    train_attentive,
    train_linear,
)
from measurements.evaluation.states import EncodedClips, encoded_clips
from measurements.progress import Progress
from measurements.records import Measurement, Metric, UtteranceResult
from measurements.scoring import mean_recall, unweighted_accuracy
from models_registry import Configuration
from models_registry.loading import load_encoder
from models_registry.loading.audio import to_waveform
from models_registry.loading.emotion import EmotionRecogniser
from models_registry.loading.encoders import EmotionEncoder, Tokens
from models_registry.loading.readouts import Readout, ReadoutInfo, readouts_folder, save_readout
from planner.cost import pass_flops

FOLDS = 8


class EmotionEvaluation(Evaluation):
    """One configuration on clips with emotions, every speaker left out once.

    A batch is a fold: some speakers' clips, classified by a read-out that was
    trained on the other speakers alone.

    Raises:
        DatasetError: A clip's speaker is not known, or there are too few speakers or
            emotions.
    """

    PROTOCOL = "ser-speakers-1"
    PHASE = "classifying"

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Emotions of the data set, in alphabetical order."""
        return tuple(sorted({utterance.reference for utterance in self.dataset.utterances}))

    @cached_property
    def batches(self) -> list[list[Utterance]]:
        """The clips of each fold."""
        utterances = self.dataset.utterances
        folds = self._folds()
        return [
            [u for u, own in zip(utterances, folds, strict=True) if own == fold]
            for fold in range(max(folds) + 1)
        ]

    @cached_property
    def clips(self) -> EncodedClips:
        """The encoded clips, in the data set's order."""
        return encoded_clips(
            self.configuration,
            self.dataset,
            self.fingerprint,
            self._encoder,
            device=self.device.id,
        )

    def run_batch(self, index: int) -> int:
        """Trains on the other folds' speakers, classifies this one's clips and stores it."""
        done = {result.utterance for result in self.store.utterances(self.key)}
        if all(utterance.id in done for utterance in self.batches[index]):
            return 0
        folds = torch.tensor(self._folds())
        unheard = torch.nonzero(folds == index).squeeze(1)
        readout = self._train(torch.nonzero(folds != index).squeeze(1))
        with torch.inference_mode():
            if self.clips.tokens is None:
                scores = readout.of_mean(self.clips.means[unheard])
            else:
                scores = readout(_take(self.clips.tokens, unheard))
        results = []
        for place, chosen in zip(unheard.tolist(), scores.argmax(dim=1).tolist(), strict=True):
            utterance, heard = self.dataset.utterances[place], self.labels[chosen]
            results.append(
                UtteranceResult(
                    utterance=utterance.id,
                    audio_s=self.clips.audio_s[place],
                    substitutions=int(heard != utterance.reference),
                    deletions=0,
                    insertions=0,
                    reference_words=1,
                    hypothesis=heard,
                )
            )
        return self.store.add_utterances(self.key, results)

    def finish(self) -> Measurement:
        """Trains on all speakers, keeps that read-out, times it and stores the measurement."""
        if finished := self.store.measurement(self.key):
            return finished
        results = self.store.utterances(self.key)
        emotion = {u.id: u.reference for u in self.dataset.utterances}
        labels = tuple(emotion[r.utterance] for r in results)
        wrong = [r.substitutions for r in results]
        speakers = self._speakers([r.utterance for r in results])
        interval = unweighted_accuracy(wrong, labels, speakers, seed=self.seed)
        recogniser = self._final()
        timed = spread_over_durations(self.dataset.utterances, timing.UTTERANCES)
        counting.check_recogniser(recogniser, to_waveform(*timed[0].audio()))
        flops = float(pass_flops(self.configuration, classes=len(self.labels)).total)
        audio_s = sum(r.audio_s for r in results)
        measurement = Measurement(
            key=self.key,
            study=self.dataset.study,
            configuration=self.configuration,
            source="measured",
            provenance=self._command or "speechplan measure",
            dataset=self._dataset_info([r.audio_s for r in results]),
            metric=Metric(
                name="ua",
                value=interval.value,
                lower=interval.lower,
                upper=interval.upper,
                level=interval.level,
                se=interval.se,
                method=f"bootstrap over {len(set(speakers))} speakers, each left out of training;"
                f" {len(self.labels)} classes",
            ),
            utterance_errors=tuple((error, 1) for error in wrong),
            speakers=speakers,
            labels=labels,
            flops_counted=flops,
            flops_per_audio_s=flops * len(results) / audio_s,
            device=self.device,
            software=software(),
            created_at=datetime.now(UTC),
            **(timing.measured_fields(recogniser, timed, seed=self.seed) if self.timing else {}),
        )
        self.store.add_measurement(measurement)
        return self.store.measurement(self.key) or measurement

    def progress(
        self, phase: str | None = None, began: float | None = None, first: int = 0
    ) -> Progress:
        """How far the run is, by what is in the store."""
        results = self.store.utterances(self.key)
        emotion = {u.id: u.reference for u in self.dataset.utterances}
        value = None
        if results:
            value = mean_recall(
                [r.substitutions for r in results], [emotion[r.utterance] for r in results]
            )
        return self._progress(phase, len(results), "ua", value, began, first)

    def _folds(self) -> list[int]:
        speakers = [utterance.speaker for utterance in self.dataset.utterances]
        known = [speaker for speaker in speakers if speaker]
        if len(known) < len(speakers):
            unknown = next(u for u in self.dataset.utterances if not u.speaker)
            raise DatasetError(f"{unknown.path}: its speaker is not known; name it in the manifest")
        # Attentive read-outs also leave a speaker out to know when to stop.
        least = 3 if self.configuration.readout == "attentive" else 2
        if len(set(known)) < least:
            raise DatasetError(
                f"data set {self.dataset.name} has {len(set(known))} speakers, at least {least}"
                f" are needed for a {self.configuration.readout} read-out"
            )
        if len(self.labels) < 2:
            raise DatasetError(f"data set {self.dataset.name} has one emotion only")
        return speaker_folds(known, FOLDS)

    def _train(self, heard: torch.Tensor) -> Readout:
        utterances = self.dataset.utterances
        chosen = [utterances[place] for place in heard.tolist()]
        labels = torch.tensor([self.labels.index(u.reference) for u in chosen])
        speakers = [u.speaker or "" for u in chosen]
        if self.clips.tokens is None:
            return train_linear(self.clips.means[heard], labels, speakers, len(self.labels))
        return train_attentive(
            _take(self.clips.tokens, heard), labels, speakers, len(self.labels), seed=self.seed
        )

    def _final(self) -> EmotionRecogniser:
        """The configuration with a read-out that heard every speaker, kept for later use."""
        readout = self._train(torch.arange(len(self.dataset.utterances)))
        encoder = self._encoder(self.configuration)
        info = ReadoutInfo(
            kind=self.configuration.readout,
            width=encoder.width,
            labels=self.labels,
            study=self.dataset.study,
            measurement=self.key,
            weights_sha256=encoder.weights_sha256,
            provenance=self._command or "speechplan measure",
        )
        save_readout(readout, info, readouts_folder(self.configuration) / self.key)
        return EmotionRecogniser(encoder, readout, self.labels)

    def _encoder(self, configuration: Configuration) -> EmotionEncoder:
        return load_encoder(configuration, device=str(self._device), weights=self._weights)


def _take(tokens: Tokens, clips: torch.Tensor) -> Tokens:
    return Tokens(tokens.states[clips], tokens.heard[clips])
