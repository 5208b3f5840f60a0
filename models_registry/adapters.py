"""Trained adapters on this machine, found by the configuration they were trained for.

An adapter is a folder with ``training.json`` (its record, written last),
LoRA in peft's own format (``adapter_config.json`` and
``adapter_model.safetensors``) and, where whole layers were trained,
``trained_weights.safetensors``.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from models_registry.configuration import Configuration
from models_registry.flags import configuration_flags
from models_registry.paths import cache_dir
from models_registry.weights import WeightsError, sha256_of

RECORD_FILE = "training.json"
LORA_CONFIG_FILE, LORA_FILE = "adapter_config.json", "adapter_model.safetensors"
WEIGHTS_FILE = "trained_weights.safetensors"

_SHORTEST_KEY = 8


class AdapterError(ValueError):
    """No adapter that fits, more than one, or one that is not what it should be."""


@dataclass(frozen=True)
class Adapter:
    """A trained adapter.

    Attributes:
        key: SHA-256 of what it was trained from and how.
        folder: Where its files are.
        configuration: What it was trained for; see :func:`trained_form`.
        base_weights: SHA-256 of the weights it goes onto.
    """

    key: str
    folder: Path
    configuration: Configuration
    base_weights: str


@dataclass(frozen=True)
class LayerPlan:
    """What an adapter does to one layer.

    Attributes:
        rank: Rank of the LoRA on each of its linear projections; 0 without.
        basis_frozen: Whether A, the LoRA's input side, stays as it began.
        unfrozen: Whether the layer's own weights are trained instead.
    """

    rank: int = 0
    basis_frozen: bool = False
    unfrozen: bool = False


@dataclass(frozen=True)
class Placement:
    """What an adapter does to a model.

    Attributes:
        encoder: By encoder layer, from the input.
        decoder: By decoder layer; none in SER.
        everything: Whether every weight is trained, those outside layers included.
    """

    encoder: tuple[LayerPlan, ...]
    decoder: tuple[LayerPlan, ...] = ()
    everything: bool = False


def placement(configuration: Configuration) -> Placement:
    """Where a configuration's adapter goes.

    LoRA goes on every linear projection of attention and feed-forward, in the
    encoder and, for ASR, in the decoder; a layer trained as a whole gets none. DAMA (arXiv
    2602.01008) takes its ranks from :func:`depth_ranks`, in each stack by its own depth, and
    freezes A in the middle layers.
    """
    c, architecture = configuration, configuration.architecture
    encoder_layers = c.exit_layer or architecture.encoder_layers
    decoder_layers = getattr(architecture, "decoder_layers", 0) if c.task == "asr" else 0
    if c.adapter == "full":
        whole = LayerPlan(unfrozen=True)
        return Placement((whole,) * encoder_layers, (whole,) * decoder_layers, everything=True)
    unfrozen = min(c.unfrozen_layers, encoder_layers)
    encoder = _stack_plan(c, encoder_layers)[: encoder_layers - unfrozen]
    encoder += (LayerPlan(unfrozen=True),) * unfrozen
    return Placement(encoder, _stack_plan(c, decoder_layers))


def _stack_plan(configuration: Configuration, layers: int) -> tuple[LayerPlan, ...]:
    if configuration.adapter != "dama":
        return (LayerPlan(rank=configuration.rank or 0),) * layers
    ends = _end_layers(layers)
    ranks = depth_ranks(layers, configuration.rank or 1)
    return tuple(
        LayerPlan(rank, basis_frozen=ends <= index < layers - ends)
        for index, rank in enumerate(ranks)
    )


def depth_ranks(layers: int, rank: int) -> tuple[int, ...]:
    """Ranks by depth: ``rank`` at both ends, falling linearly to a quarter of it.

    The ends are a sixth of the layers each (5 of 32, as in arXiv 2602.01008);
    between them the rank is low throughout.
    """
    low, ends = max(1, rank // 4), _end_layers(layers)

    def at(index: int) -> int:
        depth = min(index, layers - 1 - index)
        return round(rank - (rank - low) * min(depth / ends, 1.0))

    return tuple(at(index) for index in range(layers))


def _end_layers(layers: int) -> int:
    return max(1, round(layers / 6))


def trained_form(configuration: Configuration) -> Configuration:
    """The configuration without what an adapter does not depend on."""
    return configuration.model_copy(update={"precision": "fp32", "batch_size": 1})


def adapters_dir() -> Path:
    """Folder of this user's adapters, one folder a key."""
    return cache_dir() / "adapters"


