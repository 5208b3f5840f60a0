"""What models exist, what they are made of, and how one is loaded.

Nothing here imports torch until a model is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models_registry.architectures import (
    Architecture,
    SpeechEncoderArchitecture,
    WhisperArchitecture,
)
from models_registry.configuration import Configuration
from models_registry.known_models import MODELS
from models_registry.registry import Registry, UnknownNameError
from models_registry.weights import HubSource, PathSource, WeightsError, WeightsSource, WheelSource

if TYPE_CHECKING:
    from models_registry.loading.emotion import EmotionRecogniser
    from models_registry.loading.whisper import WhisperTranscriber

__all__ = [
    "MODELS",
    "Architecture",
    "Configuration",
    "HubSource",
    "PathSource",
    "Registry",
    "SpeechEncoderArchitecture",
    "UnknownNameError",
    "WeightsError",
    "WeightsSource",
    "WheelSource",
    "WhisperArchitecture",
    "load",
]


def load(configuration: Configuration, **options: Any) -> WhisperTranscriber | EmotionRecogniser:
    """Loads a configuration, ready to run; see :func:`models_registry.loading.load`."""
    from models_registry.loading import load as load_with_torch

    return load_with_torch(configuration, **options)
