"""Encoders small enough to make and run in a moment, with random checkpoints of them."""

from dataclasses import replace

from models_registry import MODELS
from models_registry.conversion import hub_config

_SMALL = {
    "hidden": 32,
    "encoder_layers": 3,
    "heads": 2,
    "ffn": 64,
    "conv_dim": (16,) * 7,
    "positional_kernel": 16,
    "positional_groups": 4,
}
NANO = {
    "nano-wav2vec2": replace(MODELS.get("wav2vec2-base"), name="nano-wav2vec2", **_SMALL),
    "nano-robust": replace(MODELS.get("wav2vec2-large-robust"), name="nano-robust", **_SMALL),
    "nano-hubert": replace(MODELS.get("hubert-base"), name="nano-hubert", **_SMALL),
    "nano-wavlm": replace(MODELS.get("wavlm-base-plus"), name="nano-wavlm", **_SMALL),
    "nano-whisper": replace(
        MODELS.get("tiny"),
        name="nano-whisper",
        d_model=32,
        heads=2,
        ffn=64,
        encoder_layers=3,
        decoder_layers=2,
        vocab_size=200,
    ),
}


def save_checkpoint(name, folder):
    """Random weights in the hub's layout."""
    import torch
    from transformers import (
        HubertModel,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2Model,
        WavLMModel,
        WhisperConfig,
        WhisperForConditionalGeneration,
    )

    from models_registry.loading.encoders import speech_encoder_config

    architecture = NANO[name]
    torch.manual_seed(0)
    if architecture.family == "whisper":
        ids = {"eos_token_id": 0, "bos_token_id": 0, "pad_token_id": 0, "decoder_start_token_id": 1}
        config = WhisperConfig(
            **hub_config(architecture)
            | ids
            | {"begin_suppress_tokens": None, "suppress_tokens": None}
        )
        WhisperForConditionalGeneration(config).save_pretrained(folder)
        return folder
    kinds = {"wav2vec2": Wav2Vec2Model, "hubert": HubertModel, "wavlm": WavLMModel}
    kinds[architecture.kind](speech_encoder_config(architecture)).save_pretrained(folder)
    mask = architecture.conv_norm == "layer"
    Wav2Vec2FeatureExtractor(return_attention_mask=mask).save_pretrained(folder)
    return folder
