"""Whether a sweep's runs can come to anything, before they are queued for a worker."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from itertools import combinations
from typing import TYPE_CHECKING

from measurements.datasets import Dataset, DatasetError
from measurements.identity import check_apart, check_study
from measurements.languages import check_language
from measurements.sweeps.spec import SweepSpec
from models_registry import UnknownNameError
from models_registry.adapters import find_adapter, trained_form

if TYPE_CHECKING:
    from measurements.store import Store


def check_runs(spec: SweepSpec, store: Store) -> tuple[str, ...]:
    """Looks for runs that could only fail.

    Args:
        spec: What is to be run.
        store: Where its measurements are to go.

    Returns:
        What a user should be told of the data sets, such as a language that was assumed.

    Raises:
        DatasetError: A data set can't be read, has no references for the task, is in a language
            that a model can't transcribe, or has another one's name.
        AdapterError: A configuration needs an adapter that nobody has trained.
        SweepError: A point of the design is no configuration.
        UnknownNameError: A model or a kind of data set is not known.
    """
    configurations = spec.configurations()
    datasets = [speech.open(spec.task) for speech in spec.speech]
    for dataset in datasets:
        if dataset.task != spec.task:
            raise DatasetError(
                f"data set {dataset.name} is for {dataset.task}, the sweep for {spec.task}"
            )
        check_study(dataset, store)
        for configuration in configurations:
            check_language(configuration, dataset)
    for first, second in combinations(datasets, 2):
        check_apart(first, second)
    remarks = _remarks(datasets)
    if spec.task == "ser":  # its adapters are trained by the measurement, one for each fold
        return remarks
    adapted = [c for c in configurations if c.adapter != "none"]
    for configuration in dict.fromkeys(map(trained_form, adapted)):
        find_adapter(configuration)
    return remarks


def remarks_of(spec: SweepSpec) -> tuple[str, ...]:
    """What a user should be told of the data sets that can be read."""
    datasets = []
    for speech in spec.speech:
        # What can't be read is noted by its runs.
        with suppress(DatasetError, UnknownNameError):
            datasets.append(speech.open(spec.task))
    return _remarks(datasets)


def _remarks(datasets: Iterable[Dataset]) -> tuple[str, ...]:
    said = [f"{one.place}: {remark}" for one in datasets for remark in one.remarks]
    return tuple(dict.fromkeys(said))
