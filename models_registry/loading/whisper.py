"""A Whisper model that runs the way a configuration says."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
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
from models_registry.loading.audio import (
    Piece,
    Waveform,
    cut_at_quiet_places,
    speech_seconds,
    to_waveform,
)
from models_registry.loading.checkpoint import read_model
from models_registry.loading.clock import PassCounts, PhaseClock
from models_registry.loading.decoding import DecodingRules, greedy
from models_registry.loading.encoder import (
    FEATURES,
    PrefixCache,
    encode,
    encode_from,
    shared_layers,
    window_key,
)
from models_registry.loading.loops import went_wrong, without_loop
from models_registry.loading.precision import dtype_of, in_precision, weights_bytes
from models_registry.loading.random_weights import random_module
from models_registry.loading.stitching import stitch
from models_registry.weights import WeightsError

MAX_TOKENS_PER_SECOND = 12.0
"""Decoding stops beyond this rate: fast speech has about 6, a runaway has no end."""

_SPARE_TOKENS = 16


@dataclass(frozen=True)
class Transcription:
    """One waveform's transcript.

    Attributes:
        text: Plain text, special tokens left out, a loop said once.
        tokens: Decoded ids of each window as they came, end of text included.
        passes: Encoder frames and decoded tokens of every forward pass.
        retried: Windows that ran away and were run again in the full window.
        cut_short: Windows whose decoding was stopped in the end, in a loop or at
            the token limit.
    """

    text: str
    tokens: tuple[tuple[int, ...], ...]
    passes: tuple[tuple[int, int], ...]
    retried: int
    cut_short: int

    @property
    def windows(self) -> int:
        """Windows that the audio was cut into."""
        return len(self.tokens)

    @property
    def text_tokens(self) -> int:
        """Tokens of the transcript, the ends of text left out."""
        return sum(map(len, self.tokens)) - self.windows


@dataclass
class _Window:
    """A piece on its way through the model."""

    piece: Piece
    frames: int
    tokens: list[int] = field(default_factory=list)
    passes: list[tuple[int, int]] = field(default_factory=list)


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
        self.dtype = dtype_of(configuration.precision, device)
        self.model = in_precision(model, configuration.precision, device)
        self.rules = rules
        self._shared: PrefixCache | None = None
        self._prefix_tag = ""
        self._full_frames = architecture.max_frames
        self._tokenizer = tokenizer
        self._extractor = WhisperFeatureExtractor(feature_size=architecture.mel_bins)

    @property
    def weights_bytes(self) -> int:
        """Bytes that the loaded weights take."""
        return weights_bytes(self.model)

    def share(self, shared: PrefixCache | None, weights: str = "") -> None:
        """Shares features and what is run in front of the reduction with other configurations.

        Args:
            shared: The same object for each of them; none ends it.
            weights: Names the weights, which have to be the same.
        """
        c = self.configuration
        self._shared = shared
        self._prefix_tag = f"{c.model}\0{c.precision}\0{self.device}\0{weights}"

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
        windows = [self.windows(waveform) for waveform in waveforms]
        flat = [window for group in windows for window in group]
        at_once = max(self.configuration.batch_size, len(waveforms))
        self._run(flat, at_once, clock)
        if self.configuration.window_policy != "truncate":
            again = [w for w in flat if w.frames < self._full_frames and self._ran_away(w)]
            for window in again:
                window.frames = self._full_frames
            self._run(again, at_once, clock)
        return [self._transcription(group) for group in windows]

    def run_timed(self, waveform: Waveform, clock: PhaseClock) -> PassCounts:
        """Transcribes one recording for the sake of its timing."""
        return self.run_together([waveform], clock)

    def run_together(self, waveforms: Sequence[Waveform], clock: PhaseClock) -> PassCounts:
        """Transcribes recordings as one batch for the sake of their timing."""
        results = self.transcribe_batch(waveforms, clock)
        return PassCounts(tuple(run for result in results for run in result.passes))

    def windows(self, waveform: Waveform) -> list[_Window]:
        """The pieces that one forward pass each takes, by the window policy."""
        c = self.configuration
        if c.window_policy == "truncate":
            heard = waveform[: int(c.window_s * WAVEFORM_HZ)]
            pieces = [Piece(heard, speech_seconds(heard))]
        else:
            pieces = cut_at_quiet_places(waveform, c.speech_s)
        return [_Window(piece, c.frames_for(piece.duration_s)) for piece in pieces]

    def _run(self, windows: Sequence[_Window], at_once: int, clock: PhaseClock) -> None:
        """Encodes windows of one length together, and decodes those of any length."""
        ordered = sorted(windows, key=lambda w: (w.frames, len(w.piece.waveform)), reverse=True)
        for start in range(0, len(ordered), at_once):
            batch = ordered[start : start + at_once]
            states: list[Tensor] = []
            for frames, group in itertools.groupby(batch, key=lambda window: window.frames):
                states += self._states([w.piece.waveform for w in group], frames, clock)
            decoded = self.decode(states, [w.piece.waveform for w in batch], clock)
            for window, tokens in zip(batch, decoded, strict=True):
                window.tokens = tokens
                window.passes.append((window.frames, len(tokens)))

    def _ran_away(self, window: _Window) -> bool:
        if self._tokenizer is None:
            return False
        *said, last = window.tokens
        return last != self.rules.end_of_text or went_wrong(
            self._text(window), said, window.piece.speech_s
        )

    def _states(self, batch: Sequence[Waveform], frames: int, clock: PhaseClock) -> Tensor:
        """Encoder output, what other configurations have run of it taken from them."""
        shared, encoder = self._shared, self.model.model.encoder
        if shared is None:
            return self.encode(self.features(batch, frames, clock), clock)
        if self.configuration.adapter != "none":
            # It was trained for its own configuration: no other has its states.
            rows = self._shared_features(shared, batch, frames, clock)
            return self.encode(torch.cat(rows), clock)
        layers = shared_layers(encoder, self.configuration)
        windows = [window_key(waveform, frames, self._prefix_tag) for waveform in batch]
        kept = [shared.deepest(window, layers) for window in windows]
        missing = [w for w, start in zip(batch, kept, strict=True) if start is None]
        features = iter(self._shared_features(shared, missing, frames, clock))
        starts = [start or (FEATURES, next(features)) for start in kept]
        with clock.phase("encoder"):
            at_once = self._at_once(len(batch))
            return encode_from(encoder, starts, self.configuration, shared, windows, at_once)

    def _shared_features(
        self, shared: PrefixCache, batch: Sequence[Waveform], frames: int, clock: PhaseClock
    ) -> list[Tensor]:
        def row(waveform: Waveform) -> Tensor:
            key = window_key(waveform, frames, f"mel {self._extractor.feature_size}")
            kept = shared.features(key, lambda: self._extract([waveform], frames))
            return kept.to(self.device, self.dtype)

        with clock.phase("features"):
            return [row(waveform) for waveform in batch]

    def features(self, batch: Sequence[Waveform], frames: int, clock: PhaseClock) -> Tensor:
        """Log-mel features, shape ``(batch, mel_bins, 2 * frames)``."""
        with clock.phase("features"):
            return self._extract(batch, frames).to(self.device, self.dtype)

    def _extract(self, batch: Sequence[Waveform], frames: int) -> Tensor:
        extracted = self._extractor(
            list(batch),
            sampling_rate=WAVEFORM_HZ,
            padding="max_length",
            max_length=frames * 2 * self._extractor.hop_length,
            return_tensors="pt",
        )
        features: Tensor = extracted.input_features
        return features

    def encode(self, features: Tensor, clock: PhaseClock) -> Tensor:
        """Encoder output, shape ``(batch, ceil(frames / token_stride), d_model)``.

        Args:
            features: Log-mel features, shape ``(batch, mel_bins, 2 * frames)``.
            clock: Told the time.
        """
        encoder = self.model.model.encoder
        at_once = self._at_once(len(features))
        with clock.phase("encoder"):
            states = [
                encode(encoder, features[first : first + at_once], self.configuration)
                for first in range(0, len(features), at_once)
            ]
            return torch.cat(states)

    def _at_once(self, windows: int) -> int:
        # On a CPU a batch of windows only falls out of the caches.
        return 1 if self.device.type == "cpu" else windows

    def decode(
        self, states: Sequence[Tensor], batch: Sequence[Waveform], clock: PhaseClock
    ) -> list[list[int]]:
        """Greedy token ids by window, at most as many as the audio could hold.

        Args:
            states: Encoder output of each window, shape ``(tokens, d_model)``.
            batch: Each window's waveform.
            clock: Told the time.
        """
        limits = [self._most_tokens(waveform) for waveform in batch]
        return greedy(self.model, states, self.rules, clock, limits)

    def _most_tokens(self, waveform: Waveform) -> int:
        if self.rules.fixed_length:
            return self.rules.max_new_tokens
        spoken = math.ceil(MAX_TOKENS_PER_SECOND * len(waveform) / WAVEFORM_HZ)
        return min(spoken + _SPARE_TOKENS, self.rules.max_new_tokens)

    def _text(self, window: _Window) -> str:
        if self._tokenizer is None:
            return ""
        text: str = self._tokenizer.decode(without_loop(window.tokens), skip_special_tokens=True)
        return text.strip()

    def _transcription(self, windows: Sequence[_Window]) -> Transcription:
        overlaps_s = [window.piece.overlap_s for window in windows[1:]]
        return Transcription(
            text=stitch([self._text(window) for window in windows], overlaps_s),
            tokens=tuple(tuple(window.tokens) for window in windows),
            passes=tuple(run for window in windows for run in window.passes),
            retried=sum(len(window.passes) > 1 for window in windows),
            cut_short=sum(w.tokens[-1:] != [self.rules.end_of_text] for w in windows),
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
    # An adapter is merged in 32 bits.
    dtype = torch.float32 if adapter else dtype_of(configuration.precision, device)
    model, missing = read_model(WhisperForConditionalGeneration, folder, dtype)
    if missing:
        raise WeightsError(f"{folder} lacks {len(missing)} weights, {min(missing)} among them")
    # Sinusoids, which transformers fixes when it makes a model and forgets when it reads one.
    model.model.encoder.embed_positions.requires_grad_(False)
    if adapter is not None:
        model = merge_onto(model, folder, adapter)
    rules = _rules(folder, tokenizer, architecture, language)
    return WhisperTranscriber(model, tokenizer, rules, configuration, device)


def with_random_weights(
    configuration: Configuration,
    device: torch.device,
    *,
    output_tokens: int | None = None,
    seed: int = 0,
) -> WhisperTranscriber:
    """The configuration with random weights: its speed and its cost, not its words.

    Args:
        configuration: What to run.
        device: Where.
        output_tokens: Tokens decoded in every window, no more and no fewer; the model's
            own limit, stopped like any other decoder, when left out.
        seed: Seed of the weights.
    """
    architecture = configuration.architecture
    assert isinstance(architecture, WhisperArchitecture)
    config = WhisperConfig(**conversion.hub_config(architecture))
    model = random_module(
        lambda: WhisperForConditionalGeneration(config),
        dtype_of(configuration.precision, device),
        device,
        seed=seed,
    )
    rules = DecodingRules(
        prompt=tuple(range(100, 100 + architecture.prompt_tokens)),
        end_of_text=config.eos_token_id,
        suppressed=(),
        suppressed_first=(),
        max_new_tokens=output_tokens or _model_limit(architecture),
        fixed_length=output_tokens is not None,
    )
    return WhisperTranscriber(model, None, rules, configuration, device)


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
