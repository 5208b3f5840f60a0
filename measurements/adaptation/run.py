"""One adapter, from data set to files: targets, training, record."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from tokenizers import Tokenizer

from measurements.adaptation.records import (
    Hyperparameters,
    TrainingData,
    TrainingRecord,
    adapter_key,
    read_record,
)
from measurements.adaptation.speech import (
    Example,
    SpeechLesson,
    distilled_examples,
    labels_file,
    split_by_speaker,
    transcript_examples,
)
from measurements.adaptation.trainer import Trainer, TrainingState
from measurements.datasets import Dataset, DatasetError, Utterance
from measurements.devices import cuda_device, local_cpu
from measurements.evaluation.base import software
from measurements.progress import Progress
from models_registry import Configuration, WeightsSource
from models_registry.adapters import (
    RECORD_FILE,
    adapters_dir,
    placement,
    trained_form,
    weights_sha256,
)
from models_registry.loading import UnsupportedConfigurationError, load, torch_device
from models_registry.loading.adapters import AttachedAdapter
from models_registry.loading.reduction import install_reduction
from models_registry.loading.whisper import WhisperTranscriber
from models_registry.weights import default_source, fetch
from planner.cost.training import TRAINING_CONVENTION

PROTOCOL = "asr-adaptation-1"
"""Part of an adapter's key: raised when the same settings would train another one."""

_CHECKPOINT = "checkpoint.safetensors"


