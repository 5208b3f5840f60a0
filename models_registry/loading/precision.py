"""Number formats: what a loaded model computes in."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from models_registry.configuration import Precision
from models_registry.loading.freed import trim_memory


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
            plain: Any = nn.Linear(
                linear.in_features, linear.out_features, bias=False, device="meta"
            )
            plain.weight = linear.weight
            plain.qconfig = torch.ao.quantization.default_dynamic_qconfig
            self.kernel = dynamic.from_float(plain)
        self.bias = linear.bias
        self._bounds = torch.zeros(1, linear.in_features)
        self._bounds[0, 0], self._bounds[0, -1] = 1.0, -1.0

    @property
    def packed_bytes(self) -> int:
        """Bytes of what is no parameter: the weights in 8 bits, and the row of bounds."""
        return int(self.kernel.weight().nbytes + self._bounds.nbytes)

    def forward(self, states: Tensor) -> Tensor:
        """Shape ``(..., in_features)`` to ``(..., out_features)``."""
        rows = states.reshape(-1, states.shape[-1])
        scale = rows.abs().amax(dim=1, keepdim=True).clamp_(min=1e-12)
        out: Tensor = self.kernel(torch.cat([rows / scale, self._bounds]))[:-1] * scale
        if self.bias is not None:
            out = out + self.bias
        return out.view(*states.shape[:-1], -1)


def dtype_of(precision: Precision, device: torch.device) -> torch.dtype:
    """Number format of the arithmetic; quantised layers come on top of it."""
    if precision in ("int8", "int4"):
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def refused(precision: Precision, device: torch.device) -> str | None:
    """Why a precision can't be run on a device, if it can't."""
    if precision == "int4" and device.type == "cpu":
        return "int4 runs on CUDA only"
    if precision in ("int8", "int4") and device.type != "cpu" and not find_spec("torchao"):
        return f"{precision} on CUDA needs torchao: pip install 'speechplan[quantisation]'"
    return None


def in_precision(model: Any, precision: Precision, device: torch.device) -> Any:
    """A loaded model brought to its device and precision; it is changed in place.

    int8 on a CPU quantises activations row by row; on CUDA int8 and int4 are weights
    alone (torchao), since decoding waits for them and not for arithmetic.
    """
    model = model.to(device=device, dtype=dtype_of(precision, device)).eval()
    if precision == "int8" and device.type == "cpu":
        return quantise(model)
    if precision in ("int8", "int4"):
        # Imported where it is used: it takes seconds.
        from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig, quantize_

        if precision == "int8":
            quantize_(model, Int8WeightOnlyConfig())
        else:
            tiles = "tile_packed_to_4d"
            quantize_(model, Int4WeightOnlyConfig(group_size=64, int4_packing_format=tiles))
    return model


def weights_bytes(model: nn.Module) -> int:
    """Bytes that a model's parameters, buffers and packed weights take, shared ones once."""
    storages: dict[int, int] = {}
    for tensor in chain(model.parameters(), model.buffers()):
        for plain in _plain(tensor):
            storage = plain.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    packed = (m.packed_bytes for m in model.modules() if isinstance(m, RowwiseInt8Linear))
    return sum(storages.values()) + sum(packed)


def _plain(tensor: Any) -> list[Tensor]:
    """The tensors that a quantised one is made of; any other is made of itself."""
    if not hasattr(tensor, "__tensor_flatten__"):
        return [tensor]
    names, _ = tensor.__tensor_flatten__()
    return [plain for name in names for plain in _plain(getattr(tensor, name))]


def quantise(model: Any) -> Any:
    """Replaces every linear layer of a model by one in 8 bits, in place (CPU).

    One after another, the largest last: the weights of each are released before the next is
    quantised.
    """
    places = [
        (module, name)
        for module in model.modules()
        for name, child in module.named_children()
        if type(child) is nn.Linear
    ]
    places.sort(key=lambda place: getattr(*place).weight.numel())
    for module, name in places:
        setattr(module, name, RowwiseInt8Linear(getattr(module, name)))
        trim_memory()
    return model
