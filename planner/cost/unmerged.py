"""What a LoRA costs while it runs beside the weights that it was trained on.

Merged into them, it costs nothing.
"""

from __future__ import annotations

from models_registry.adapters import placement
from models_registry.architectures import WhisperArchitecture
from models_registry.configuration import Configuration
from planner.cost.memory import BYTES_PER_WEIGHT
from planner.cost.training import encoder_step_flops, step_flops


def adapter_flops(configuration: Configuration, *, output_tokens: int) -> int:
    """FLOPs that it adds to a pass over a full window, under ``counted-1``.

    ``2 r (d_in + d_out)`` for every token and projection.

    Args:
        configuration: What runs, with its adapter.
        output_tokens: Tokens decoded, the end of text included (ASR only).

    Raises:
        ValueError: There is no adapter, or the architecture is not covered.
    """
    if configuration.adapter == "none":
        raise ValueError(f"{configuration.label()}: there is no adapter that could be unmerged")
    without = {"adapter": "none", "rank": None, "unfrozen_layers": 0, "recipe": None}
    plain = configuration.model_copy(update=without)

    def forward(one: Configuration) -> int:
        if one.task == "ser":
            return encoder_step_flops(one, classes=0).forward
        return step_flops(one, frames=one.frames, output_tokens=output_tokens).forward

    return forward(configuration) - forward(plain)


def adapter_bytes(configuration: Configuration) -> int:
    """Bytes of its matrices, ``r (d_in + d_out)`` numbers for every projection."""
    c, a = configuration, configuration.architecture
    width = a.d_model if isinstance(a, WhisperArchitecture) else a.hidden
    attention, feed_forward = 4 * 2 * width, 2 * (width + a.ffn)
    plan = placement(c)
    encoder = sum(layer.rank for layer in plan.encoder) * (attention + feed_forward)
    decoder = sum(layer.rank for layer in plan.decoder) * (2 * attention + feed_forward)
    return round((encoder + decoder) * BYTES_PER_WEIGHT[c.precision])
