"""Checkpoints read tensor by tensor, so that loading takes little more than what is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from models_registry.weights import WeightsError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def read_model(
    kind: Any,
    folder: Path,
    dtype: torch.dtype,
    *,
    config: Any = None,
    name_of: Callable[[str], str | None] = lambda name: name,
) -> tuple[Any, frozenset[str]]:
    """A ``transformers`` model with the weights of a folder in the hub's layout.

    The files are read, not mapped: mapped pages would count as the process's memory until all
    of them are loaded, twice the weights.

    Args:
        kind: Class of the model.
        folder: Where ``config.json`` and the safetensors lie.
        dtype: Type of the loaded weights.
        config: Configuration of the model; the folder's own when left out.
        name_of: Name in the model of a tensor of the files; None for one that is left out.

    Returns:
        The model, and the names of its weights that the files lack.

    Raises:
        WeightsError: A file is missing or damaged, or its shapes are another model's.
    """
    try:
        # Slices are read when transformers takes them, one after another.
        files: list[Any] = [safe_open(path, "pt", backend="pread") for path in _files(folder)]
        slices = {
            own: file.get_slice(name)
            for file in files
            for name in file.keys()  # noqa: SIM118
            if (own := name_of(name)) is not None
        }
        model, report = kind.from_pretrained(
            None,
            config=config or kind.config_class.from_pretrained(folder, local_files_only=True),
            state_dict=slices,
            dtype=dtype,
            output_loading_info=True,
        )
    except (OSError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{folder} can't be loaded: {str(error).splitlines()[0]}") from error
    return model, frozenset(report["missing_keys"])


def _files(folder: Path) -> list[Path]:
    index = folder / INDEX
    if (folder / WEIGHTS).exists() or not index.exists():
        return [folder / WEIGHTS]
    placed: Mapping[str, str] = json.loads(index.read_text())["weight_map"]
    return [folder / name for name in sorted(set(placed.values()))]
