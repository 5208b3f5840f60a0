"""The encoder run layer by layer, against transformers' own, and what is shared."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from models_registry import Configuration  # noqa: E402
from models_registry.conversion import hub_config  # noqa: E402
from models_registry.loading.encoder import PrefixCache, encode  # noqa: E402
from models_registry.loading.reduction import install_reduction, set_window  # noqa: E402

REDUCTIONS = [(1.0, None), (2.0, 0), (1.5, 2), (3.0, 4)]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = transformers.WhisperConfig(**hub_config(Configuration(model="tiny.en").architecture))
    return transformers.WhisperForConditionalGeneration(config).eval()


def configured(stride, layer):
    return Configuration(model="tiny.en", window_s=4, token_stride=stride, reduction_layer=layer)


@pytest.mark.parametrize(("stride", "layer"), REDUCTIONS)
def test_the_states_are_those_of_transformers(model, stride, layer):
    configuration = configured(stride, layer)
    features = torch.randn(2, 80, 400)
    found = encode(model.model.encoder, features, configuration)
    reference = transformers.WhisperForConditionalGeneration(model.config).eval()
    reference.load_state_dict(model.state_dict())
    encoder = reference.model.encoder
    set_window(encoder, reference.config, 200)
    install_reduction(encoder.layers, encoder.layer_norm, configuration)
    with torch.inference_mode():
        expected = encoder(features).last_hidden_state
    set_window(encoder, reference.config, 1500)
    torch.testing.assert_close(found, expected)


def test_shared_prefixes_change_nothing_and_save_the_layers_below(model):
    features, cache, runs = torch.randn(1, 80, 400), PrefixCache(), []
    hooks = [
        layer.register_forward_hook(lambda *_, i=i: runs.append(i))
        for i, layer in enumerate(model.model.encoder.layers)
    ]
    for stride, layer in reversed(REDUCTIONS):
        configuration = configured(stride, layer)
        alone = encode(model.model.encoder, features, configuration)
        runs.clear()
        shared = encode(model.model.encoder, features, configuration, cache, ["w"])
        assert torch.equal(alone, shared)
        below = {4: [0, 1, 2, 3], 2: [0, 1, 2, 3], 0: [0, 1, 2, 3], None: []}[layer]
        assert runs == below
    for hook in hooks:
        hook.remove()


def test_the_cache_keeps_to_its_limit():
    cache = PrefixCache(max_bytes=3000)
    for index in range(5):
        cache.keep(f"w{index}", 1, torch.zeros(1, 250))
    assert cache.deepest("w0", 4) is None
    assert cache.deepest("w4", 4)[0] == 1
    assert cache.deepest("w4", 0) is None
    cache.keep("huge", 1, torch.zeros(1, 2500))
    assert cache.deepest("huge", 1) is None
    assert cache.deepest("w4", 1) is not None
