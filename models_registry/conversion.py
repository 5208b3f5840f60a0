"""CTranslate2's Whisper weights, turned into the Hugging Face hub's layout.

CTranslate2 fuses projections: self-attention ``linear_0`` holds query, key and
value, cross-attention ``linear_1`` key and value. Its keys carry a bias that the
original model lacks; it is zero, and softmax would not see it if it were not.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models_registry.architectures import WhisperArchitecture
from models_registry.ctranslate2_format import CTranslate2Model, MalformedModelError, parse

MAX_MODEL_BYTES = 16 << 30

Arrays = Mapping[str, NDArray[np.generic]]


def convert_whisper(
    parts: list[Path], folder: Path, architecture: WhisperArchitecture, target: Path
) -> None:
    """Writes ``target`` in the hub's layout; it appears whole or not at all.

    Args:
        parts: Files that joined make up ``model.bin``.
        folder: Where ``config.json`` and ``tokenizer.json`` of CTranslate2 lie.
        architecture: What the weights must fit.
        target: Folder to make.

    Raises:
        MalformedModelError: The file is damaged, or is another architecture.
    """
    from safetensors.numpy import save_file

    model = parse(_join(parts))
    tensors = whisper_tensors(model, architecture)
    options = json.loads((folder / "config.json").read_text())
    target.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=target.name, dir=target.parent))
    try:
        save_file(tensors, building / "model.safetensors", metadata={"format": "pt"})
        shutil.copyfile(folder / "tokenizer.json", building / "tokenizer.json")
        _write_json(building / "config.json", hub_config(architecture))
        _write_json(
            building / "generation_config.json",
            {
                "suppress_tokens": options.get("suppress_ids", []),
                "begin_suppress_tokens": options.get("suppress_ids_begin", []),
            },
        )
        building.chmod(0o755)
        try:
            building.rename(target)
        except OSError:
            # Another process was first; the content is the same.
            if not target.exists():
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def hub_config(architecture: WhisperArchitecture) -> dict[str, Any]:
    """``config.json`` of the architecture, as ``transformers`` reads it."""
    a = architecture
    # The two English-only and multilingual vocabularies differ by one token.
    end_of_text = 50_257 if a.multilingual else 50_256
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "activation_function": "gelu",
        "d_model": a.d_model,
        "encoder_layers": a.encoder_layers,
        "decoder_layers": a.decoder_layers,
        "num_hidden_layers": a.encoder_layers,
        "encoder_attention_heads": a.heads,
        "decoder_attention_heads": a.heads,
        "encoder_ffn_dim": a.ffn,
        "decoder_ffn_dim": a.ffn,
        "num_mel_bins": a.mel_bins,
        "vocab_size": a.vocab_size,
        "max_source_positions": a.max_frames,
        "max_target_positions": a.max_tokens,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "pad_token_id": end_of_text,
        "decoder_start_token_id": end_of_text + 1,
    }


def whisper_tensors(
    model: CTranslate2Model, architecture: WhisperArchitecture
) -> dict[str, NDArray[np.generic]]:
    """The weights by their Hugging Face names, in the precision they came in.

    Raises:
        MalformedModelError: A weight is missing or has another shape.
    """
    if model.spec != "WhisperSpec":
        raise MalformedModelError(f"specification {model.spec!r} is not WhisperSpec")
    a = architecture
    d = a.d_model
    reader = _Reader(model.variables)
    tensors: dict[str, NDArray[np.generic]] = {}

    def norm(to: str, source: str) -> None:
        tensors[f"{to}.weight"] = reader.take(f"{source}/gamma", d)
        tensors[f"{to}.bias"] = reader.take(f"{source}/beta", d)

    def linear(to: list[str], source: str, rows: int, columns: int) -> None:
        weight = reader.take(f"{source}/weight", rows * len(to), columns)
        bias = reader.take(f"{source}/bias", rows * len(to))
        for index, name in enumerate(to):
            part = slice(index * rows, (index + 1) * rows)
            tensors[f"{name}.weight"] = weight[part]
            if not name.endswith("k_proj"):
                tensors[f"{name}.bias"] = bias[part]

    def attention(to: str, source: str, groups: list[list[str]]) -> None:
        for index, names in enumerate(groups):
            linear([f"{to}.{name}" for name in names], f"{source}/linear_{index}", d, d)
        norm(f"{to}_layer_norm", f"{source}/layer_norm")

    def feed_forward(to: str, source: str) -> None:
        linear([f"{to}.fc1"], f"{source}/linear_0", a.ffn, d)
        linear([f"{to}.fc2"], f"{source}/linear_1", d, a.ffn)
        norm(f"{to}.final_layer_norm", f"{source}/layer_norm")

    self_attention = [["q_proj", "k_proj", "v_proj"], ["out_proj"]]
    for side, layers in (("encoder", a.encoder_layers), ("decoder", a.decoder_layers)):
        for index in range(layers):
            to, source = f"model.{side}.layers.{index}", f"{side}/layer_{index}"
            attention(f"{to}.self_attn", f"{source}/self_attention", self_attention)
            if side == "decoder":
                cross = [["q_proj"], ["k_proj", "v_proj"], ["out_proj"]]
                attention(f"{to}.encoder_attn", f"{source}/attention", cross)
            feed_forward(to, f"{source}/ffn")
        norm(f"model.{side}.layer_norm", f"{side}/layer_norm")
    for index, channels in ((1, a.mel_bins), (2, d)):
        name = f"conv{index}"
        tensors[f"model.encoder.{name}.weight"] = reader.take(
            f"encoder/{name}/weight", d, channels, 3
        )
        tensors[f"model.encoder.{name}.bias"] = reader.take(f"encoder/{name}/bias", d)
    for side, positions in (("encoder", a.max_frames), ("decoder", a.max_tokens)):
        tensors[f"model.{side}.embed_positions.weight"] = reader.take(
            f"{side}/position_encodings/encodings", positions, d
        )
    tensors["model.decoder.embed_tokens.weight"] = reader.take(
        "decoder/embeddings/weight", a.vocab_size, d
    )
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


class _Reader:
    def __init__(self, variables: Arrays) -> None:
        self._variables = variables

    def take(self, name: str, *shape: int) -> NDArray[np.generic]:
        array = self._variables.get(name)
        if array is None:
            raise MalformedModelError(f"{name!r} is missing")
        if array.shape != shape:
            raise MalformedModelError(f"{name!r} has shape {array.shape}, expected {shape}")
        if array.dtype.kind != "f":
            raise MalformedModelError(f"{name!r} is {array.dtype}, not a float: quantised weights")
        return array


def _join(parts: list[Path]) -> bytearray:
    total = sum(part.stat().st_size for part in parts)
    if total > MAX_MODEL_BYTES:
        raise MalformedModelError(f"{total} bytes, at most {MAX_MODEL_BYTES} are read")
    joined = bytearray()
    for part in parts:
        joined += part.read_bytes()
    return joined


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1))
