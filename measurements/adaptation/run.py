"""One adapter, from data set to files: lesson, training, record."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

from measurements.adaptation import emotion, speech
from measurements.adaptation.examples import split_by_speaker
from measurements.adaptation.lesson import Request, Task
from measurements.adaptation.records import (
    EMOTION_PROTOCOL,
    Hyperparameters,
    TrainingRecord,
    adapter_key,
    read_record,
)
from measurements.adaptation.trainer import Trainer, TrainingState
from measurements.datasets import Dataset
from measurements.evaluation.base import describe_device, software
from measurements.languages import check_language
from measurements.progress import Progress
from measurements.protocols import with_cuts
from models_registry import Configuration, WeightsSource
from models_registry.adapters import RECORD_FILE, adapters_dir, trained_form, weights_sha256
from models_registry.loading import UnsupportedConfigurationError, torch_device
from models_registry.weights import default_source, fetch
from planner.cost.training import TRAINING_CONVENTION

_TASKS: dict[str, Task] = {
    "asr": Task(speech.PROTOCOL, speech.prepare),
    "ser": Task(EMOTION_PROTOCOL, emotion.prepare),
}

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
    root: Path | None = None,
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
        root: Folder that its folder goes into; where adapters are looked for when left out.
        on_progress: Called before the first step and after each.

    Raises:
        UnsupportedConfigurationError: The configuration has no adapter that can be trained.
        DatasetError: The data set can't be read, leaves nothing to train on, or is in a language
            that the model can't transcribe.
        WeightsError: The base weights can't be had.
        TrainingError: The loss is no number any more.
    """
    configuration = trained_form(configuration)
    task = _TASKS.get(configuration.task)
    if configuration.adapter == "none" or task is None:
        raise UnsupportedConfigurationError(
            f"{configuration.label()}: adapters are trained for {' and '.join(_TASKS)}"
        )
    check_language(configuration, dataset, weights, scored=False)
    report = on_progress or (lambda _: None)
    place = torch_device(device)
    source = weights or default_source(configuration.model)
    base = fetch(source, configuration.architecture)
    base_weights, fingerprint = weights_sha256(base), dataset.fingerprint()
    protocol = task.protocol
    if configuration.task == "ser" or configuration.recipe == "self-distilled":
        # Of other transcripts, longer recordings are left out.
        protocol = with_cuts(protocol, dataset, configuration.window_s)
    key_of = partial(
        adapter_key,
        configuration,
        base_weights,
        fingerprint,
        hyperparameters,
        protocol,
        language=dataset.language if configuration.task == "asr" else None,
    )
    key = key_of()
    folder = (root or adapters_dir()) / key
    if (folder / RECORD_FILE).exists() and not _split_alike(read_record(folder), dataset):
        # Trained before these speakers were known: others are held out now.
        key = key_of(speakers={u.id: u.speaker for u in dataset.utterances})
        folder = (root or adapters_dir()) / key
    if (folder / RECORD_FILE).exists():
        return read_record(folder)

    began = time.perf_counter()
    prepared = task.prepare(
        Request(
            configuration, dataset, fingerprint, hyperparameters, place, source, base, base_weights
        ),
        report,
    )
    target_s = time.perf_counter() - began
    checkpoint = folder / _CHECKPOINT
    trainer = Trainer(
        prepared.parameters,
        prepared.lesson,
        hyperparameters,
        checkpoint,
        checkpoint_every=checkpoint_every,
    )
    state = trainer.run(_progress(report, trainer.state, hyperparameters))

    prepared.save(folder)
    record = TrainingRecord(
        key=key,
        configuration=configuration,
        base_weights=base_weights,
        data=prepared.data,
        hyperparameters=hyperparameters,
        trainable_parameters=sum(p.numel() for p in prepared.parameters.values()),
        training_flops=state.training_flops,
        held_out_flops=state.held_out_flops,
        convention=TRAINING_CONVENTION,
        training_s=state.training_s,
        target_s=target_s,
        losses=state.points,
        best_step=state.best_step,
        device=describe_device(place),
        software=software() | {"peft": version("peft")},
        command=command,
        created_at=datetime.now(UTC),
    )
    _write(folder / RECORD_FILE, record)
    checkpoint.unlink(missing_ok=True)
    return record


def _split_alike(record: TrainingRecord, dataset: Dataset) -> bool:
    """Whether an adapter was held against speakers who would be held out of a data set now."""
    h = record.hyperparameters
    _, held_out = split_by_speaker(dataset, h.held_out_share, h.seed)
    return set(record.data.held_out_speakers) <= {u.speaker or "" for u in held_out}


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
