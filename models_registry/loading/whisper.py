"""A Whisper model that runs the way a configuration says."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from tokenizers import Tokenizer
from torch import Tensor
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration
from transformers.utils.logging import disable_progress_bar

from models_registry import conversion
from models_registry.adapters import Adapter
from models_registry.architectures import WAVEFORM_HZ, WhisperArchitecture
from models_registry.configuration import Configuration
from models_registry.loading.adapters import merge_onto
from models_registry.loading.audio import Waveform, cut_at_quiet_places, to_waveform
from models_registry.loading.clock import PassCounts, PhaseClock
from models_registry.loading.decoding import DecodingRules, greedy
from models_registry.loading.loops import without_loop
from models_registry.loading.reduction import install_reduction, set_window
from models_registry.weights import WeightsError

DTYPES = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    # Weights of linear layers in 8 bits, activations quantised as they come.
    "int8": torch.float32,
}

MAX_TOKENS_PER_SECOND = 12.0
"""Decoding stops beyond this rate: fast speech has about 6, a runaway has no end."""

_SPARE_TOKENS = 16


@dataclass(frozen=True)
class Transcription:
    """One waveform's transcript.

    Attributes:
        text: Plain text, special tokens left out, a loop said once.
        tokens: Decoded ids of each window as they came, end of text included.
        windows: Forward passes that it took.
        cut_short: Windows whose decoding was stopped, in a loop or at the token limit.
    """

    text: str
    tokens: tuple[tuple[int, ...], ...]
    windows: int
    cut_short: int


class WhisperTranscriber:
    """Runs one configuration of one Whisper model.

    Args:
        model: The model at its full window and unreduced; it is changed in place.
        tokenizer: Its tokenizer; none with random weights.
        rules: How to decode, ``max_new_tokens`` being the model's own limit.
        configuration: What to run.
        device: Where.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer | None,
        rules: DecodingRules,
        configuration: Configuration,
        device: torch.device,
    ) -> None:
        architecture = configuration.architecture
        assert isinstance(architecture, WhisperArchitecture)
        self.configuration = configuration
        self.device = device
        self.dtype = DTYPES[configuration.precision]
        model = model.to(device=device, dtype=self.dtype).eval()
        self.model = _quantised(model) if configuration.precision == "int8" else model
        encoder = self.model.model.encoder
        set_window(encoder, self.model.config, configuration.frames)
        install_reduction(encoder.layers, encoder.layer_norm, configuration)
        self.rules = rules
        self._tokenizer = tokenizer
        self._extractor = WhisperFeatureExtractor(feature_size=architecture.mel_bins)

    def transcribe(self, audio: ArrayLike, sampling_rate: int) -> str:
        """The transcript of one recording of any length.

        Args:
            audio: Samples, shape ``(samples,)`` or ``(samples, channels)``.
            sampling_rate: Samples per second; resampled to 16 kHz where needed.

        Raises:
            ValueError: The audio is empty, not finite or of another shape.
        """
        return self.transcribe_batch([to_waveform(audio, sampling_rate)])[0].text

    def transcribe_batch(
        self, waveforms: Sequence[Waveform], clock: PhaseClock | None = None
    ) -> list[Transcription]:
        """Transcribes recordings, their windows running together.

        Args:
            waveforms: One channel each at 16 kHz.
            clock: Told the time each phase takes.
        """
        clock = clock or PhaseClock(self.device)
        pieces = [self.windows(waveform) for waveform in waveforms]
        flat = [piece for group in pieces for piece in group]
        decoded: list[list[int]] = []
        size = max(1, self.configuration.batch_size, len(waveforms))
        for start in range(0, len(flat), size):
            batch = flat[start : start + size]
            states = self.encode(self.features(batch, clock), clock)
            decoded += self.decode(states, batch, clock)
        results, position = [], 0
        for group in pieces:
            tokens = decoded[position : position + len(group)]
            position += len(group)
            results.append(self._transcription(tokens))
        return results

    def run_timed(self, waveform: Waveform, clock: PhaseClock) -> PassCounts:
        """Transcribes one recording for the sake of its timing."""
        (result,) = self.transcribe_batch([waveform], clock)
        return PassCounts(result.windows, sum(map(len, result.tokens)))

    def windows(self, waveform: Waveform) -> list[Waveform]:
        """The pieces that one forward pass each takes, by the window policy."""
        if self.configuration.window_policy == "truncate":
            return [waveform[: int(self.configuration.window_s * WAVEFORM_HZ)]]
        return cut_at_quiet_places(waveform, self.configuration.speech_s)

    def features(self, batch: Sequence[Waveform], clock: PhaseClock) -> Tensor:
        """Log-mel features, shape ``(batch, mel_bins, 2 * frames)``."""
        samples = self.configuration.frames * 2 * self._extractor.hop_length
        with clock.phase("features"):
            extracted = self._extractor(
                list(batch),
                sampling_rate=WAVEFORM_HZ,
                padding="max_length",
                max_length=samples,
                return_tensors="pt",
            )
            features: Tensor = extracted.input_features.to(self.device, self.dtype)
        return features

    @torch.inference_mode()
    def encode(self, features: Tensor, clock: PhaseClock) -> Tensor:
        """Encoder output, shape ``(batch, ceil(frames / token_stride), d_model)``."""
        # On a CPU a batch of windows only falls out of the caches.
        at_once = 1 if self.device.type == "cpu" else len(features)
        encoder = self.model.model.encoder
        with clock.phase("encoder"):
            states = [
                encoder(features[first : first + at_once]).last_hidden_state
                for first in range(0, len(features), at_once)
            ]
            return torch.cat(states)

    def decode(
        self, states: Tensor, batch: Sequence[Waveform], clock: PhaseClock
    ) -> list[list[int]]:
        """Greedy token ids by window, at most as many as the audio could hold."""
        limits = [self._most_tokens(waveform) for waveform in batch]
        return greedy(self.model, states, self.rules, clock, limits)

    def _most_tokens(self, waveform: Waveform) -> int:
        spoken = math.ceil(MAX_TOKENS_PER_SECOND * len(waveform) / WAVEFORM_HZ)
        return min(spoken + _SPARE_TOKENS, self.rules.max_new_tokens)

    def _transcription(self, windows: list[list[int]]) -> Transcription:
        texts = []
        if self._tokenizer is not None:
            texts = [
                self._tokenizer.decode(without_loop(ids), skip_special_tokens=True)
                for ids in windows
            ]
        return Transcription(
            text=" ".join(text.strip() for text in texts).strip(),
            tokens=tuple(map(tuple, windows)),
            windows=len(windows),
            cut_short=sum(ids[-1:] != [self.rules.end_of_text] for ids in windows),
        )