def adapt(
    configuration: Configuration,
    dataset: Dataset,
    hyperparameters: Hyperparameters,
    *,
    device: str = "auto",
    weights: WeightsSource | None = None,
    command: str = "",
    checkpoint_every: int = 10,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainingRecord:
    """Trains the adapter of a configuration, or goes on training it.

    The same call again after a stop goes on at the last checkpoint and ends with the same
    weights; once finished, it only reads the record.

    Args:
        configuration: What to train for; its adapter must not be ``none``.
        dataset: What to learn from; references are only looked at by recipe ``supervised``.
        hyperparameters: How.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        weights: Where the base weights come from.
        command: How to repeat it, kept in the record.
        checkpoint_every: Steps between checkpoints.
        on_progress: Called before the first step and after each.

    Raises:
        UnsupportedConfigurationError: The configuration has no adapter that can be trained.
        DatasetError: The data set can't be read, or leaves nothing to train on.
        WeightsError: The base weights can't be had.
        TrainingError: The loss is no number any more.
    """
    configuration = trained_form(configuration)
    if configuration.adapter == "none" or configuration.task != "asr":
        raise UnsupportedConfigurationError(
            f"{configuration.label()}: adapters are trained for asr, and need --adapter"
        )
    report = on_progress or (lambda _: None)
    place = torch_device(device)
    architecture = configuration.architecture
    source = weights or default_source(configuration.model)
    base = fetch(source, architecture)
    base_weights, fingerprint = weights_sha256(base), dataset.fingerprint()
    key = adapter_key(configuration, base_weights, fingerprint, hyperparameters, PROTOCOL)
    folder = adapters_dir() / key
    if (folder / RECORD_FILE).exists():
        return read_record(folder)

    plain = Configuration(model=configuration.model)
    teacher = load(plain, device=str(place), weights=source, language=dataset.language)
    began = time.perf_counter()
    training, held_out = _utterances(dataset, hyperparameters)
    make = _Targets(configuration, teacher, base, base_weights, fingerprint, report)
    examples, exam = make.examples(training, held_out)
    if not examples or not exam:
        raise DatasetError(
            f"data set {dataset.name}: no utterance with a usable target within"
            f" {configuration.window_s:g} s to {'train on' if not examples else 'hold out'}"
        )
    target_s = time.perf_counter() - began

    model = teacher.model
    install_reduction(model.model.encoder.layers, model.model.encoder.layer_norm, configuration)
    torch.manual_seed(hyperparameters.seed)
    adapter = AttachedAdapter(
        model,
        placement(configuration),
        scaling=hyperparameters.scaling,
        svd=configuration.adapter == "dama",
        base_name=architecture.hub_id,
    )
    lesson = SpeechLesson(
        model, configuration, teacher.rules.prompt, examples, exam, hyperparameters
    )
    checkpoint = folder / _CHECKPOINT
    trainer = Trainer(
        adapter.parameters, lesson, hyperparameters, checkpoint, checkpoint_every=checkpoint_every
    )
    state = trainer.run(_progress(report, trainer.state, hyperparameters))

    adapter.save(folder)
    record = TrainingRecord(
        key=key,
        configuration=configuration,
        base_weights=base_weights,
        data=TrainingData(
            name=dataset.name,
            fingerprint=fingerprint,
            utterances=len({e.utterance.id for e in examples}),
            audio_s=sum(e.duration_s for e in examples),
            held_out_utterances=len({e.utterance.id for e in exam}),
            held_out_speakers=tuple(sorted({e.utterance.speaker or "" for e in exam})),
            left_out_utterances=len({u.id for u in (*training, *held_out)})
            - len({e.utterance.id for e in (*examples, *exam)}),
        ),
        hyperparameters=hyperparameters,
        trainable_parameters=sum(p.numel() for p in adapter.parameters.values()),
        training_flops=state.training_flops,
        held_out_flops=state.held_out_flops,
        convention=TRAINING_CONVENTION,
        training_s=state.training_s,
        target_s=target_s,
        losses=state.points,
        best_step=state.best_step,
        device=(
            cuda_device(torch.cuda.get_device_name(place)) if place.type == "cuda" else local_cpu()
        ),
        software=software() | {"peft": version("peft")},
        command=command,
        created_at=datetime.now(UTC),
    )
    _write(folder / RECORD_FILE, record)
    checkpoint.unlink(missing_ok=True)
    return record


class _Targets:
    """Makes examples by the configuration's recipe."""

    def __init__(
        self,
        configuration: Configuration,
        teacher: WhisperTranscriber,
        base: Path,
        base_weights: str,
        fingerprint: str,
        report: Callable[[Progress], None],
    ) -> None:
        self._configuration, self._teacher, self._base = configuration, teacher, base
        self._file = labels_file(base_weights, fingerprint, teacher.rules)
        self._report = report

    def examples(
        self, training: list[Utterance], held_out: list[Utterance]
    ) -> tuple[list[Example], list[Example]]:
        """Examples of each part."""
        everything = sorted((*training, *held_out), key=lambda u: u.id)
        if self._configuration.recipe == "self-distilled":
            found = distilled_examples(
                everything,
                self._configuration,
                self._teacher,
                self._file,
                lambda done, total: self._report(Progress("listening", done, total)),
            )
        else:
            tokenizer = Tokenizer.from_file(str(self._base / "tokenizer.json"))
            end = self._teacher.rules.end_of_text
            found = transcript_examples(everything, self._configuration, tokenizer, end)
        apart = {utterance.id for utterance in held_out}
        return (
            [e for e in found if e.utterance.id not in apart],
            [e for e in found if e.utterance.id in apart],
        )


def _utterances(
    dataset: Dataset, hyperparameters: Hyperparameters
) -> tuple[list[Utterance], list[Utterance]]:
    """Utterances for both parts, no more than the steps can take in."""
    h = hyperparameters
    training, held_out = split_by_speaker(dataset, h.held_out_share, h.seed)
    wanted = h.steps * h.batch_size
    if len(training) > wanted:
        random.Random(h.seed).shuffle(training)
    return training[:wanted], held_out


def _progress(
    report: Callable[[Progress], None], started: TrainingState, hyperparameters: Hyperparameters
) -> Callable[[TrainingState], None]:
    began, first, steps = time.perf_counter(), started.step, hyperparameters.steps

    def on_step(state: TrainingState) -> None:
        elapsed_s, new = time.perf_counter() - began, state.step - first
        report(
            Progress(
                phase="training",
                done=state.step,
                total=steps,
                metric="loss",
                value=state.losses[-1][2],
                elapsed_s=elapsed_s,
                left_s=elapsed_s / new * (steps - state.step) if new else None,
            )
        )

    return on_step


def _write(path: Path, record: TrainingRecord) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