def adapters() -> list[Adapter]:
    """Every finished adapter, in order of their keys.

    Raises:
        AdapterError: A record can't be read.
    """
    return sorted(_finished(), key=lambda adapter: adapter.key)


def find_adapter(configuration: Configuration, wanted: str | Path | None = None) -> Adapter:
    """The adapter that a configuration runs with.

    Args:
        configuration: What is to run; precision and batch size don't matter.
        wanted: Key, the first 8 or more characters of one, or a folder. It may have been
            trained at another window or stride, but has to be of the same model, kind,
            rank and recipe. Left out, the one trained for exactly this configuration.

    Raises:
        AdapterError: None fits, or several do; the message names them, or the command that
            would train one.
    """
    if configuration.adapter == "none":
        raise AdapterError(f"{configuration.label()}: names no adapter, --adapter and --rank do")
    if wanted is not None:
        found = _named(wanted)
        kind = ("task", "model", "adapter", "rank", "unfrozen_layers", "recipe", "exit_layer")
        wrong = [
            f"{name} {getattr(found.configuration, name)}, not {getattr(configuration, name)}"
            for name in kind
            if getattr(found.configuration, name) != getattr(configuration, name)
        ]
        if wrong:
            raise AdapterError(f"adapter {found.key[:16]} has {', '.join(wrong)}")
        return found
    asked = trained_form(configuration)
    fitting = [adapter for adapter in adapters() if adapter.configuration == asked]
    if not fitting:
        raise AdapterError(
            f"{asked.label()}: no adapter trained for it in {adapters_dir()};"
            f" train one with: {_training_command(asked)} --dataset ..."
        )
    if len(fitting) > 1:
        keys = ", ".join(adapter.key[:16] for adapter in fitting)
        raise AdapterError(f"{asked.label()}: name one of its adapters by --adapter-key: {keys}")
    return fitting[0]


def _training_command(configuration: Configuration) -> str:
    flags = configuration_flags(trained_form(configuration))
    return shlex.join(["speechplan", "adapt", *flags])


def read_adapter(folder: Path) -> Adapter:
    """Reads what identifies an adapter.

    Raises:
        AdapterError: The folder is not that of a finished adapter.
    """
    path = folder / RECORD_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        configuration = Configuration.model_validate(record["configuration"])
        return Adapter(
            str(record["key"]), folder, trained_form(configuration), str(record["base_weights"])
        )
    except OSError as error:
        raise AdapterError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, LookupError) as error:
        reason = "not a configuration" if isinstance(error, ValidationError) else "not a record"
        raise AdapterError(f"{path}: {reason} of a trained adapter") from None


def weights_sha256(folder: Path) -> str:
    """SHA-256 of a model's weights: its safetensors files in order of their names.

    Raises:
        WeightsError: There are none.
    """
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise WeightsError(
            f"{folder} holds no safetensors, and pickled weights are never opened: name a"
            " revision that has them (hub:OWNER/NAME@REVISION), or convert them"
        )
    return sha256_of(files)


def _finished() -> Iterator[Adapter]:
    for record in adapters_dir().glob(f"*/{RECORD_FILE}"):
        yield read_adapter(record.parent)


def _named(wanted: str | Path) -> Adapter:
    path = Path(wanted).expanduser()
    if (path / RECORD_FILE).is_file():
        return read_adapter(path)
    matching = [adapter for adapter in adapters() if adapter.key.startswith(str(wanted))]
    if len(str(wanted)) < _SHORTEST_KEY or len(matching) != 1:
        known = ", ".join(adapter.key[:16] for adapter in adapters()) or "none is there"
        raise AdapterError(
            f"adapter {str(wanted)!r} is neither a folder with {RECORD_FILE} nor the first"
            f" {_SHORTEST_KEY} or more characters of one key: {known}"
        )
    return matching[0]
