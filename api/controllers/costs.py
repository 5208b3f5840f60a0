"""``/v1/costs``: what one forward pass takes, in closed form."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get
from litestar.params import QueryParameter

from api.examples import Documented
from api.problems import problem, responses
from api.schemas import CostResponse
from api.services.costs import cost_of
from models_registry import Configuration
from models_registry.configuration import (
    AdapterKind,
    Precision,
    Readout,
    Recipe,
    Reduction,
    Task,
    WindowPolicy,
)
from planner.cost import Convention
from planner.cost.whisper import SEED_OUTPUT_TOKENS


class CostController(Controller):
    """What a configuration takes."""

    path = "/v1/costs"
    tags = ["models"]  # noqa: RUF012

    @get(
        operation_id="getCost",
        operation_class=Documented,
        summary="Count FLOPs and memory",
        responses=responses(400, 422, 503),
        raises=[],
        sync_to_thread=True,
    )
    def cost(
        self,
        model: Annotated[str, QueryParameter(description="Model", min_length=1, max_length=200)],
        task: Annotated[Task, QueryParameter(description="Task")] = "asr",
        window_s: Annotated[
            float, QueryParameter(description="Window in seconds", gt=0, le=30)
        ] = 30.0,
        window_policy: Annotated[
            WindowPolicy, QueryParameter(description="What happens to longer audio")
        ] = "chunk",
        tail_s: Annotated[
            float | None,
            QueryParameter(description="Silence left behind the speech, in seconds", ge=0, le=30),
        ] = None,
        token_stride: Annotated[
            float, QueryParameter(description="Encoder tokens merged into one", ge=1, le=1500)
        ] = 1.0,
        reduction_layer: Annotated[
            int | None, QueryParameter(description="Layer after which they are", ge=0, le=100)
        ] = None,
        reduction: Annotated[Reduction, QueryParameter(description="Mean or pick")] = "mean",
        exit_layer: Annotated[
            int | None, QueryParameter(description="Last layer that runs (SER)", ge=1, le=100)
        ] = None,
        readout: Annotated[
            Readout, QueryParameter(description="How emotions are read off (SER)")
        ] = "linear",
        classes: Annotated[
            int, QueryParameter(description="Classes of the read-out (SER)", ge=0, le=1000)
        ] = 0,
        adapter: Annotated[AdapterKind, QueryParameter(description="Kind of adapter")] = "none",
        rank: Annotated[int | None, QueryParameter(description="Its rank", ge=1, le=4096)] = None,
        unfrozen_layers: Annotated[
            int, QueryParameter(description="Encoder layers trained as a whole", ge=0, le=100)
        ] = 0,
        recipe: Annotated[
            Recipe | None, QueryParameter(description="What the adapter learnt from")
        ] = None,
        merged: Annotated[
            bool, QueryParameter(description="Whether it is merged and costs nothing")
        ] = True,
        precision: Annotated[Precision, QueryParameter(description="Number format")] = "fp32",
        batch_size: Annotated[
            int, QueryParameter(description="Windows run together, for memory", ge=1, le=4096)
        ] = 1,
        output_tokens: Annotated[
            int, QueryParameter(description="Tokens decoded, end of text included", ge=1, le=448)
        ] = SEED_OUTPUT_TOKENS,
        convention: Annotated[
            Convention, QueryParameter(description="How FLOPs are counted")
        ] = "counted-1",
    ) -> CostResponse:
        """One forward pass over a full window, in closed form."""
        configuration = Configuration(
            task=task,
            model=model,
            window_s=window_s,
            window_policy=window_policy,
            tail_s=tail_s,
            token_stride=token_stride,
            reduction_layer=reduction_layer,
            reduction=reduction,
            exit_layer=exit_layer,
            readout=readout,
            adapter=adapter,
            rank=rank,
            unfrozen_layers=unfrozen_layers,
            recipe=recipe,
            precision=precision,
            batch_size=batch_size,
        )
        try:
            return cost_of(
                configuration,
                convention=convention,
                output_tokens=output_tokens,
                classes=classes,
                merged=merged,
            )
        except ValueError as error:
            raise problem(422, "not-counted", "Not counted", str(error)) from None
