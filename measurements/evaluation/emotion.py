"""Evaluates emotion recognition: read-outs on speakers that they have not heard."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from measurements import counting, timing
from measurements.adaptation.records import (
    EMOTION_PROTOCOL,
    Hyperparameters,
    TrainingRecord,
    peak_learning_rate,
)
from measurements.datasets import Dataset, DatasetError, Utterance
from measurements.datasets.base import sorted_utterances
from measurements.evaluation.base import Evaluation, spread_over_durations
from measurements.evaluation.readout_training import (
    speaker_folds,
    train_attentive,
    train_linear,
)
from measurements.evaluation.states import EncodedClips, encoded_clips
from measurements.progress import Progress
from measurements.records import AdapterInfo, Measurement, UtteranceResult
from measurements.scoring import mean_recall, unweighted_accuracy
from models_registry import Configuration
from models_registry.adapters import AdapterError, adapters_dir
from models_registry.loading import load, load_encoder
from models_registry.loading.audio import to_waveform
from models_registry.loading.emotion import EmotionRecogniser
from models_registry.loading.encoders import EmotionEncoder
from models_registry.loading.readouts import Readout, load_readout, save_readout
from models_registry.paths import cache_dir
from models_registry.readouts import ReadoutInfo, readouts_folder
from planner.cost import pass_flops

FOLDS = 8
CLIPS_AT_ONCE = 16

HYPERPARAMETERS = Hyperparameters(batch_size=16, held_out_share=0.15)
"""How adapters for emotion are trained; part of a measurement's key."""


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
        if self.configuration.adapter == "none":
            recognised = self._recognise_encoded(index)
        else:
            recognised = self._recognise_adapted(index)
        results = []
        for utterance, heard in zip(self.batches[index], recognised, strict=True):
            results.append(
                UtteranceResult(
                    utterance=utterance.id,
                    audio_s=utterance.duration_s(),
                    substitutions=int(heard != utterance.reference),
                    deletions=0,
                    insertions=0,
                    reference_words=1,
                    hypothesis=heard,
                    audio_sha256=self.dataset.contents[utterance.id],
                )
            )
        return self.store.add_utterances(self.key, results)

    def _recognise_encoded(self, fold: int) -> list[str]:
        """Emotions of a fold's clips by a read-out alone, the encoder as it is."""
        folds = torch.tensor(self._folds())
        unheard = torch.nonzero(folds == fold).squeeze(1)
        readout = self._train(torch.nonzero(folds != fold).squeeze(1))
        with torch.inference_mode():
            if self.clips.tokens is None:
                scores = readout.of_mean(self.clips.means[unheard])
            else:
                scores = readout(self.clips.tokens.of(unheard))
        return [self.labels[chosen] for chosen in scores.argmax(dim=1).tolist()]

    def _recognise_adapted(self, fold: int) -> list[str]:
        """Emotions of a fold's clips by an adapter that was trained on the other folds."""
        heard = [u for i, batch in enumerate(self.batches) if i != fold for u in batch]
        others = replace(self.dataset, utterances=sorted_utterances(heard))
        root = cache_dir() / "fold-adapters"
        recogniser = self._adapted(self._adapt(others, root), root)
        recognised = []
        for first in range(0, len(self.batches[fold]), CLIPS_AT_ONCE):
            clips = self.batches[fold][first : first + CLIPS_AT_ONCE]
            scores = recogniser.probabilities([to_waveform(*u.audio()) for u in clips])
            recognised += [recogniser.labels[best] for best in scores.argmax(dim=1).tolist()]
        return recognised

    def _adapt(self, dataset: Dataset, root: Path) -> TrainingRecord:
        # The trainer evaluates nothing, but evaluations are imported by it.
        from measurements.adaptation.run import adapt

        return adapt(
            self.configuration,
            dataset,
            self._hyperparameters,
            device=str(self._device),
            weights=self._weights,
            command=self._command,
            root=root,
        )

    def _adapted(self, record: TrainingRecord, root: Path) -> EmotionRecogniser:
        with self._loading():
            model = load(
                self.configuration,
                device=str(self._device),
                weights=self._weights,
                adapter=root / record.key,
            )
        assert isinstance(model, EmotionRecogniser)
        return model

    def _find_adapter(self, wanted: str | None) -> None:
        """None: adapters are trained here, one for each fold."""
        if wanted is not None:
            raise AdapterError(
                "emotion recognition is measured with an adapter for each fold of speakers:"
                " they are trained by the measurement, none can be named"
            )

    def _adapter_identity(self) -> str | None:
        if self.configuration.adapter == "none":
            return None
        return f"{EMOTION_PROTOCOL} {self._hyperparameters.model_dump_json()}"

    def _seed_identity(self) -> int:
        # Linear read-outs have one optimum; an adapter's hyper-parameters name its seed.
        trained_by_seed = (self.configuration.readout, self.configuration.adapter) == (
            "attentive",
            "none",
        )
        return self.seed if trained_by_seed else 0

    @property
    def _hyperparameters(self) -> Hyperparameters:
        rate = peak_learning_rate(self.configuration)
        return HYPERPARAMETERS.model_copy(update={"learning_rate": rate, "seed": self.seed})

    def finish(self) -> Measurement:
        """Trains on all speakers, keeps that read-out, times it and stores the measurement."""
        if finished := self.finished():
            return finished
        results = self.store.utterances(self.key)
        emotion = {u.id: u.reference for u in self.dataset.utterances}
        labels = tuple(emotion[r.utterance] for r in results)
        wrong = [r.substitutions for r in results]
        speakers = self.dataset.speakers_of([r.utterance for r in results])
        interval = unweighted_accuracy(wrong, labels, speakers)
        recogniser, adapter = self._final()
        timed = spread_over_durations(self.dataset.utterances, timing.UTTERANCES)
        counting.check_recogniser(recogniser, to_waveform(*timed[0].audio()))
        flops = float(pass_flops(self.configuration, classes=len(self.labels)).total)
        return self._keep(
            results,
            recogniser,
            timed,
            metric=("ua", interval, f"{len(self.labels)} classes"),
            flops=flops,
            dataset=self._dataset_info([r.audio_s for r in results]),
            utterance_errors=tuple((error, 1) for error in wrong),
            speakers=speakers,
            labels=labels,
            adapter=adapter,
        )

    def _describe_anew(self, known: Measurement, key: str, said: dict[str, Any]) -> None:
        """Stores a run again, and what it trained where the study's own is looked for."""
        folder = readouts_folder(self.configuration)
        if (folder / known.key).is_dir():
            readout, info = load_readout(folder / known.key)
            named = replace(info, study=said["study"], measurement=key)
            save_readout(readout, named, folder / key)
        super()._describe_anew(known, key, said)

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
            self.clips.tokens.of(heard), labels, speakers, len(self.labels), seed=self.seed
        )

    def _final(self) -> tuple[EmotionRecogniser, AdapterInfo | None]:
        """The configuration with what was trained on every speaker, kept for later use."""
        if self.configuration.adapter != "none":
            record = self._adapt(self.dataset, adapters_dir())
            return self._adapted(record, adapters_dir()), record.info()
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
        return EmotionRecogniser(encoder, readout, self.labels), None

    def _encoder(self, configuration: Configuration) -> EmotionEncoder:
        with self._loading():
            return load_encoder(configuration, device=str(self._device), weights=self._weights)
