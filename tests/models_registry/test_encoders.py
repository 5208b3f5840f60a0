"""Encoders for emotion: what runs, what is dropped, what is counted, what is refused.

Small random checkpoints in the hub's own layout stand in for the released ones.
"""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from transformers import (  # noqa: E402
    HubertModel,
    Wav2Vec2ForPreTraining,
    Wav2Vec2Model,
    WavLMModel,
    WhisperForConditionalGeneration,
)

from models_registry import Configuration, WeightsError  # noqa: E402
from models_registry.loading import UnsupportedConfigurationError, load_encoder  # noqa: E402
from models_registry.loading.clock import PhaseClock  # noqa: E402
from models_registry.loading.encoders import (  # noqa: E402
    encoder_from_folder,
    encoder_with_random_weights,
    speech_encoder_config,
)
from models_registry.loading.readouts import Readout  # noqa: E402
from models_registry.weights import PathSource  # noqa: E402
from planner.cost import pass_flops  # noqa: E402
from tests.nano import NANO, save_checkpoint  # noqa: E402

pytestmark = pytest.mark.usefixtures("nano_models")

CPU = torch.device("cpu")
CLASSES = {"wav2vec2": Wav2Vec2Model, "hubert": HubertModel, "wavlm": WavLMModel}
REDUCIBLE = [name for name in NANO if name != "nano-wavlm"]


def configuration(model, **options):
    return Configuration(task="ser", model=model, **{"window_s": 1.0, **options})


def clips(*seconds):
    rng = np.random.default_rng(1)
    return [rng.normal(0, 0.1, int(s * 16_000)).astype(np.float32) for s in seconds]


def states(encoder, waveforms):
    clock = PhaseClock(CPU)
    return encoder.encode(encoder.features(waveforms, clock), clock)


@pytest.mark.parametrize("name", NANO)
def test_a_checkpoint_runs_as_transformers_runs_it(name, tmp_path):
    """Our window, mask and hooks must leave a full, unreduced encoder as it was."""
    folder = save_checkpoint(name, tmp_path / "checkpoint")
    encoder = encoder_from_folder(folder, configuration(name), CPU)
    (clip,) = clips(1.0)
    found = states(encoder, [clip]).states
    with torch.inference_mode():
        if name == "nano-whisper":
            model = WhisperForConditionalGeneration.from_pretrained(folder).get_encoder().eval()
            model.config.max_source_positions = 50
            model.embed_positions.weight.data = model.embed_positions.weight.data[:50]
            model.embed_positions.num_embeddings = 50
            features = encoder.features([clip], PhaseClock(CPU))
            expected = model(features.values).last_hidden_state
        else:
            model = CLASSES[NANO[name].kind].from_pretrained(folder).eval()
            normal = torch.tensor((clip - clip.mean()) / np.sqrt(clip.var() + 1e-7))[None]
            expected = model(normal).last_hidden_state
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NANO)
def test_layers_above_the_exit_are_gone_and_those_below_give_the_same(name, tmp_path):
    folder = save_checkpoint(name, tmp_path / "checkpoint")
    full = encoder_from_folder(folder, configuration(name), CPU)
    waveforms = clips(1.0, 0.6)
    layers = full.encode_layers(full.features(waveforms, PhaseClock(CPU)))
    assert sorted(layers) == [1, 2, 3]
    early = encoder_from_folder(folder, configuration(name, exit_layer=2), CPU)
    inner = early.model if hasattr(early.model, "layers") else early.model.encoder
    assert len(inner.layers) == 2
    found = states(early, waveforms)
    torch.testing.assert_close(found.states, layers[2].states)
    torch.testing.assert_close(states(full, waveforms).states, layers[3].states)
    assert not torch.allclose(layers[2].states, layers[3].states)


