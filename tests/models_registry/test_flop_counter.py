"""The closed forms against torch's own counter, to the FLOP, for every architecture.

A wrong kernel size, a forgotten projection or a changed transformers
implementation breaks equality at once.
"""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from transformers import (  # noqa: E402
    DynamicCache,
    EncoderDecoderCache,
    HubertModel,
    Wav2Vec2Model,
    WavLMModel,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

from models_registry import MODELS, Configuration  # noqa: E402
from models_registry.architectures import SpeechEncoderArchitecture, WhisperArchitecture  # noqa: E402
from models_registry.conversion import hub_config  # noqa: E402
from models_registry.loading.encoders import speech_encoder_config  # noqa: E402
from models_registry.loading.reduction import install_reduction, set_window  # noqa: E402
from planner.cost import pass_flops  # noqa: E402

WHISPER = [m.name for m in MODELS if isinstance(m, WhisperArchitecture)]
ENCODERS = [m.name for m in MODELS if isinstance(m, SpeechEncoderArchitecture)]
ENCODER_CLASSES = {
    "wav2vec2": Wav2Vec2Model,
    "hubert": HubertModel,
    "wavlm": WavLMModel,
}


def whisper_on_meta(architecture):
    with torch.device("meta"):
        config = WhisperConfig(**hub_config(architecture), attn_implementation="eager")
        return WhisperForConditionalGeneration(config).eval()


def encoder_on_meta(a):
    config = speech_encoder_config(a)
    config._attn_implementation = "eager"
    with torch.device("meta"):
        return ENCODER_CLASSES[a.kind](config).eval()


WINDOWED_AND_REDUCED = {"window_s": 20, "token_stride": 1.5, "reduction_layer": 1}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, options) for name in WHISPER for options in ({}, WINDOWED_AND_REDUCED)),
        ("tiny", {"window_s": 12.34}),
        ("tiny", {"window_s": 20, "token_stride": 1.5, "reduction_layer": 0}),
        ("tiny", {"window_s": 15, "token_stride": 7, "reduction_layer": 2, "reduction": "pick"}),
        ("tiny", {"token_stride": 2}),
    ],
)
def test_whisper_equals_flop_counter(name, options):
    configuration = Configuration(model=name, **options)
    architecture = configuration.architecture
    model = whisper_on_meta(architecture)
    encoder = model.model.encoder
    set_window(encoder, model.config, configuration.frames)
    install_reduction(encoder.layers, encoder.layer_norm, configuration)
    tokens_out, prompt = 3, architecture.prompt_tokens
    features = torch.empty(1, architecture.mel_bins, 2 * configuration.frames, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        states = encoder(features).last_hidden_state
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        for step in range(tokens_out):
            fed = prompt if step == 0 else 1
            hidden = model.model.decoder(
                input_ids=torch.zeros(1, fed, dtype=torch.long, device="meta"),
                encoder_hidden_states=states,
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state
            model.proj_out(hidden[:, -1:])
    assert pass_flops(configuration, output_tokens=tokens_out).total == counter.get_total_flops()


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("window_s", [4.0, 2.5])
def test_speech_encoder_equals_flop_counter(name, window_s):
    configuration = Configuration(task="ser", model=name, window_s=window_s)
    model = encoder_on_meta(configuration.architecture)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, int(window_s * 16_000), device="meta"))
    assert pass_flops(configuration).total == counter.get_total_flops()


@pytest.mark.parametrize("name", [*WHISPER, *ENCODERS])
def test_parameters_equal_the_model_s(name):
    architecture = MODELS.get(name)
    build = whisper_on_meta if isinstance(architecture, WhisperArchitecture) else encoder_on_meta
    assert architecture.parameters == sum(p.numel() for p in build(architecture).parameters())


@pytest.mark.parametrize("name", WHISPER)
def test_encoder_parameters_equal_the_encoder_s(name):
    architecture = MODELS.get(name)
    encoder = whisper_on_meta(architecture).model.encoder
    assert architecture.encoder_parameters == sum(p.numel() for p in encoder.parameters())
