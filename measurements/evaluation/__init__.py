"""Runs a configuration over a data set; by task, one evaluation each."""

from __future__ import annotations

from typing import Any

from measurements.datasets import Dataset, DatasetError
from measurements.evaluation.base import Evaluation
from measurements.evaluation.emotion import EmotionEvaluation
from measurements.evaluation.transcription import TranscriptionEvaluation
from measurements.identity import check_study
from measurements.languages import check_language
from measurements.store import Store
from models_registry import Configuration

__all__ = ["Evaluation", "evaluation_of"]

_BY_TASK: dict[str, type[Evaluation]] = {
    "asr": TranscriptionEvaluation,
    "ser": EmotionEvaluation,
}


def evaluation_of(
    configuration: Configuration, dataset: Dataset, store: Store, **options: Any
) -> Evaluation:
    """The evaluation of a configuration's task.

    Args:
        configuration: What to run.
        dataset: On what.
        store: Where results are kept.
        options: See :class:`Evaluation`.

    Raises:
        DatasetError: The data set's references are for another task, its study was measured on
            other speech, or the model can't transcribe its language.
        AdapterError: No adapter fits the configuration, or several do.
    """
    if dataset.task != configuration.task:
        raise DatasetError(
            f"data set {dataset.name} is for {dataset.task}, the configuration for"
            f" {configuration.task}"
        )
    check_language(configuration, dataset, options.get("weights"))
    check_study(dataset, store)
    return _BY_TASK[configuration.task](configuration, dataset, store, **options)
