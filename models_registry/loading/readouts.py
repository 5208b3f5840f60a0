"""Read-outs: from an encoder's tokens to probabilities of emotions."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models_registry.configuration import Configuration
from models_registry.configuration import Readout as ReadoutKind
from models_registry.loading.encoders import Tokens
from models_registry.paths import cache_dir
from models_registry.weights import WeightsError

_TENSORS, _ABOUT = "readout.safetensors", "readout.json"


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


@dataclass(frozen=True)
class ReadoutInfo:
    """What is known of a trained read-out.

    Attributes:
        kind: ``linear`` or ``attentive``.
        width: Width of the tokens that it reads.
        labels: Emotions, in the order of its classes.
        study: Study whose clips it was trained on.
        measurement: Key of the measurement that it belongs to.
        weights_sha256: Checksum of the encoder's weights.
        provenance: The command that trained it.
    """

    kind: ReadoutKind
    width: int
    labels: tuple[str, ...]
    study: str
    measurement: str
    weights_sha256: str | None
    provenance: str


def readouts_folder(configuration: Configuration) -> Path:
    """Where the read-outs that were trained for a configuration are kept, one folder each."""
    return cache_dir() / "readouts" / configuration.key


def save_readout(readout: Readout, info: ReadoutInfo, folder: Path) -> None:
    """Writes a read-out as safetensors and JSON; the JSON comes last and completes it."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().contiguous() for name, tensor in readout.state_dict().items()}
    with tempfile.TemporaryDirectory(dir=folder) as building:
        save_file(tensors, Path(building) / _TENSORS)
        (Path(building) / _ABOUT).write_text(json.dumps(asdict(info), indent=1))
        for name in (_TENSORS, _ABOUT):
            (Path(building) / name).replace(folder / name)


def load_readout(folder: Path) -> tuple[Readout, ReadoutInfo]:
    """Reads what :func:`save_readout` wrote.

    Raises:
        WeightsError: A file is missing or damaged.
    """
    about = folder / _ABOUT
    try:
        document = json.loads(about.read_text(encoding="utf-8"))
        info = ReadoutInfo(**{**document, "labels": tuple(document["labels"])})
    except OSError as error:
        raise WeightsError(f"{about}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError):
        raise WeightsError(f"{about}: does not describe a read-out") from None
    readout = Readout(info.width, len(info.labels), attentive=info.kind == "attentive")
    try:
        readout.load_state_dict(load_file(folder / _TENSORS))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(f"{folder / _TENSORS}: {reason}") from None
    return readout.eval(), info


def find_readout(configuration: Configuration, study: str | None = None) -> Path:
    """The folder of the read-out that was trained for a configuration.

    Args:
        configuration: What it reads.
        study: On whose clips; not needed where there is one only.

    Raises:
        WeightsError: There is none, or several and no study is named.
    """
    trained: dict[str, list[Path]] = {}
    for about in sorted(readouts_folder(configuration).glob(f"*/{_ABOUT}")):
        _, info = load_readout(about.parent)
        trained.setdefault(info.study, []).append(about)
    if not trained or (study is not None and study not in trained):
        where = "" if study is None else f" on {study}"
        there = f"; there is one of {', '.join(trained)}" if trained else ""
        raise WeightsError(
            f"{configuration.label()}: no read-out was trained{where}{there}:"
            " 'speechplan measure --task ser' trains one"
        )
    if study is None and len(trained) > 1:
        raise WeightsError(
            f"{configuration.label()}: name the study of the read-out, {' or '.join(trained)}"
        )
    found = trained[study or next(iter(trained))]
    return max(found, key=lambda about: about.stat().st_mtime).parent