@pytest.mark.parametrize("name", REDUCIBLE)
@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("how", ["mean", "pick"])
def test_every_exit_above_a_reduction_shares_one_pass(name, layer, how):
    options = {"token_stride": 2.5, "reduction_layer": layer, "reduction": how}
    full = encoder_with_random_weights(configuration(name, **options), CPU)
    early = encoder_with_random_weights(configuration(name, exit_layer=2, **options), CPU)
    waveforms = clips(1.0, 0.7)
    layers = full.encode_layers(full.features(waveforms, PhaseClock(CPU)))
    assert sorted(layers) == list(range(max(1, layer), 4))
    found = states(early, waveforms)
    torch.testing.assert_close(found.states, layers[2].states)
    frames = 50 if name == "nano-whisper" else 49
    assert found.states.shape == (2, -(-frames * 2 // 5), 32)


def test_only_tokens_with_audio_are_pooled():
    for name in NANO:
        encoder = encoder_with_random_weights(configuration(name, window_s=2), CPU)
        found = states(encoder, clips(2.0, 0.5))
        frames = 25 if name == "nano-whisper" else 24
        assert found.heard.sum(dim=1).tolist() == [found.states.shape[1], frames]
        mean = found.states[1, :frames].mean(dim=0)
        torch.testing.assert_close(found.mean()[1], mean, rtol=1e-4, atol=1e-5)


def test_a_mask_makes_padding_silent_where_a_model_was_trained_with_one():
    """With the mask left out, or not cut down with the tokens, padding would be heard."""
    options = {"token_stride": 2, "reduction_layer": 1}
    one = encoder_with_random_weights(configuration("nano-robust", window_s=2, **options), CPU)
    other = encoder_with_random_weights(configuration("nano-robust", window_s=1, **options), CPU)
    waveforms = clips(1.0)
    padded, exact = states(one, waveforms), states(other, waveforms)
    # The last tokens differ: the positional convolution sees padding in one of them.
    torch.testing.assert_close(padded.states[0, :18], exact.states[0, :18], rtol=0.05, atol=0.05)


FLOP_CASES = [
    {},
    {"exit_layer": 2, "readout": "attentive"},
    {"exit_layer": 2, "token_stride": 1.5, "reduction_layer": 1, "readout": "attentive"},
    {"exit_layer": 2, "token_stride": 3, "reduction_layer": 0},
    {"exit_layer": 2, "token_stride": 4, "readout": "attentive"},
]


@pytest.mark.parametrize("name", NANO)
@pytest.mark.parametrize("options", FLOP_CASES)
def test_encoder_and_read_out_equal_flop_counter(name, options):
    if name == "nano-wavlm" and "token_stride" in options:
        pytest.skip("relative positions can't be reduced")
    chosen = configuration(name, window_s=1.3, **options)
    encoder = encoder_with_random_weights(chosen, CPU)
    encoder.model.set_attn_implementation("eager")
    readout = Readout(encoder.width, 5, attentive=chosen.readout == "attentive")
    clock = PhaseClock(CPU)
    features = encoder.features(clips(1.0), clock)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        readout(encoder.encode(features, clock))
    assert pass_flops(chosen, classes=5).total == counter.get_total_flops()


def test_pretraining_checkpoints_are_read_and_their_heads_left_out(tmp_path):
    """What the hub has of wav2vec2 is the pre-training model, its weights behind a prefix."""
    torch.manual_seed(0)
    config = speech_encoder_config(NANO["nano-wav2vec2"])
    model = Wav2Vec2ForPreTraining(config).eval()
    model.save_pretrained(tmp_path)
    encoder = encoder_from_folder(tmp_path, configuration("nano-wav2vec2"), CPU)
    weight = encoder.model.encoder.layers[2].feed_forward.output_dense.weight
    expected = model.wav2vec2.encoder.layers[2].feed_forward.output_dense.weight
    torch.testing.assert_close(weight, expected)


def test_pickled_weights_are_refused_by_name(tmp_path):
    folder = save_checkpoint("nano-hubert", tmp_path / "checkpoint")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="holds no safetensors, and pickled weights are never"):
        load_encoder(configuration("nano-hubert"), weights=PathSource(folder), device="cpu")


def test_another_architecture_and_lacking_weights_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = save_checkpoint("nano-wav2vec2", tmp_path / "checkpoint")
    with pytest.raises(WeightsError, match="is not nano-hubert: model_type 'wav2vec2'"):
        encoder_from_folder(folder, configuration("nano-hubert"), CPU)
    tensors = load_file(folder / "model.safetensors")
    del tensors["encoder.layers.1.attention.q_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"lacks 1 weights, encoder\.layers\.1"):
        encoder_from_folder(folder, configuration("nano-wav2vec2"), CPU)
    (folder / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(WeightsError, match="can't be loaded"):
        encoder_from_folder(folder, configuration("nano-wav2vec2"), CPU)
    config = json.loads((folder / "config.json").read_text()) | {"hidden_size": 48}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="hidden_size 48 instead of 32"):
        encoder_from_folder(folder, configuration("nano-wav2vec2"), CPU)


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        ("nano-wavlm", {"token_stride": 2}, "relative positions are not defined"),
        ("nano-wavlm", {"precision": "int8"}, "takes no quantised weights"),
        ("nano-hubert", {"window_s": 0.02}, "too short for a single frame"),
        ("nano-whisper", {"window_policy": "truncate"}, "is for asr only"),
        ("nano-whisper", {"precision": "int4"}, "int4 runs on CUDA only"),
    ],
)
def test_what_can_t_be_loaded_says_why(model, options, reason):
    with pytest.raises(UnsupportedConfigurationError, match=reason):
        load_encoder(configuration(model, **options), device="cpu")


@pytest.mark.parametrize("name", ["nano-whisper", "nano-hubert"])
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_lower_precisions_stay_close(name, precision):
    waveforms = clips(1.0)
    options = {"exit_layer": 2, "token_stride": 2, "reduction_layer": 1}
    exact = states(encoder_with_random_weights(configuration(name, **options), CPU), waveforms)
    coarse = encoder_with_random_weights(configuration(name, precision=precision, **options), CPU)
    found = states(coarse, waveforms).mean()
    assert not torch.equal(found, exact.mean())
    assert torch.cosine_similarity(found, exact.mean()).item() > 0.99
    layers = coarse.encode_layers(coarse.features(waveforms, PhaseClock(CPU)))
    torch.testing.assert_close(layers[2].mean(), found)
