"""Adapters: where they go, what they train, that what is saved is what was trained."""

import json
import pickle

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from safetensors.torch import load_file, save_file  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from models_registry import MODELS, Configuration, PathSource, load  # noqa: E402
from models_registry.adapters import (  # noqa: E402
    AdapterError,
    adapters_dir,
    depth_ranks,
    find_adapter,
    placement,
    weights_sha256,
)
from models_registry.loading import UnsupportedConfigurationError  # noqa: E402
from models_registry.loading.adapters import AttachedAdapter, merge_adapter  # noqa: E402
from models_registry.loading.reduction import install_reduction, set_window  # noqa: E402
from planner.cost.training import step_flops, trainable_parameters  # noqa: E402
from tests import pico_whisper  # noqa: E402

FRAMES, ROWS, TOKENS = 50, 3, 7

KINDS = {
    "lora": {"adapter": "lora", "rank": 4},
    "dama": {"adapter": "dama", "rank": 8},
    "lora beside unfrozen layers": {"adapter": "lora", "rank": 4, "unfrozen_layers": 2},
    "dama beside unfrozen layers": {"adapter": "dama", "rank": 6, "unfrozen_layers": 1},
    "partial": {"adapter": "partial", "unfrozen_layers": 2},
    "all layers of the encoder": {"adapter": "partial", "unfrozen_layers": 6},
    "full": {"adapter": "full"},
    "lora, stride inside": {
        "adapter": "lora",
        "rank": 3,
        "token_stride": 1.5,
        "reduction_layer": 2,
    },
    "full, stride at the stem": {"adapter": "full", "token_stride": 2, "reduction_layer": 0},
    "dama, stride at the output": {"adapter": "dama", "rank": 4, "token_stride": 2},
}


