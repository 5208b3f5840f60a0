"""What a configuration costs, counted."""

from __future__ import annotations

from api.schemas import CostResponse
from measurements.runtime_memory import runtime_memory
from models_registry import Configuration
from planner.answer import ComponentFlops
from planner.cost import Convention, Flops, memory_bytes, pass_flops
from planner.cost.unmerged import adapter_bytes, adapter_flops
from planner.cost.whisper import SEED_OUTPUT_TOKENS
from planner.device.memory import runtime_of


def cost_of(
    configuration: Configuration,
    *,
    convention: Convention = "counted-1",
    output_tokens: int = SEED_OUTPUT_TOKENS,
    classes: int = 0,
    merged: bool = True,
) -> CostResponse:
    """FLOPs and memory of one forward pass over a full window.

    Args:
        configuration: What runs.
        convention: How to count.
        output_tokens: Tokens decoded, the end of text included (ASR).
        classes: Classes of the read-out (SER).
        merged: Whether its adapter is merged into the weights and costs nothing.

    Raises:
        ValueError: The convention does not cover the configuration.
    """
    flops = pass_flops(
        configuration, output_tokens=output_tokens, convention=convention, classes=classes
    )
    runtime = runtime_of(runtime_memory(), "cpu", configuration.precision)
    memory = {"runtime": round(runtime.bytes), **memory_bytes(configuration, output_tokens)}
    if not merged:
        if convention != "counted-1":
            raise ValueError(f"convention {convention} does not cover an adapter that is unmerged")
        more = adapter_flops(configuration, output_tokens=output_tokens)
        flops = Flops(convention, {**flops.components, "adapter": more})
        memory["adapter"] = adapter_bytes(configuration)
    return CostResponse(
        gflops=float(flops.total) / 1e9,
        convention=convention,
        breakdown=[
            ComponentFlops(component=name, flops=float(value))
            for name, value in flops.components.items()
        ],
        memory_bytes=sum(memory.values()),
        memory_breakdown=memory,
        output_tokens=output_tokens if configuration.task == "asr" else None,
        configuration=configuration,
    )
