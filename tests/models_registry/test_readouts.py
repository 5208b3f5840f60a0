"""Read-outs: padding unheard, kept without pickle, found again by configuration and study."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from models_registry import Configuration, WeightsError  # noqa: E402
from models_registry.loading.encoders import Tokens  # noqa: E402
from models_registry.loading.readouts import (  # noqa: E402
    Readout,
    load_readout,
    save_readout,
)
from models_registry.readouts import (  # noqa: E402
    ReadoutInfo,
    find_readouts,
    pack_readout,
    readouts_folder,
)

CONFIGURATION = Configuration(task="ser", model="tiny", window_s=2)


def made(attentive=False):
    torch.manual_seed(0)
    readout = Readout(6, 3, attentive=attentive)
    with torch.no_grad():
        for tensor in readout.state_dict().values():
            tensor.copy_(torch.rand(tensor.shape) + 0.1)
    return readout.eval()


def info(study="ser-x", attentive=False):
    kind = "attentive" if attentive else "linear"
    return ReadoutInfo(kind, 6, ("calm", "glad", "sad"), study, "k", None, "speechplan measure")


@pytest.mark.parametrize("attentive", [False, True])
def test_what_lies_in_the_padding_changes_nothing(attentive):
    states = torch.randn(2, 5, 6)
    heard = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    readout = made(attentive)
    before = readout(Tokens(states, heard))
    changed = states.clone()
    changed[1, 3:] = 100
    torch.testing.assert_close(readout(Tokens(changed, heard)), before)
    changed[1, 2] = 100
    assert not torch.allclose(readout(Tokens(changed, heard)), before)


@pytest.mark.parametrize("attentive", [False, True])
def test_a_read_out_is_kept_and_comes_back_the_same(tmp_path, attentive):
    readout = made(attentive)
    save_readout(readout, info(attentive=attentive), tmp_path / "r")
    assert {f.name for f in (tmp_path / "r").iterdir()} == {"readout.json", "readout.safetensors"}
    again, about = load_readout(tmp_path / "r")
    assert about == info(attentive=attentive)
    tokens = Tokens(torch.randn(2, 5, 6), torch.ones(2, 5, dtype=torch.bool))
    torch.testing.assert_close(again(tokens), readout(tokens))


@pytest.mark.parametrize("attentive", [False, True])
def test_a_read_out_in_one_file_is_the_same(tmp_path, attentive):
    """What goes beside a plan; catches labels or a kind that stayed behind."""
    readout, file = made(attentive), tmp_path / "plan.readout.safetensors"
    save_readout(readout, info(attentive=attentive), tmp_path / "r")
    pack_readout(tmp_path / "r", file)
    again, about = load_readout(file)
    assert about == info(attentive=attentive)
    tokens = Tokens(torch.randn(2, 5, 6), torch.ones(2, 5, dtype=torch.bool))
    torch.testing.assert_close(again(tokens), readout(tokens))
    for other, said in (("r/readout.safetensors", "does not describe"), ("none", "No such file")):
        with pytest.raises(WeightsError, match=said):
            load_readout(tmp_path / other)


def test_damaged_files_are_named(tmp_path):
    with pytest.raises(WeightsError, match=r"readout\.json: No such file"):
        load_readout(tmp_path)
    save_readout(made(), info(), tmp_path)
    (tmp_path / "readout.safetensors").write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match=r"readout\.safetensors: "):
        load_readout(tmp_path)
    (tmp_path / "readout.json").write_text("{}")
    with pytest.raises(WeightsError, match="does not describe a read-out"):
        load_readout(tmp_path)


def test_the_read_out_of_a_configuration_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHPLAN_CACHE_DIR", str(tmp_path))
    command = "speechplan measure --task ser --model whisper-tiny --window-s 2 --dataset"
    with pytest.raises(WeightsError, match=command):
        find_readouts(CONFIGURATION)
    folder = readouts_folder(CONFIGURATION)
    save_readout(made(), info("ser-x"), folder / "1")
    assert find_readouts(CONFIGURATION)[0] == folder / "1"
    assert find_readouts(CONFIGURATION.model_copy(update={"batch_size": 8}))[0] == folder / "1"
    save_readout(made(), info("ser-y"), folder / "2")
    with pytest.raises(WeightsError, match="name the study of the read-out, ser-x or ser-y"):
        find_readouts(CONFIGURATION)
    assert find_readouts(CONFIGURATION, "ser-y")[0] == folder / "2"
    with pytest.raises(
        WeightsError, match="trained on ser-z on this machine; there is one of ser-x, ser-y"
    ):
        find_readouts(CONFIGURATION, "ser-z")
    other = Configuration(task="ser", model="tiny", window_s=2, exit_layer=1)
    with pytest.raises(WeightsError, match="no read-out was trained"):
        find_readouts(other, "ser-x")
