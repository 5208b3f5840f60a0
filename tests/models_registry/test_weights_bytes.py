"""Bytes of loaded weights: as measured, and by the closed form that plans are made with."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from torch import nn  # noqa: E402
from torch.testing._internal.two_tensor import TwoTensor  # noqa: E402

from models_registry import Configuration  # noqa: E402
from models_registry.loading.encoders import encoder_with_random_weights  # noqa: E402
from models_registry.loading.precision import quantise, weights_bytes  # noqa: E402
from models_registry.loading.whisper import with_random_weights  # noqa: E402
from planner.cost import memory_bytes  # noqa: E402

CPU = torch.device("cpu")
TOLERANCE = {"fp32": 0, "bf16": 0, "fp16": 0, "int8": 0.002}


@pytest.mark.parametrize("precision", TOLERANCE)
def test_a_loaded_whisper_takes_what_the_closed_form_says(precision):
    configuration = Configuration(model="tiny", window_s=5, precision=precision)
    measured = with_random_weights(configuration, CPU).weights_bytes
    expected = memory_bytes(configuration, 24)["weights"]
    assert measured == pytest.approx(expected, rel=TOLERANCE[precision])


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize(("model", "exit_layer"), [("wav2vec2-base", 2), ("whisper-tiny", 3)])
def test_an_encoder_takes_what_the_closed_form_says(model, exit_layer, precision):
    """The projection of a waveform's features is quantised too; layers above the exit are gone."""
    configuration = Configuration(
        task="ser", model=model, window_s=4, exit_layer=exit_layer, precision=precision
    )
    measured = weights_bytes(encoder_with_random_weights(configuration, CPU).model)
    expected = memory_bytes(configuration, 0)["weights"]
    assert measured == pytest.approx(expected, rel=0.01)


def test_what_is_shared_counts_once_and_what_is_packed_as_it_is():
    embedding, head = nn.Embedding(100, 64), nn.Linear(64, 100, bias=False)
    head.weight = embedding.weight
    tied = nn.ModuleDict({"embedding": embedding, "head": head})
    assert weights_bytes(tied) == 100 * 64 * 4
    assert weights_bytes(quantise(tied)) == 100 * 64 * 4 + 100 * 64 + 64 * 4
    packed = nn.Module()
    parts = TwoTensor(torch.zeros(8, 8, dtype=torch.int8), torch.zeros(8, 8, dtype=torch.int8))
    packed.weight = nn.Parameter(parts, requires_grad=False)
    assert weights_bytes(packed) == 2 * 64
