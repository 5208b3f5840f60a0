"""An encoder alone, with random weights: what reading emotions off it costs in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import (
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from models_registry import conversion
from models_registry.architectures import (
    WAVEFORM_HZ,
    SpeechEncoderArchitecture,
    WhisperArchitecture,
)
from models_registry.configuration import Configuration
from models_registry.loading.audio import Waveform
from models_registry.loading.clock import PassCounts, PhaseClock
from models_registry.loading.random_weights import random_module
from models_registry.loading.reduction import install_reduction, set_window
from models_registry.loading.whisper import DTYPES, _quantised

_CLASSES: dict[str, tuple[Any, Any]] = {
    "wav2vec2": (Wav2Vec2Config, Wav2Vec2Model),
    "hubert": (HubertConfig, HubertModel),
    "wavlm": (WavLMConfig, WavLMModel),
}


class EncoderPass:
    """One configuration's encoder, every recording taking exactly one window.

    Args:
        configuration: What to run; its task is ``ser``.
        device: Where.
        seed: Seed of the weights.
    """

    def __init__(
        self, configuration: Configuration, device: torch.device, *, seed: int = 0
    ) -> None:
        self.configuration = configuration
        self.device = device
        self.dtype = DTYPES[configuration.precision]
        architecture = configuration.architecture
        self._extractor = None
        if isinstance(architecture, WhisperArchitecture):
            config = WhisperConfig(**conversion.hub_config(architecture))
            model = random_module(lambda: WhisperEncoder(config), self.dtype, device, seed=seed)
            self._extractor = WhisperFeatureExtractor(feature_size=architecture.mel_bins)
            encoder = model
        else:
            make_config, make_model = _CLASSES[architecture.kind]
            config = make_config(**_hub_config(architecture))
            model = random_module(lambda: make_model(config), self.dtype, device, seed=seed)
            encoder = model.encoder
        if configuration.exit_layer is not None:
            encoder.layers = encoder.layers[: configuration.exit_layer]
        if self._extractor is not None:
            set_window(encoder, config, configuration.frames)
        install_reduction(encoder.layers, encoder.layer_norm, configuration)
        self.model = _quantised(model) if configuration.precision == "int8" else model

    def run_timed(self, waveform: Waveform, clock: PhaseClock) -> PassCounts:
        """Encodes one recording."""
        return self.run_together([waveform], clock)

    @torch.inference_mode()
    def run_together(self, waveforms: Sequence[Waveform], clock: PhaseClock) -> PassCounts:
        """Encodes recordings as one batch."""
        with clock.phase("features"):
            inputs = self._features(waveforms).to(self.device, self.dtype)
        with clock.phase("encoder"):
            self.model(inputs)
        return PassCounts(windows=len(waveforms))

    def _features(self, waveforms: Sequence[Waveform]) -> torch.Tensor:
        samples = round(self.configuration.window_s * WAVEFORM_HZ)
        if self._extractor is None:
            cut = np.stack([np.resize(waveform, samples) for waveform in waveforms])
            centred = cut - cut.mean(axis=1, keepdims=True)
            return torch.from_numpy(centred / (centred.std(axis=1, keepdims=True) + 1e-7))
        extracted = self._extractor(
            list(waveforms),
            sampling_rate=WAVEFORM_HZ,
            padding="max_length",
            max_length=samples,
            return_tensors="pt",
        )
        features: torch.Tensor = extracted.input_features
        return features


def _hub_config(architecture: SpeechEncoderArchitecture) -> dict[str, Any]:
    a = architecture
    options: dict[str, Any] = {
        "hidden_size": a.hidden,
        "num_hidden_layers": a.encoder_layers,
        "num_attention_heads": a.heads,
        "intermediate_size": a.ffn,
        "conv_dim": a.conv_dim,
        "conv_kernel": a.conv_kernel,
        "conv_stride": a.conv_stride,
        "conv_bias": a.conv_bias,
        "feat_extract_norm": a.conv_norm,
        "num_conv_pos_embeddings": a.positional_kernel,
        "num_conv_pos_embedding_groups": a.positional_groups,
        "do_stable_layer_norm": a.stable_layer_norm,
    }
    if a.position_buckets:
        options |= {"num_buckets": a.position_buckets, "max_bucket_distance": a.max_bucket_distance}
    return options
