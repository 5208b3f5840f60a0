"""What models exist, what they are made of, and how one is loaded.

Nothing here imports torch until a model is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from models_registry.architectures import (
    Architecture,
    SpeechEncoderArchitecture,
    WhisperArchitecture,
)
from models_registry.configuration import Configuration
from models_registry.known_models import MODELS
from models_registry.plans import Plan, PlanError, read_plan, write_plan
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
    "Plan",
    "PlanError",
    "Registry",
    "SpeechEncoderArchitecture",
    "UnknownNameError",
    "WeightsError",
    "WeightsSource",
    "WheelSource",
    "WhisperArchitecture",
    "load",
    "read_plan",
    "write_plan",
]


def load(
    configuration: Configuration | str | Path, **options: Any
) -> WhisperTranscriber | EmotionRecogniser:
    """Loads a configuration, ready to run; see :func:`models_registry.loading.load`.

    Args:
        configuration: What to run, or a file that says so: see :mod:`models_registry.plans`.
        options: Those of ``loading.load``, before what the file says.

    Raises:
        PlanError: The file holds no configuration.
    """
    from models_registry.loading import load as load_with_torch

    if not isinstance(configuration, Configuration):
        place = Path(configuration)
        plan = read_plan(place)
        configuration = plan.configuration
        options = {**plan.options(place.parent), **options}
    return load_with_torch(configuration, **options)
