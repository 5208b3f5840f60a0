"""Runs a configuration over a data set; by task, one evaluation each."""

from __future__ import annotations

from measurements.datasets import Dataset, DatasetError
from measurements.evaluation.base import Evaluation
from measurements.evaluation.emotion import EmotionEvaluation
from measurements.evaluation.transcription import TranscriptionEvaluation
from measurements.store import Store
from models_registry import Configuration, WeightsSource

__all__ = ["Evaluation", "evaluation_of"]

_BY_TASK: dict[str, type[Evaluation]] = {
    "asr": TranscriptionEvaluation,
    "ser": EmotionEvaluation,
}


def evaluation_of(
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
) -> Evaluation:
    """The evaluation of a configuration's task; see :class:`Evaluation`.

    Raises:
        DatasetError: The data set's references are for another task.
    """
    if dataset.task != configuration.task:
        raise DatasetError(
            f"data set {dataset.name} is for {dataset.task}, the configuration for"
            f" {configuration.task}"
        )
    return _BY_TASK[configuration.task](
        configuration,
        dataset,
        store,
        device=device,
        weights=weights,
        command=command,
        seed=seed,
        timing=timing,
        adapter=adapter,
    )
