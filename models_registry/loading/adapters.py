"""Adapters on a loaded model: put on for training, saved, merged in for running.

LoRA is peft's. DAMA's SVD initialisation (``pissa``) takes its directions out of the
base weights; what is saved is converted, by peft, to a plain LoRA of twice the rank that
goes onto the weights as they were. Nothing is pickled.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models_registry.adapters import (
    LORA_CONFIG_FILE,
    LORA_FILE,
    WEIGHTS_FILE,
    Adapter,
    AdapterError,
    LayerPlan,
    Placement,
    weights_sha256,
)

WHISPER_STACKS = {"encoder": "model.encoder.layers", "decoder": "model.decoder.layers"}
"""Where a Whisper model keeps the layers of each stack."""


class AttachedAdapter:
    """An adapter on a model, ready to be trained.

    The model is changed in place: LoRA layers take the place of linear ones, and whatever is
    not trained no longer asks for gradients.

    Args:
        model: The model with its base weights.
        placement: What to train, layer by layer.
        scaling: Factor of the LoRA's product, ``alpha / rank`` in every layer.
        svd: Whether A and B start from the weights' largest singular values (DAMA);
            otherwise B starts at zero.
        stacks: Where the model keeps the layers of each stack.
        base_name: Name of the base model, kept in peft's configuration.
    """

    def __init__(
        self,
        model: Any,
        placement: Placement,
        *,
        scaling: float,
        svd: bool = False,
        stacks: Mapping[str, str] = WHISPER_STACKS,
        base_name: str | None = None,
    ) -> None:
        plans = {"encoder": placement.encoder, "decoder": placement.decoder}
        self._lora: Any = None
        self._initial: tempfile.TemporaryDirectory[str] | None = None
        fixed = {name for name, p in model.named_parameters() if not p.requires_grad}
        ranks = {
            f"{stacks[stack]}.{index}": plan
            for stack, layers in plans.items()
            for index, plan in enumerate(layers)
            if plan.rank
        }
        unfrozen = tuple(
            f"{stacks[stack]}.{index}."
            for stack, layers in plans.items()
            for index, plan in enumerate(layers)
            if plan.unfrozen
        )
        for name, parameter in model.named_parameters():
            chosen = placement.everything or name.startswith(unfrozen)
            parameter.requires_grad_(bool(chosen) and name not in fixed)
        self._whole = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if ranks:
            self._attach_lora(model, ranks, scaling, svd, base_name)
        for parameter in self._whole.values():
            parameter.requires_grad_(True)
        self.parameters: dict[str, nn.Parameter] = {
            name: p for name, p in model.named_parameters() if p.requires_grad
        }
        """What is trained, by its name in the model."""

    def _attach_lora(
        self,
        model: nn.Module,
        plans: Mapping[str, LayerPlan],
        scaling: float,
        svd: bool,
        base_name: str | None,
    ) -> None:
        from peft import LoraConfig, get_peft_model

        leaves = {
            name.rpartition(".")[2]
            for layer in plans
            for name, module in model.get_submodule(layer).named_modules()
            if isinstance(module, nn.Linear)
        }
        where = "|".join(re.escape(layer) for layer in plans)
        ranks = {rf"{re.escape(layer)}\..*": plan.rank for layer, plan in plans.items()}
        highest = max(ranks.values())
        config = LoraConfig(
            r=highest,
            lora_alpha=scaling * highest,
            target_modules=rf"(?:{where})\.(?:.*\.)?(?:{'|'.join(sorted(leaves))})",
            rank_pattern=ranks if len(set(ranks.values())) > 1 else {},
            alpha_pattern={
                layer: scaling * rank for layer, rank in ranks.items() if rank != highest
            },
            init_lora_weights="pissa" if svd else True,
            bias="none",
        )
        self._lora = get_peft_model(model, config)
        # Set afterwards: peft puts the folder there that the model was read from.
        self._lora.peft_config["default"].base_model_name_or_path = base_name
        frozen = tuple(f"{layer}." for layer, plan in plans.items() if plan.basis_frozen)
        for name, parameter in model.named_parameters():
            if name.startswith(frozen) and ".lora_A." in name:
                parameter.requires_grad_(False)
        if svd:
            self._initial = tempfile.TemporaryDirectory(prefix="speechplan-svd-")
            self._lora.peft_config["default"].init_lora_weights = True
            self._lora.save_pretrained(self._initial.name + "/initial")

    def save(self, folder: Path) -> None:
        """Writes the adapter's files, those of another kind left out.

        Args:
            folder: Made where it is not there.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if self._lora is not None:
            options: dict[str, Any] = {}
            if self._initial is not None:
                options["path_initial_model_for_weight_conversion"] = (
                    self._initial.name + "/initial"
                )
            self._lora.save_pretrained(folder, **options)
            (folder / "README.md").unlink(missing_ok=True)
        if self._whole:
            weights = {name: p.detach().cpu().contiguous() for name, p in self._whole.items()}
            save_file(weights, folder / WEIGHTS_FILE)


def merge_onto(model: Any, base: Path, adapter: Adapter) -> Any:
    """Merges an adapter into the model loaded from ``base``, the weights it was trained on.

    Raises:
        AdapterError: They are others, or :func:`merge_adapter` refuses.
    """
    found = weights_sha256(base)
    if found != adapter.base_weights:
        raise AdapterError(
            f"adapter {adapter.key[:16]} was trained on weights {adapter.base_weights[:16]},"
            f" {base} has {found[:16]}"
        )
    return merge_adapter(model, adapter.folder)


def merge_adapter(model: Any, folder: Path) -> Any:
    """The plain model with an adapter's changes added to its weights.

    Merged, an adapter costs no FLOPs and no memory.

    Args:
        model: The model with its base weights, in 32 bits; it is changed in place.
        folder: The adapter's files.

    Raises:
        AdapterError: A file is missing, or does not fit the model.
    """
    lora, weights = folder / LORA_CONFIG_FILE, folder / WEIGHTS_FILE
    if not lora.exists() and not weights.exists():
        raise AdapterError(f"{folder} has neither {LORA_CONFIG_FILE} nor {WEIGHTS_FILE}")
    if lora.exists():
        model = _merge_lora(model, folder)
    if weights.exists():
        _put(model, weights)
    return model


def _merge_lora(model: Any, folder: Path) -> Any:
    from peft import PeftModel

    if not (folder / LORA_FILE).exists():  # peft would look for a pickle then
        raise AdapterError(f"{folder} has no {LORA_FILE}")
    try:
        adapted = PeftModel.from_pretrained(model, str(folder))
    except (RuntimeError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise AdapterError(f"{folder} does not fit the model: {_line(error)}") from None
    return adapted.merge_and_unload(safe_merge=True)


@torch.no_grad()
def _put(model: nn.Module, file: Path) -> None:
    try:
        tensors: dict[str, Tensor] = load_file(file)
    except SafetensorError as error:
        raise AdapterError(f"{file}: {_line(error)}") from None
    parameters = dict(model.named_parameters())
    for name, tensor in tensors.items():
        if name not in parameters or parameters[name].shape != tensor.shape:
            raise AdapterError(f"{file}: {name} of shape {tuple(tensor.shape)} does not fit")
        parameters[name].copy_(tensor)


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
