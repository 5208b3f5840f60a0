"""Whether a sweep's runs can come to anything, before they are queued for a worker."""

from __future__ import annotations

from measurements.datasets import DatasetError, open_dataset
from measurements.sweeps.spec import SweepSpec
from models_registry.adapters import find_adapter, trained_form


def check_runs(spec: SweepSpec) -> None:
    """Looks for runs that could only fail.

    Args:
        spec: What is to be run.

    Raises:
        DatasetError: A data set can't be read, or has no references for the task.
        AdapterError: A configuration needs an adapter that nobody has trained.
        SweepError: A point of the design is no configuration.
        UnknownNameError: A model or a kind of data set is not known.
    """
    for speech in spec.speech:
        dataset = open_dataset(speech.dataset, speech.subset)
        if dataset.task != spec.task:
            raise DatasetError(
                f"data set {dataset.name} is for {dataset.task}, the sweep for {spec.task}"
            )
    if spec.task == "ser":  # its adapters are trained by the measurement, one for each fold
        return
    adapted = [c for c in spec.configurations() if c.adapter != "none"]
    for configuration in dict.fromkeys(map(trained_form, adapted)):
        find_adapter(configuration)