@pytest.fixture(autouse=True)
def pico(monkeypatch, tmp_path):
    monkeypatch.setenv("SPEECHPLAN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))
    monkeypatch.setattr(MODELS, "_aliases", dict(MODELS._aliases))
    return MODELS.add("whisper-pico", pico_whisper.architecture())


def configuration(**options):
    return Configuration(model="whisper-pico", **options)


def prepared(configuration, attention="sdpa"):
    model = pico_whisper.random_model(attention)
    install_reduction(model.model.encoder.layers, model.model.encoder.layer_norm, configuration)
    set_window(model.model.encoder, model.config, FRAMES)
    return model


def attached(model, configuration):
    return AttachedAdapter(
        model, placement(configuration), scaling=2.0, svd=configuration.adapter == "dama"
    )


def scores(model):
    draw = torch.Generator().manual_seed(1)
    features = torch.randn(ROWS, 80, 2 * FRAMES, generator=draw)
    tokens = torch.randint(5, 40, (ROWS, model.prompt + TOKENS - 1), generator=draw)
    hidden = model.model(input_features=features, decoder_input_ids=tokens).last_hidden_state
    return model.proj_out(hidden[:, model.prompt - 1 :])


@pytest.fixture(autouse=True)
def prompt(monkeypatch):
    from transformers import WhisperForConditionalGeneration

    tokens = pico_whisper.architecture().prompt_tokens
    monkeypatch.setattr(WhisperForConditionalGeneration, "prompt", tokens, raising=False)


@pytest.mark.parametrize("kind", KINDS)
def test_one_training_step(kind, tmp_path):
    """Counts in closed form, exact; then what is saved and merged equals what was trained."""
    chosen = configuration(**KINDS[kind])
    model = prepared(chosen, attention="eager")
    adapter = attached(model, chosen)
    assert sum(p.numel() for p in adapter.parameters.values()) == trainable_parameters(chosen)

    with FlopCounterMode(display=False) as forward:
        loss = scores(model).logsumexp(-1).square().mean()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    counted = step_flops(chosen, frames=FRAMES, output_tokens=TOKENS, rows=ROWS)
    assert forward.get_total_flops() == counted.forward
    assert backward.get_total_flops() == counted.backward

    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    torch.optim.AdamW(adapter.parameters.values(), lr=1e-2).step()
    for name, parameter in model.named_parameters():
        moved = not torch.equal(parameter, before[name])
        assert moved == (name in adapter.parameters), name
    with torch.no_grad():
        trained, plain = scores(model), scores(prepared(chosen, attention="eager"))
    adapter.save(tmp_path / "adapter")
    assert {f.suffix for f in (tmp_path / "adapter").iterdir()} <= {".json", ".safetensors"}
    merged = merge_adapter(prepared(chosen, attention="eager"), tmp_path / "adapter")
    with torch.no_grad():
        again = scores(merged)
    torch.testing.assert_close(again, trained, atol=1e-5, rtol=1e-5)
    assert (trained - plain).abs().max() > 0.01
    # Merged, it is a plain model again: no layer more, nothing on the way that costs.
    assert [n for n, _ in merged.named_modules()] == [
        n for n, _ in pico_whisper.random_model().named_modules()
    ]


def test_ranks_follow_depth():
    assert depth_ranks(4, 8) == (8, 2, 2, 8)
    assert depth_ranks(12, 16) == (16, 10, 4, 4, 4, 4, 4, 4, 4, 4, 10, 16)
    whisper_large = depth_ranks(32, 32)
    assert whisper_large[:6] == (32, 27, 22, 18, 13, 8)
    assert whisper_large == whisper_large[::-1]
    assert sum(r == 8 for r in whisper_large) == 22
    assert depth_ranks(6, 1) == (1,) * 6


def test_dama_starts_from_the_singular_values_and_freezes_the_middle():
    chosen = configuration(adapter="dama", rank=8)
    model, plain = prepared(chosen), prepared(chosen)
    weight = plain.model.encoder.layers[0].fc1.weight.detach().clone()
    adapter = attached(model, chosen)
    with torch.no_grad():
        torch.testing.assert_close(scores(model), scores(plain), atol=1e-5, rtol=1e-5)
    layer = model.model.encoder.layers[0].fc1
    product = 2.0 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    left, singular, right = torch.linalg.svd(weight, full_matrices=False)
    torch.testing.assert_close(
        product.detach(), left[:, :8] * singular[:8] @ right[:8], atol=1e-5, rtol=1e-5
    )
    bases = [name for name in adapter.parameters if ".lora_A." in name]
    assert {name.split(".")[3] for name in bases if ".encoder." in name} == {"0", "5"}
    assert {name.split(".")[3] for name in bases if ".decoder." in name} == {"0", "4"}


def finish(folder, chosen, key, base):
    """An adapter's folder with the record that makes it a finished one."""
    attached(prepared(chosen), chosen).save(folder)
    record = {
        "key": key,
        "configuration": chosen.model_dump(mode="json"),
        "base_weights": weights_sha256(base),
    }
    (folder / "training.json").write_text(json.dumps(record))
    return folder


@pytest.fixture
def checkpoint(tmp_path):
    return pico_whisper.save_checkpoint(tmp_path / "checkpoint")


def test_an_adapter_is_found_by_its_configuration(checkpoint):
    chosen = configuration(adapter="lora", rank=4, window_s=10, recipe="self-distilled")
    with pytest.raises(AdapterError, match=r"speechplan adapt .*--window-s 10 .*--rank 4"):
        find_adapter(chosen)
    finish(adapters_dir() / "a", chosen, "a" * 64, checkpoint)
    runs = chosen.model_copy(update={"precision": "bf16", "batch_size": 4})
    assert find_adapter(runs).key == "a" * 64
    for other in ({"rank": 8}, {"window_s": 20}, {"recipe": None}, {"token_stride": 2}):
        with pytest.raises(AdapterError, match="no adapter trained for it"):
            find_adapter(Configuration(**{**chosen.model_dump(exclude_defaults=True), **other}))
    (adapters_dir() / "unfinished").mkdir()
    finish(adapters_dir() / "b", chosen, "b" * 64, checkpoint)
    with pytest.raises(AdapterError, match="--adapter-key: aaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbb"):
        find_adapter(chosen)
    assert find_adapter(chosen, "b" * 8).key == "b" * 64
    assert find_adapter(chosen, adapters_dir() / "a").key == "a" * 64
    elsewhere = chosen.model_copy(update={"window_s": 20.0})
    assert find_adapter(elsewhere, "b" * 8).key == "b" * 64
    for wrong, said in (("b", "first 8 or more"), ("cccccccc", "aaaaaaaaaaaaaaaa")):
        with pytest.raises(AdapterError, match=said):
            find_adapter(chosen, wrong)
    with pytest.raises(AdapterError, match="rank 4, not 8"):
        find_adapter(configuration(adapter="lora", rank=8, recipe="self-distilled"), "b" * 8)
    with pytest.raises(AdapterError, match="names no adapter"):
        find_adapter(configuration(), "b" * 8)


def test_a_loaded_adapter_changes_what_runs(checkpoint):
    chosen = configuration(adapter="partial", unfrozen_layers=2, window_s=10)
    folder = finish(adapters_dir() / "a", chosen, "a" * 64, checkpoint)
    file = folder / "trained_weights.safetensors"
    weights = {name: tensor + 1 for name, tensor in load_file(file).items()}
    save_file(weights, file)
    source = PathSource(checkpoint)
    plain = load(configuration(window_s=10), device="cpu", weights=source)
    adapted = load(chosen, device="cpu", weights=source)
    name = "model.encoder.layers.5.fc1.weight"
    torch.testing.assert_close(
        adapted.model.get_parameter(name), plain.model.get_parameter(name) + 1
    )
    int8 = load(chosen.model_copy(update={"precision": "int8"}), device="cpu", weights=source)
    torch.testing.assert_close(
        int8.model.model.encoder.layers[5].fc1.kernel.weight().dequantize(),
        adapted.model.get_parameter(name),
        atol=0.02,
        rtol=0.02,
    )


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / "adapter_model.safetensors").unlink(), "has no adapter_model.safetensors"),
        (lambda f: (f / "adapter_model.safetensors").write_bytes(b"no"), "does not fit"),
        (lambda f: (f / "adapter_config.json").unlink(), "has neither"),
        (lambda f: (f / "training.json").write_text("{}"), "not a record"),
    ],
)
def test_damaged_adapters_are_refused(damage, said, checkpoint):
    chosen = configuration(adapter="lora", rank=4)
    folder = finish(adapters_dir() / "a", chosen, "a" * 64, checkpoint)
    # What peft would fall back to: it must stay unopened.
    (folder / "adapter_model.bin").write_bytes(pickle.dumps({}))
    damage(folder)
    with pytest.raises((AdapterError, UnsupportedConfigurationError), match=said) as error:
        load(chosen, device="cpu", weights=PathSource(checkpoint))
    assert "\n" not in str(error.value)


def test_an_adapter_of_other_weights_is_refused(checkpoint):
    chosen = configuration(adapter="lora", rank=4)
    finish(adapters_dir() / "a", chosen, "a" * 64, checkpoint)
    weights = load_file(checkpoint / "model.safetensors")
    weights["model.encoder.conv1.bias"] += 1
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(AdapterError, match="was trained on weights"):
        load(chosen, device="cpu", weights=PathSource(checkpoint))
