"""Encoder tokens of a data set, computed once and kept on disk.

One pass over the clips gives the mean token behind every layer that may be an
exit, so configurations that differ in their exit layer share it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from measurements.datasets import Dataset
from models_registry import Configuration
from models_registry.loading.audio import to_waveform
from models_registry.loading.clock import PhaseClock
from models_registry.loading.encoders import EmotionEncoder, Tokens
from models_registry.paths import cache_dir

LAYOUT = "states-1"
"""Part of a file's name: raised when the states would change."""

_CLIPS_AT_ONCE = 16


@dataclass(frozen=True)
class EncodedClips:
    """What was computed of a data set's clips, in their order.

    Attributes:
        means: Mean token of each clip, shape ``(clips, width)``.
        tokens: All tokens, where they were asked for.
        audio_s: Duration of each clip, in seconds.
    """

    means: Tensor
    tokens: Tokens | None
    audio_s: tuple[float, ...]


def encoded_clips(
    configuration: Configuration,
    dataset: Dataset,
    fingerprint: str,
    encoder_of: Callable[[Configuration], EmotionEncoder],
    *,
    device: str,
) -> EncodedClips:
    """The clips behind a configuration's exit layer, from disk where they are there.

    Args:
        configuration: What runs.
        dataset: The clips.
        fingerprint: Of the data set.
        encoder_of: Loads an encoder.
        device: Id of the device, whose arithmetic is its own.

    Raises:
        DatasetError: An audio file can't be read.
        WeightsError: The weights can't be had.
    """
    attentive = configuration.readout == "attentive"
    # Means are kept of every layer above the reduction, tokens of the exit layer alone.
    exit_layer = configuration.exit_layer if attentive else None
    shared = Configuration(
        **configuration.model_dump()
        | {"exit_layer": exit_layer, "readout": "linear", "batch_size": 1}
    )
    encoder = encoder_of(shared)
    content = [LAYOUT, shared.key, attentive, fingerprint, encoder.weights_sha256, device]
    name = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    path = cache_dir() / "states" / f"{name}.safetensors"
    if not path.exists():
        _write(path, encoder, dataset, attentive)
    found = load_file(path)
    layer = configuration.exit_layer or configuration.architecture.encoder_layers
    tokens = Tokens(found["states"], found["heard"]) if attentive else None
    return EncodedClips(found[f"mean.{layer}"], tokens, tuple(found["audio_s"].tolist()))


def _write(path: Path, encoder: EmotionEncoder, dataset: Dataset, keep_tokens: bool) -> None:
    last = encoder.configuration.exit_layer or encoder.configuration.architecture.encoder_layers
    parts: dict[str, list[Tensor]] = {}
    audio_s = []
    for first in range(0, len(dataset.utterances), _CLIPS_AT_ONCE):
        batch = dataset.utterances[first : first + _CLIPS_AT_ONCE]
        waveforms = [to_waveform(*utterance.audio()) for utterance in batch]
        audio_s += [len(waveform) / 16_000 for waveform in waveforms]
        features = encoder.features(waveforms, PhaseClock(encoder.device))
        layers = encoder.encode_layers(features)
        for layer, tokens in layers.items():
            parts.setdefault(f"mean.{layer}", []).append(tokens.mean().cpu())
        if keep_tokens:
            # Half precision halves what a large corpus takes; 3 digits are plenty here.
            limit = torch.finfo(torch.float16).max
            states = layers[last].states.clamp(-limit, limit).to(torch.float16)
            parts.setdefault("states", []).append(states.cpu())
            parts.setdefault("heard", []).append(layers[last].heard.cpu())
    tensors = {name: torch.cat(part) for name, part in parts.items()}
    tensors["audio_s"] = torch.tensor(audio_s, dtype=torch.float64)
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_suffix(f".{os.getpid()}.part")
    save_file(tensors, building)
    building.replace(path)
