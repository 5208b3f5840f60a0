"""Encoders that emotions are read off: Whisper's, wav2vec2, HuBERT, WavLM."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import (
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from models_registry import conversion
from models_registry.adapters import Adapter, weights_sha256
from models_registry.architectures import (
    WAVEFORM_HZ,
    Architecture,
    SpeechEncoderArchitecture,
    WhisperArchitecture,
)
from models_registry.configuration import Configuration
from models_registry.loading.adapters import merge_onto
from models_registry.loading.audio import Waveform
from models_registry.loading.checkpoint import read_model
from models_registry.loading.clock import PassCounts, PhaseClock
from models_registry.loading.precision import dtype_of, in_precision
from models_registry.loading.random_weights import random_module
from models_registry.loading.reduction import install_reduction, set_window
from models_registry.loading.spans import loudest_span
from models_registry.weights import WeightsError

_SAMPLES_PER_FRAME = 320

_CLASSES = {
    "wav2vec2": (Wav2Vec2Config, Wav2Vec2Model),
    "hubert": (HubertConfig, HubertModel),
    "wavlm": (WavLMConfig, WavLMModel),
}


@dataclass(frozen=True)
class Features:
    """What an encoder takes.

    Attributes:
        values: Log-mel features ``(batch, mel_bins, 2 * frames)`` or waveforms
            ``(batch, samples)``, padded to the window.
        mask: 1 where a waveform is not padding, for models that were trained with
            such a mask.
        frames: Encoder frames that hold audio, by clip.
    """

    values: Tensor
    mask: Tensor | None
    frames: tuple[int, ...]


@dataclass(frozen=True)
class Tokens:
    """What an encoder gives.

    Attributes:
        states: Shape ``(batch, tokens, width)``.
        heard: Whether a token holds audio, not padding alone; ``(batch, tokens)``.
    """

    states: Tensor
    heard: Tensor

    def of(self, clips: Tensor) -> Tokens:
        """Those of some clips, named by their places."""
        return Tokens(self.states[clips], self.heard[clips])

    def mean(self) -> Tensor:
        """The mean over the tokens that hold audio, shape ``(batch, width)``."""
        states = self.states.float() * self.heard[..., None]
        pooled: Tensor = states.sum(dim=1) / self.heard.sum(dim=1, keepdim=True)
        return pooled


class EmotionEncoder:
    """Runs the encoder of one configuration, up to its exit layer.

    The layers above are dropped. The norm that closes some encoders belongs to the
    last layer and goes with it.

    Args:
        model: The encoder at its full window and unreduced; it is changed in place.
        extractor: Makes its input from waveforms.
        configuration: What to run.
        device: Where.
        weights_sha256: Checksum of the weights; none of random ones.
        adapt: Puts an adapter into the model, its layers cut to the exit already.
    """

    def __init__(
        self,
        model: Any,
        extractor: Any,
        configuration: Configuration,
        device: torch.device,
        weights_sha256: str | None = None,
        adapt: Callable[[Any], Any] = lambda model: model,
    ) -> None:
        self.configuration = configuration
        self.device = device
        self.dtype = dtype_of(configuration.precision, device)
        self.weights_sha256 = weights_sha256
        self._extractor = extractor
        inner = _inner(model)
        architecture = configuration.architecture
        if isinstance(architecture, SpeechEncoderArchitecture):
            # Its weight norm would be computed anew at every pass.
            parametrize.remove_parametrizations(inner.pos_conv_embed.conv, "weight")
        if configuration.exit_layer is not None:
            inner.layers = inner.layers[: configuration.exit_layer]
            if _closing_norm(architecture):
                inner.layer_norm = nn.Identity()
        self.model = in_precision(adapt(model), configuration.precision, device)
        inner = _inner(self.model)
        self._output = inner.layer_norm if _closing_norm(architecture) else inner.layers[-1]
        if isinstance(architecture, WhisperArchitecture):
            set_window(inner, self.model.config, configuration.frames)
        install_reduction(inner.layers, self._output, configuration)
        for layer in inner.layers:
            layer.register_forward_pre_hook(_fit_mask, with_kwargs=True)

    def run_timed(self, waveform: Waveform, clock: PhaseClock) -> PassCounts:
        """Encodes one recording for the sake of its timing."""
        return self.run_together([waveform], clock)

    def run_together(self, waveforms: Sequence[Waveform], clock: PhaseClock) -> PassCounts:
        """Encodes recordings as one batch for the sake of their timing."""
        self.encode(self.features(waveforms, clock), clock)
        return PassCounts(((self.frames, 0),) * len(waveforms))

    @property
    def width(self) -> int:
        """Width of a token."""
        architecture = self.configuration.architecture
        if isinstance(architecture, WhisperArchitecture):
            return architecture.d_model
        return architecture.hidden

    @property
    def frames(self) -> int:
        """Encoder frames of a pass, before any reduction."""
        return _frames(self.configuration, round(self.configuration.window_s * WAVEFORM_HZ))

    def features(self, waveforms: Sequence[Waveform], clock: PhaseClock) -> Features:
        """What the encoder takes, of the loudest span of each clip.

        Args:
            waveforms: One channel each at 16 kHz.
            clock: Told the time that it takes.
        """
        c = self.configuration
        samples = round(c.window_s * WAVEFORM_HZ)
        with clock.phase("features"):
            spans = [loudest_span(waveform, c.window_s) for waveform in waveforms]
            extracted = self._extractor(
                spans,
                sampling_rate=WAVEFORM_HZ,
                padding="max_length",
                max_length=samples,
                return_tensors="pt",
            )
            values = extracted[self._extractor.model_input_names[0]]
            mask = extracted.get("attention_mask")
            return Features(
                values.to(self.device, self.dtype),
                None if mask is None else mask.to(self.device),
                tuple(max(1, _frames(c, len(span))) for span in spans),
            )

    @torch.inference_mode()
    def encode(self, features: Features, clock: PhaseClock) -> Tokens:
        """Tokens behind the exit layer."""
        with clock.phase("encoder"):
            return self.forward(features)

    def forward(self, features: Features) -> Tokens:
        """The same, for training: gradients flow where they are asked for."""
        return self._tokens(self._run(features), features)

    @torch.inference_mode()
    def encode_layers(self, features: Features) -> dict[int, Tokens]:
        """Tokens behind every layer that may be an exit, by its number.

        With reduced tokens these are the layers from the reduction on: below it,
        an exit would have another reduction.
        """
        found: dict[int, Tensor] = {}
        layers = _inner(self.model).layers
        first = max(1, self.configuration.reduction_layer or 1)
        with _recorded({**dict(enumerate(layers, 1)), len(layers): self._output}, found):
            self._run(features)
        return {n: self._tokens(found[n], features) for n in range(first, len(layers) + 1)}

    def _run(self, features: Features) -> Tensor:
        # On a CPU a batch of windows only falls out of the caches.
        at_once = 1 if self.device.type == "cpu" else len(features.values)
        states = []
        for first in range(0, len(features.values), at_once):
            part = slice(first, first + at_once)
            options = {} if features.mask is None else {"attention_mask": features.mask[part]}
            states.append(self.model(features.values[part], **options).last_hidden_state)
        return torch.cat(states)

    def _tokens(self, states: Tensor, features: Features) -> Tokens:
        frames, tokens = self.frames, states.shape[1]
        # Token j begins at frame j * frames // tokens.
        heard = [-(-valid * tokens // frames) for valid in features.frames]
        places = torch.arange(tokens, device=states.device)
        return Tokens(states, places < torch.tensor(heard, device=states.device)[:, None])


def encoder_from_folder(
    folder: Path,
    configuration: Configuration,
    device: torch.device,
    adapter: Adapter | None = None,
) -> EmotionEncoder:
    """Loads an encoder's weights from a folder in the hub's layout.

    Args:
        folder: Where they are.
        configuration: What to run.
        device: Where.
        adapter: Merged into the weights, where there is one.

    Raises:
        AdapterError: The adapter was trained on other weights, or its files are damaged.
        WeightsError: A file is missing, or the weights are another architecture's.
    """
    architecture = configuration.architecture
    checksum = weights_sha256(folder)
    _check_config(folder, architecture)
    disable_progress_bar()
    # What is missing is told below; what is left over, a pre-training head, is no matter.
    set_verbosity_error()
    if isinstance(architecture, WhisperArchitecture):
        config = WhisperConfig.from_pretrained(folder, local_files_only=True)
        config.encoder_layers = configuration.exit_layer or architecture.encoder_layers
        # An adapter is merged in 32 bits.
        dtype = torch.float32 if adapter else dtype_of(configuration.precision, device)
        model, missing = read_model(
            WhisperEncoder, folder, dtype, config=config, name_of=_encoder_name(config)
        )
    else:
        # Weight norm is computed in 32 bits.
        model, missing = read_model(_CLASSES[architecture.kind][1], folder, torch.float32)
    if lacking := sorted(missing - {"masked_spec_embed"}):
        raise WeightsError(f"{folder} lacks {len(lacking)} weights, {lacking[0]} among them")
    return EmotionEncoder(
        model,
        _extractor(folder, architecture),
        configuration,
        device,
        checksum,
        lambda plain: plain if adapter is None else merge_onto(plain, folder, adapter),
    )


def _encoder_name(config: Any) -> Callable[[str], str | None]:
    """Names a Whisper checkpoint's tensors as its encoder does, without layers above the exit."""

    def name_of(name: str) -> str | None:
        _, encoder, own = name.partition("encoder.")
        if not encoder or name.removeprefix("model.") != encoder + own:
            return None
        place = own.split(".")
        above = place[0] == "layers" and int(place[1]) >= config.encoder_layers
        return None if above else own

    return name_of


