"""The models of the registry."""

from __future__ import annotations

from api.schemas import ModelInfo
from models_registry import MODELS, Architecture
from models_registry.weights import available


def list_models() -> list[ModelInfo]:
    """Every model of the registry, and whether its weights are here."""
    return [_model(model) for model in MODELS]


def model_of(name: str) -> ModelInfo:
    """A model of the registry, by its name or an alias.

    Raises:
        UnknownNameError: There is none of that name.
    """
    return _model(MODELS.get(name))


def _model(model: Architecture) -> ModelInfo:
    return ModelInfo(
        name=model.name,
        family=model.family,
        tasks=list(model.tasks),
        parameters=model.parameters,
        encoder_layers=model.encoder_layers,
        max_window_s=model.max_window_s,
        hub_id=model.hub_id,
        weights="installed" if available(model.name) else "hub",
    )
