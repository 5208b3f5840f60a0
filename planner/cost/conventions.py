"""Named ways to count FLOPs. A count without its convention's id means nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Convention = Literal["counted-1", "seed-2606.22790"]
CONVENTIONS: tuple[str, ...] = get_args(Convention)

DESCRIPTIONS: Mapping[Convention, str] = {
    "counted-1": (
        "2 FLOPs per multiply-accumulate of every convolution, matrix product and attention"
        " product, with a key-value cache: what torch's FlopCounterMode counts"
    ),
    "seed-2606.22790": (
        "the formula behind the figures of arXiv 2606.22790: no stem, no decoder feed-forward, no"
        " LM head, cross-attention keys and values anew for every token, about twice the truth"
    ),
}

Number = Any
"""An int, a float or a numpy array: the formulas below are written for all three."""


@dataclass(frozen=True)
class Flops:
    """A count of floating-point operations by component.

    Attributes:
        convention: How they were counted.
        components: FLOPs by component; numbers, or arrays that broadcast together.
    """

    convention: Convention
    components: Mapping[str, Number]

    @property
    def total(self) -> Number:
        """FLOPs of all components."""
        total: Number = 0
        for flops in self.components.values():
            total = total + flops
        return total