def encoder_with_random_weights(
    configuration: Configuration, device: torch.device, *, seed: int = 0
) -> EmotionEncoder:
    """The configuration with random weights: its speed and its cost, not its answers."""
    architecture = configuration.architecture

    def build() -> nn.Module:
        if isinstance(architecture, WhisperArchitecture):
            encoder: nn.Module = WhisperEncoder(
                WhisperConfig(**conversion.hub_config(architecture))
            )
            return encoder
        module: nn.Module = _CLASSES[architecture.kind][1](speech_encoder_config(architecture))
        return module

    model = random_module(build, dtype_of(configuration.precision, device), device, seed=seed)
    return EmotionEncoder(model, _extractor(None, architecture), configuration, device)


def speech_encoder_config(architecture: SpeechEncoderArchitecture) -> Any:
    """The ``transformers`` configuration of a waveform encoder."""
    a = architecture
    return _CLASSES[a.kind][0](**_hub_options(a))


def _hub_options(a: SpeechEncoderArchitecture) -> dict[str, Any]:
    options: dict[str, Any] = {
        "hidden_size": a.hidden,
        "num_hidden_layers": a.encoder_layers,
        "num_attention_heads": a.heads,
        "intermediate_size": a.ffn,
        "conv_dim": list(a.conv_dim),
        "conv_kernel": list(a.conv_kernel),
        "conv_stride": list(a.conv_stride),
        "conv_bias": a.conv_bias,
        "feat_extract_norm": a.conv_norm,
        "num_conv_pos_embeddings": a.positional_kernel,
        "num_conv_pos_embedding_groups": a.positional_groups,
        "do_stable_layer_norm": a.stable_layer_norm,
    }
    if a.position_buckets:
        options |= {"num_buckets": a.position_buckets, "max_bucket_distance": a.max_bucket_distance}
    return options


