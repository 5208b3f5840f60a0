"""The encoder run layer by layer, against transformers' own, and what is shared."""

from contextlib import contextmanager

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from models_registry import Configuration  # noqa: E402
from models_registry.conversion import hub_config  # noqa: E402
from models_registry.loading.encoder import (  # noqa: E402
    FEATURES,
    PrefixCache,
    encode,
    encode_from,
    shared_layers,
)
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


@contextmanager
def layers_run(model):
    """Layers run meanwhile, each with the windows of its batch."""
    runs = []
    hooks = [
        layer.register_forward_hook(lambda _, args, __, i=i: runs.append((i, len(args[0]))))
        for i, layer in enumerate(model.model.encoder.layers)
    ]
    yield runs
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("at_once", [1, 3])
def test_shared_prefixes_change_nothing_and_save_the_layers_below(model, at_once):
    """A batch, as a GPU takes it, shares as much as windows do one by one."""
    encoder, features, cache = model.model.encoder, torch.randn(3, 80, 400), PrefixCache()
    windows = ["a", "b", "c"]
    for stride, layer in reversed(REDUCTIONS):
        configuration = configured(stride, layer)
        parts = features.split(at_once)
        alone = torch.cat([encode(encoder, part, configuration) for part in parts])
        kept = [cache.deepest(window, shared_layers(encoder, configuration)) for window in windows]
        starts = [s or (FEATURES, row) for s, row in zip(kept, features.split(1), strict=True)]
        with layers_run(model) as runs:
            shared = encode_from(encoder, starts, configuration, cache, windows, at_once)
        assert torch.equal(alone, shared)
        above = {4: [0, 1, 2, 3], 2: [0, 1, 2, 3], 0: [0, 1, 2, 3], None: []}[layer]
        assert runs == [(i, at_once) for i in above] * (3 // at_once)


def test_windows_that_have_come_to_different_depths_keep_their_places(model):
    """One row kept behind layer 1, one behind layer 2, two not at all."""
    encoder, features, cache = model.model.encoder, torch.randn(4, 80, 400), PrefixCache()
    windows = list("abcd")
    for row, layer in ((1, 2), (3, 1)):
        start = [(FEATURES, features[row : row + 1])]
        encode_from(encoder, start, configured(2.0, layer), cache, [windows[row]], 1)
    kept = [cache.deepest(window, 2) for window in windows]
    starts = [s or (FEATURES, row) for s, row in zip(kept, features.split(1), strict=True)]
    assert [depth for depth, _ in starts] == [FEATURES, 2, FEATURES, 1]
    with layers_run(model) as runs:
        found = encode_from(encoder, starts, configured(2.0, 2), cache, windows, 4)
    assert runs == [(0, 2), (1, 2), (2, 2), (3, 2), (2, 1), (3, 1), (1, 1), (2, 1), (3, 1)]
    torch.testing.assert_close(found, encode(encoder, features, configured(2.0, 2)))
    assert [cache.deepest(window, 4)[0] for window in windows] == [2, 2, 2, 2]


def test_the_cache_keeps_to_its_limits():
    cache = PrefixCache(max_bytes=3000, max_feature_bytes=2000)
    batch = torch.zeros(5, 1, 250)
    for index, row in enumerate(batch.split(1)):
        cache.keep(f"w{index}", 1, row)
    assert cache.deepest("w0", 4) is None
    assert cache.deepest("w4", 4)[0] == 1
    assert cache.deepest("w4", 0) is None
    # A view of the batch would keep all five alive.
    assert cache.deepest("w4", 1)[1].untyped_storage().nbytes() == 1000
    cache.keep("huge", 1, torch.zeros(1, 2500))
    assert cache.deepest("huge", 1) is None
    assert cache.deepest("w4", 1) is not None

    extracted = []
    for window in ("a", "b", "a", "c", "a", "b"):
        cache.features(window, lambda w=window: extracted.append(w) or torch.zeros(1, 250))
    assert extracted == ["a", "b", "c", "b"]
    assert cache.bytes_on("cpu") == 3000 + 2000
    assert cache.bytes_on("cuda") == 0
