"""Checkpoints read tensor by tensor: the same weights, in less memory."""

import gc
import weakref

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file  # noqa: E402
from torch import nn  # noqa: E402
from transformers import WhisperForConditionalGeneration  # noqa: E402

from models_registry import Configuration, WeightsError  # noqa: E402
from models_registry.loading.checkpoint import WEIGHTS, read_model  # noqa: E402
from models_registry.loading.encoders import encoder_from_folder  # noqa: E402
from models_registry.loading.precision import RowwiseInt8Linear, quantise  # noqa: E402
from tests.nano import save_checkpoint  # noqa: E402

pytestmark = pytest.mark.usefixtures("nano_models")


@pytest.fixture
def folder(tmp_path):
    return save_checkpoint("nano-whisper", tmp_path / "checkpoint")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_are_those_that_transformers_reads(folder, dtype):
    expected = WhisperForConditionalGeneration.from_pretrained(folder).to(dtype).state_dict()
    model, missing = read_model(WhisperForConditionalGeneration, folder, dtype)
    found = model.state_dict()
    assert not missing
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    # Shared still, not copied.
    assert model.proj_out.weight is model.model.decoder.embed_tokens.weight


def test_a_checkpoint_in_several_files_is_read_whole(folder, tmp_path):
    whole = WhisperForConditionalGeneration.from_pretrained(folder)
    whole.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("model-*.safetensors"))) > 2
    model, missing = read_model(WhisperForConditionalGeneration, tmp_path / "shards", torch.float32)
    assert not missing
    for name, weight in whole.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight)


def test_weights_that_are_missing_are_named(folder):
    """Catches random weights in place of missing ones."""
    tensors = load_file(folder / WEIGHTS)
    gone = "model.encoder.layers.0.fc1.weight"
    del tensors[gone]
    save_file(tensors, folder / WEIGHTS)
    _, missing = read_model(WhisperForConditionalGeneration, folder, torch.float32)
    assert missing == {gone}


@pytest.mark.parametrize("content", [b"", b"no safetensors", None])
def test_a_file_that_is_none_is_an_error_of_weights(folder, content):
    (folder / WEIGHTS).unlink()
    if content is not None:
        (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(WeightsError, match=str(folder)):
        read_model(WhisperForConditionalGeneration, folder, torch.float32)


def test_an_encoder_is_read_without_what_lies_behind_its_exit(folder, monkeypatch):
    read = []
    plain = read_model

    def noted(*args, name_of, **options):
        return plain(*args, **options, name_of=lambda n: read.append(name_of(n)) or read[-1])

    monkeypatch.setattr("models_registry.loading.encoders.read_model", noted)
    configuration = Configuration(task="ser", model="nano-whisper", window_s=1.0, exit_layer=2)
    encoder = encoder_from_folder(folder, configuration, torch.device("cpu"))
    names = {name for name in read if name is not None}
    assert names
    assert None in read
    assert not any("decoder" in name or name.startswith("layers.2.") for name in names)
    assert len(encoder.model.layers) == 2


def test_quantising_keeps_no_more_than_one_layer_in_32_bits(monkeypatch):
    """Catches a list of layers that keeps all of them until the last is quantised."""
    model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(5)))
    layers = [weakref.ref(layer) for layer in model]
    alive = []

    def made(self, linear, plain=RowwiseInt8Linear.__init__):
        gc.collect()
        alive.append(sum(layer() is not None for layer in layers))
        plain(self, linear)

    monkeypatch.setattr(RowwiseInt8Linear, "__init__", made)
    quantise(model)
    assert alive == [5, 4, 3, 2, 1]