def _check_config(
    folder: Path, architecture: WhisperArchitecture | SpeechEncoderArchitecture
) -> None:
    path = folder / "config.json"
    if not path.exists():
        raise WeightsError(f"{folder} has no config.json")
    found = json.loads(path.read_text())
    if isinstance(architecture, WhisperArchitecture):
        names = (
            "model_type", "d_model", "encoder_layers", "encoder_attention_heads",
            "encoder_ffn_dim", "num_mel_bins",
        )  # fmt: skip
        options = conversion.hub_config(architecture)
        expected = {name: options[name] for name in names}
    else:
        expected = {"model_type": architecture.kind, **_hub_options(architecture)}
    # config.json may leave out what is the default.
    defaults: Any = (
        WhisperConfig
        if isinstance(architecture, WhisperArchitecture)
        else _CLASSES[architecture.kind][0]
    )()
    wrong = [
        f"{name} {value!r} instead of {wanted!r}"
        for name, wanted in expected.items()
        if (value := found.get(name, getattr(defaults, name, None))) != wanted
    ]
    if wrong:
        raise WeightsError(f"{path} is not {architecture.name}: {', '.join(wrong)}")


def _extractor(folder: Path | None, architecture: Architecture) -> Any:
    if isinstance(architecture, WhisperArchitecture):
        return WhisperFeatureExtractor(feature_size=architecture.mel_bins)
    if folder is not None and (folder / "preprocessor_config.json").exists():
        return Wav2Vec2FeatureExtractor.from_pretrained(folder, local_files_only=True)
    # Models with a norm behind every convolution were trained with a mask, the others without.
    return Wav2Vec2FeatureExtractor(return_attention_mask=architecture.conv_norm == "layer")


def _inner(model: Any) -> Any:
    """The module that holds the transformer layers: Whisper's encoder is one itself."""
    return model if hasattr(model, "layers") else model.encoder


def _closing_norm(architecture: Architecture) -> bool:
    """Whether the encoder's ``layer_norm`` stands behind its last layer."""
    return isinstance(architecture, WhisperArchitecture) or architecture.stable_layer_norm


def _frames(configuration: Configuration, samples: int) -> int:
    """Encoder frames of a waveform, before any reduction."""
    architecture = configuration.architecture
    if isinstance(architecture, WhisperArchitecture):
        return -(-samples // _SAMPLES_PER_FRAME)
    return architecture.frames(samples)


def _fit_mask(
    _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Cuts an attention mask down to the tokens that a reduction has left."""
    mask, tokens = kwargs.get("attention_mask"), args[0].shape[1]
    if mask is None or mask.shape[-1] == tokens:
        return None
    frames = mask.shape[-1]
    kept = torch.arange(tokens, device=mask.device) * frames // tokens
    mask = mask[..., kept]
    if mask.ndim == 4 and mask.shape[-2] == frames:
        mask = mask[..., kept, :]
    return args, {**kwargs, "attention_mask": mask}


@contextmanager
def _recorded(modules: dict[int, nn.Module], found: dict[int, Tensor]) -> Iterator[None]:
    """Keeps what modules give while the block runs, parts of a batch joined."""

    def record(number: int) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            states = output[0] if isinstance(output, tuple) else output
            found[number] = torch.cat([found[number], states]) if number in found else states

        return hook

    handles = [module.register_forward_hook(record(n)) for n, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
