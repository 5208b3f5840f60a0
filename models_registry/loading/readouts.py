"""Read-outs: from an encoder's tokens to probabilities of emotions."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models_registry.loading.encoders import Tokens
from models_registry.readouts import (
    ABOUT,
    ABOUT_FILE,
    TENSORS_FILE,
    ReadoutInfo,
    info_of,
    read_info,
)
from models_registry.weights import WeightsError


class Readout(nn.Module):
    """Standardises tokens and reads classes off their mean.

    With ``attentive`` the mean is weighted: a learnt vector scores each token, and
    the softmax of the scores over the tokens that hold audio weighs them.

    Args:
        width: Width of a token.
        classes: How many classes.
        attentive: Whether the tokens are weighted.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, width: int, classes: int, *, attentive: bool = False) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.classify = nn.Linear(width, classes)
        self.score = nn.Linear(width, 1, bias=False) if attentive else None
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, tokens: Tokens) -> Tensor:
        """Scores of the classes before the softmax, shape ``(batch, classes)``."""
        if self.score is None:
            return self.of_mean(tokens.mean())
        states = (tokens.states.float() - self.centre) / self.scale
        scores = self.score(states).squeeze(-1).masked_fill(~tokens.heard, -torch.inf)
        pooled = (scores.softmax(dim=-1)[:, None] @ states).squeeze(1)
        classes: Tensor = self.classify(pooled)
        return classes

    def of_mean(self, mean: Tensor) -> Tensor:
        """The same from the plain mean over the tokens, shape ``(batch, width)``."""
        classes: Tensor = self.classify((mean - self.centre) / self.scale)
        return classes


def save_readout(readout: Readout, info: ReadoutInfo, folder: Path) -> None:
    """Writes a read-out as safetensors and JSON; the JSON comes last and completes it."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().contiguous() for name, tensor in readout.state_dict().items()}
    with tempfile.TemporaryDirectory(dir=folder) as building:
        save_file(tensors, Path(building) / TENSORS_FILE)
        (Path(building) / ABOUT_FILE).write_text(info.text())
        for name in (TENSORS_FILE, ABOUT_FILE):
            (Path(building) / name).replace(folder / name)


def load_readout(place: Path) -> tuple[Readout, ReadoutInfo]:
    """Reads what :func:`save_readout` wrote, or one file of it.

    Args:
        place: Its folder, or what :func:`models_registry.readouts.pack_readout` made of it.

    Raises:
        WeightsError: A file is missing or damaged.
    """
    info = read_info(place) if place.is_dir() else _packed_info(place)
    file = place / TENSORS_FILE if place.is_dir() else place
    readout = Readout(info.width, len(info.labels), attentive=info.kind == "attentive")
    try:
        readout.load_state_dict(load_file(file))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise WeightsError(f"{file}: {_first_line(error)}") from None
    return readout.eval(), info


def _packed_info(file: Path) -> ReadoutInfo:
    try:
        with safe_open(file, framework="pt") as opened:
            return info_of((opened.metadata() or {})[ABOUT])
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{file}: {_first_line(error)}") from None
    except (KeyError, ValueError):
        raise WeightsError(f"{file}: does not describe a read-out") from None


def _first_line(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "No such file"
    return str(error).strip().splitlines()[0]
