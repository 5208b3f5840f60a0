"""The architectures that come with speechplan.

Another distribution adds its own through the entry-point group
``speechplan.models``: a callable that is given this registry.
"""

from __future__ import annotations

from models_registry.architectures import (
    Architecture,
    SpeechEncoderArchitecture,
    WhisperArchitecture,
)
from models_registry.registry import Registry

MODELS: Registry[Architecture] = Registry("model", entry_point_group="speechplan.models")

_ENGLISH_VOCABULARY = 51_864
_MULTILINGUAL_VOCABULARY = 51_865
_V3_VOCABULARY = 51_866

# name, width, encoder layers, decoder layers, heads, feed-forward, mel bins, vocabulary
_WHISPER = [
    ("whisper-tiny", 384, 4, 4, 6, 1536, 80, _MULTILINGUAL_VOCABULARY),
    ("whisper-tiny.en", 384, 4, 4, 6, 1536, 80, _ENGLISH_VOCABULARY),
    ("whisper-base", 512, 6, 6, 8, 2048, 80, _MULTILINGUAL_VOCABULARY),
    ("whisper-base.en", 512, 6, 6, 8, 2048, 80, _ENGLISH_VOCABULARY),
    ("whisper-small", 768, 12, 12, 12, 3072, 80, _MULTILINGUAL_VOCABULARY),
    ("whisper-small.en", 768, 12, 12, 12, 3072, 80, _ENGLISH_VOCABULARY),
    ("whisper-medium", 1024, 24, 24, 16, 4096, 80, _MULTILINGUAL_VOCABULARY),
    ("whisper-medium.en", 1024, 24, 24, 16, 4096, 80, _ENGLISH_VOCABULARY),
    ("whisper-large", 1280, 32, 32, 20, 5120, 80, _MULTILINGUAL_VOCABULARY),
    ("whisper-large-v2", 1280, 32, 32, 20, 5120, 80, _MULTILINGUAL_VOCABULARY),
    ("whisper-large-v3", 1280, 32, 32, 20, 5120, 128, _V3_VOCABULARY),
    ("whisper-large-v3-turbo", 1280, 32, 4, 20, 5120, 128, _V3_VOCABULARY),
    ("distil-small.en", 768, 12, 4, 12, 3072, 80, _ENGLISH_VOCABULARY),
    ("distil-medium.en", 1024, 24, 2, 16, 4096, 80, _ENGLISH_VOCABULARY),
    ("distil-large-v2", 1280, 32, 2, 20, 5120, 80, _MULTILINGUAL_VOCABULARY),
    ("distil-large-v3", 1280, 32, 2, 20, 5120, 128, _V3_VOCABULARY),
    ("distil-large-v3.5", 1280, 32, 2, 20, 5120, 128, _V3_VOCABULARY),
]

for _name, _d, _enc, _dec, _heads, _ffn, _mel, _vocabulary in _WHISPER:
    _distilled = _name.startswith("distil-")
    _hub_id = f"distil-whisper/{_name}" if _distilled else f"openai/{_name}"
    _short = () if _distilled else (_name.removeprefix("whisper-"),)
    MODELS.add(
        _name,
        WhisperArchitecture(
            name=_name,
            hub_id=_hub_id,
            d_model=_d,
            encoder_layers=_enc,
            decoder_layers=_dec,
            heads=_heads,
            ffn=_ffn,
            mel_bins=_mel,
            vocab_size=_vocabulary,
            multilingual=_vocabulary != _ENGLISH_VOCABULARY,
            # All of Distil-Whisper was distilled on English (arXiv 2311.00430).
            english_only=_distilled or _vocabulary == _ENGLISH_VOCABULARY,
        ),
        aliases=(_hub_id, *_short),
    )

for _encoder in (
    SpeechEncoderArchitecture(
        name="wav2vec2-base",
        hub_id="facebook/wav2vec2-base",
        kind="wav2vec2",
        hidden=768,
        encoder_layers=12,
        heads=12,
        ffn=3072,
    ),
    SpeechEncoderArchitecture(
        name="wav2vec2-large-robust",
        hub_id="facebook/wav2vec2-large-robust",
        kind="wav2vec2",
        hidden=1024,
        encoder_layers=24,
        heads=16,
        ffn=4096,
        conv_bias=True,
        conv_norm="layer",
        stable_layer_norm=True,
    ),
    SpeechEncoderArchitecture(
        name="hubert-base",
        hub_id="facebook/hubert-base-ls960",
        kind="hubert",
        hidden=768,
        encoder_layers=12,
        heads=12,
        ffn=3072,
    ),
    SpeechEncoderArchitecture(
        name="wavlm-base-plus",
        hub_id="microsoft/wavlm-base-plus",
        kind="wavlm",
        hidden=768,
        encoder_layers=12,
        heads=12,
        ffn=3072,
        position_buckets=320,
    ),
):
    MODELS.add(_encoder.name, _encoder, aliases=(_encoder.hub_id,))
