"""Models with random weights: as fast and as large as with their own.

Speed and memory do not depend on the values, as long as these are ordinary
numbers. The initialisation that a model is trained from would take minutes for the
largest, so a block of random values is laid over all weights instead.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import torch
from torch import nn

_BLOCK = 1 << 20
_LARGEST = 0.02


def random_module(
    build: Callable[[], nn.Module], dtype: torch.dtype, device: torch.device, *, seed: int = 0
) -> Any:
    """A module whose weights are allocated once, in their final type, and random.

    Args:
        build: Makes the module; it is called with nothing allocated.
        dtype: Type of the weights.
        device: Where.
        seed: Seed of the weights.
    """
    with torch.device("meta"):
        module: Any = build()
    module = module.to(dtype).to_empty(device=device).eval()
    if hasattr(module, "tie_weights"):
        module.tie_weights()
    generator = torch.Generator().manual_seed(seed)
    values = torch.empty(_BLOCK).uniform_(-_LARGEST, _LARGEST, generator=generator)
    block = values.to(device, dtype)
    for tensor in chain(module.parameters(), module.buffers()):
        for part in torch.split(tensor.detach().view(-1), _BLOCK):
            part.copy_(block[: len(part)])
    for part_of in module.modules():
        # Norms of nearly zero would push what follows into denormal numbers.
        if isinstance(part_of, nn.LayerNorm | nn.GroupNorm):
            part_of.reset_parameters()
    return module
