"""Linear layers in 8 bits."""

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from models_registry.loading.precision import RowwiseInt8Linear, quantise  # noqa: E402


def layer_and_rows(bias=True):
    torch.manual_seed(0)
    # Rows of very different size: one scale for all would drown the small ones.
    rows = torch.randn(12, 64) * torch.logspace(-3, 2, 12)[:, None]
    return nn.Linear(64, 48, bias=bias), rows


def test_a_row_does_not_depend_on_the_others():
    """With torch's own dynamic layer it does, and a transcript with it."""
    linear, rows = layer_and_rows()
    quantised = RowwiseInt8Linear(linear)
    together = quantised(rows)
    for index in range(len(rows)):
        assert torch.equal(quantised(rows[index : index + 1])[0], together[index])
        assert torch.equal(quantised(rows[index:])[0], together[index])


@pytest.mark.parametrize("bias", [True, False])
def test_every_row_is_close_to_32_bits(bias):
    linear, rows = layer_and_rows(bias)
    exact, found = linear(rows), RowwiseInt8Linear(linear)(rows)
    without_bias = exact - linear.bias if bias else exact
    error = (found - exact).norm(dim=1) / without_bias.norm(dim=1)
    assert error.max() < 0.04


def test_silence_stays_silent_and_shapes_stay():
    linear, _ = layer_and_rows(bias=False)
    assert torch.equal(RowwiseInt8Linear(linear)(torch.zeros(2, 3, 64)), torch.zeros(2, 3, 48))


def test_every_linear_layer_of_a_model_is_replaced():
    model = quantise(nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.GELU(), nn.Linear(8, 4))))
    assert not any(type(module) is nn.Linear for module in model.modules())
    assert model(torch.randn(2, 8)).shape == (2, 4)
