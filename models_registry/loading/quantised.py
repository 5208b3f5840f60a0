"""Linear layers in 8 bits on a CPU: weights fixed, activations as they come."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn


class RowwiseInt8Linear(nn.Module):
    """A linear layer in 8 bits whose rows do not depend on each other.

    torch's kernel takes one scale for all rows of its input, so that what a
    recording is heard as would depend on who else is in the batch. Every row is
    brought to a largest magnitude of 1 first, and one row more, of 1 and -1, keeps
    the kernel's scale the same whatever the others hold.

    Args:
        linear: The layer in 32 bits; it is not changed.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dynamic: Any = torch.ao.nn.quantized.dynamic.Linear
            plain: Any = nn.Linear(linear.in_features, linear.out_features, bias=False)
            plain.weight = linear.weight
            plain.qconfig = torch.ao.quantization.default_dynamic_qconfig
            self.kernel = dynamic.from_float(plain)
        self.bias = linear.bias
        self._bounds = torch.zeros(1, linear.in_features)
        self._bounds[0, 0], self._bounds[0, -1] = 1.0, -1.0

    def forward(self, states: Tensor) -> Tensor:
        """Shape ``(..., in_features)`` to ``(..., out_features)``."""
        rows = states.reshape(-1, states.shape[-1])
        scale = rows.abs().amax(dim=1, keepdim=True).clamp_(min=1e-12)
        out: Tensor = self.kernel(torch.cat([rows / scale, self._bounds]))[:-1] * scale
        if self.bias is not None:
            out = out + self.bias
        return out.view(*states.shape[:-1], -1)


def quantise(model: Any) -> Any:
    """Replaces every linear layer of a model by one in 8 bits, in place."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Linear:
                setattr(module, name, RowwiseInt8Linear(child))
    return model