def from_folder(
    folder: Path,
    configuration: Configuration,
    language: str,
    device: torch.device,
    adapter: Adapter | None = None,
) -> WhisperTranscriber:
    """Loads weights from a folder in the hub's layout, an adapter merged into them.

    Raises:
        AdapterError: The adapter was trained on other weights, or its files are damaged.
        WeightsError: A file is missing, or the weights are another architecture's.
    """
    architecture = configuration.architecture
    assert isinstance(architecture, WhisperArchitecture)
    _check_config(folder, architecture)
    if not (folder / "tokenizer.json").exists():
        raise WeightsError(f"{folder} has no tokenizer.json")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    disable_progress_bar()
    try:
        model = WhisperForConditionalGeneration.from_pretrained(
            folder, use_safetensors=True, dtype=torch.float32, local_files_only=True
        )
    except OSError as error:
        raise WeightsError(f"{folder} can't be loaded: {str(error).splitlines()[0]}") from error
    if adapter is not None:
        model = merge_onto(model, folder, adapter)
    rules = _rules(folder, tokenizer, architecture, language)
    return WhisperTranscriber(model, tokenizer, rules, configuration, device)


def with_random_weights(
    configuration: Configuration, device: torch.device, *, seed: int = 0
) -> WhisperTranscriber:
    """The configuration with random weights: its speed and its cost, not its words."""
    architecture = configuration.architecture
    assert isinstance(architecture, WhisperArchitecture)
    torch.manual_seed(seed)
    config = WhisperConfig(**conversion.hub_config(architecture))
    model = WhisperForConditionalGeneration(config)
    prompt = tuple(range(100, 100 + architecture.prompt_tokens))
    rules = DecodingRules(prompt, config.eos_token_id, (), (), _model_limit(architecture))
    return WhisperTranscriber(model, None, rules, configuration, device)


def _quantised(model: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        quantise: Any = torch.ao.quantization.quantize_dynamic
        return quantise(model, {torch.nn.Linear}, torch.qint8)


def _model_limit(architecture: WhisperArchitecture) -> int:
    return architecture.max_tokens // 2


def _rules(
    folder: Path, tokenizer: Tokenizer, architecture: WhisperArchitecture, language: str
) -> DecodingRules:
    def token(text: str) -> int:
        identifier: int | None = tokenizer.token_to_id(f"<|{text}|>")
        if identifier is None:
            raise WeightsError(f"{folder / 'tokenizer.json'} has no token <|{text}|>")
        return identifier

    names = ["startoftranscript"]
    if architecture.multilingual:
        names += [language, "transcribe"]
    prompt = tuple(token(name) for name in [*names, "notimestamps"])
    generation = folder / "generation_config.json"
    options = json.loads(generation.read_text()) if generation.exists() else {}
    return DecodingRules(
        prompt,
        token("endoftext"),
        tuple(options.get("suppress_tokens") or ()),
        tuple(options.get("begin_suppress_tokens") or ()),
        _model_limit(architecture),
    )


def _check_config(folder: Path, architecture: WhisperArchitecture) -> None:
    path = folder / "config.json"
    if not path.exists():
        raise WeightsError(f"{folder} has no config.json")
    found = json.loads(path.read_text())
    expected = conversion.hub_config(architecture)
    checked = (
        "model_type",
        "d_model",
        "encoder_layers",
        "decoder_layers",
        "encoder_attention_heads",
        "decoder_attention_heads",
        "encoder_ffn_dim",
        "decoder_ffn_dim",
        "num_mel_bins",
        "vocab_size",
    )
    wrong = [
        f"{name} {found.get(name)!r} instead of {expected[name]!r}"
        for name in checked
        if found.get(name) != expected[name]
    ]
    if wrong:
        raise WeightsError(f"{path} is not {architecture.name}: {', '.join(wrong)}")


def silence(duration_s: float) -> Waveform:
    """A waveform of zeros, for warming up."""
    return np.zeros(int(duration_s * WAVEFORM_HZ), dtype=np.float32)
