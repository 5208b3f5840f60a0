"""FLOPs of a training step and trainable parameters of an adapter, in closed form.

Under ``training-counted-1``: what ``FlopCounterMode`` counts in one step with eager attention,
2 FLOPs per multiply-accumulate. The forward pass is ``counted-1`` with the transcript fed in at
once and an LM head on the positions that are scored. Backward, a product ``y = x W`` costs as
much again for the gradient of x, where anything below x is trained, and as much for the gradient
of W, where W is; a frozen trunk is passed through but asks for no gradients of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from models_registry.adapters import LayerPlan, placement
from models_registry.architectures import WAVEFORM_HZ, WhisperArchitecture
from models_registry.configuration import Configuration
from planner.cost.speech_encoder import counted
from planner.cost.whisper import reduced

TrainingConvention = Literal["training-counted-1"]
TRAINING_CONVENTION: TrainingConvention = "training-counted-1"


@dataclass
class TrainingFlops:
    """FLOPs of a training step.

    Attributes:
        forward: Of the forward pass, unmerged LoRA included.
        backward: Of the gradients.
    """

    forward: int = 0
    backward: int = 0

    @property
    def total(self) -> int:
        """FLOPs of the step; the optimiser's own are not products and don't count."""
        return self.forward + self.backward

    def linear(self, tokens: int, d_in: int, d_out: int, plan: LayerPlan, x: bool) -> bool:
        """Counts a projection; returns whether its result needs a gradient.

        Args:
            tokens: Positions it is applied to.
            d_in: Width of its input.
            d_out: Width of its output.
            plan: What is trained of it.
            x: Whether its input needs a gradient.
        """
        self.product(2 * tokens * d_in * d_out, x, plan.unfrozen)
        if plan.rank:
            basis = not plan.basis_frozen
            self.product(2 * tokens * d_in * plan.rank, x, basis)
            self.product(2 * tokens * plan.rank * d_out, x or basis, True)
        return x or plan.unfrozen or plan.rank > 0

    def product(self, flops: int, left: bool, right: bool) -> None:
        """Counts a product of which either side may need a gradient."""
        self.forward += flops
        self.backward += flops * (left + right)

    def attention(
        self, queries: int, keys: int, width: int, needed: tuple[bool, bool, bool]
    ) -> bool:
        """Counts scores and weighted values; ``needed`` is for queries, keys, values."""
        query, key, value = needed
        self.product(2 * queries * keys * width, query, key)
        self.product(2 * queries * keys * width, query or key, value)
        return query or key or value


def step_flops(
    configuration: Configuration, *, frames: int, output_tokens: int, rows: int = 1
) -> TrainingFlops:
    """FLOPs of one training step of a Whisper model for ASR.

    Args:
        configuration: What is trained.
        frames: Encoder frames of the batch's window.
        output_tokens: Tokens of the longest transcript, the end of text included.
        rows: Utterances of the batch.

    Raises:
        ValueError: It is not speech recognition with Whisper.
    """
    c, a = configuration, configuration.architecture
    if c.task != "asr" or not isinstance(a, WhisperArchitecture):
        raise ValueError(f"{TRAINING_CONVENTION} covers Whisper for asr only")
    plan, d, f = placement(c), a.d_model, a.ffn
    tally = TrainingFlops()
    outside = LayerPlan(unfrozen=plan.everything)

    n = rows * frames
    states = plan.everything
    tally.product(12 * a.mel_bins * d * n, False, states)
    tally.product(6 * d * d * n, states, states)
    for index, layer in enumerate(plan.encoder):
        if c.reduction_layer is not None and index >= c.reduction_layer:
            length = reduced(frames, c.token_stride)
        else:
            length = frames
        states = _self_attention(tally, rows, length, d, layer, states)
        states = _feed_forward(tally, rows * length, d, f, layer, states)
    states = states or plan.everything

    tokens = a.prompt_tokens + output_tokens - 1
    heard = reduced(frames, c.token_stride)
    hidden = plan.everything
    for layer in plan.decoder:
        hidden = _self_attention(tally, rows, tokens, d, layer, hidden)
        normed = hidden or layer.unfrozen
        query = tally.linear(rows * tokens, d, d, layer, normed)
        key = tally.linear(rows * heard, d, d, layer, states)
        value = tally.linear(rows * heard, d, d, layer, states)
        mixed = tally.attention(rows * tokens, heard, d, (query, key, value))
        hidden = tally.linear(rows * tokens, d, d, layer, mixed) or hidden
        hidden = _feed_forward(tally, rows * tokens, d, f, layer, hidden)
    tally.linear(rows * output_tokens, d, a.vocab_size, outside, hidden or plan.everything)
    return tally


def encoder_step_flops(
    configuration: Configuration, *, rows: int = 1, classes: int
) -> TrainingFlops:
    """FLOPs of one training step of an encoder and a linear read-out for SER.

    Args:
        configuration: What is trained; its encoder up to the exit layer.
        rows: Clips of the batch.
        classes: Classes of the read-out, which is trained along.

    Raises:
        ValueError: The architecture has relative positions, whose gates are not counted.
    """
    c, a = configuration, configuration.architecture
    plan, tally = placement(c), TrainingFlops()
    states = plan.everything
    if isinstance(a, WhisperArchitecture):
        width, frames = a.d_model, c.frames
        tally.product(12 * a.mel_bins * width * rows * frames, False, states)
        tally.product(6 * width * width * rows * frames, states, states)
    elif a.position_buckets:
        raise ValueError(f"{TRAINING_CONVENTION} does not cover {a.name}")
    else:
        width, frames = a.hidden, a.frames(round(c.window_s * WAVEFORM_HZ))
        stem = counted(a, round(c.window_s * WAVEFORM_HZ)).components
        for index, part in enumerate(("stem", "projection", "positional")):
            tally.product(rows * int(stem[part]), states and index > 0, states)
    for index, layer in enumerate(plan.encoder):
        length = frames
        if c.reduction_layer is not None and index >= c.reduction_layer:
            length = int(reduced(frames, c.token_stride))
        states = _self_attention(tally, rows, length, width, layer, states)
        states = _feed_forward(tally, rows * length, width, a.ffn, layer, states)
    tally.linear(rows, width, classes, LayerPlan(unfrozen=True), states)
    return tally


def trainable_parameters(configuration: Configuration) -> int:
    """Parameters that an adapter of a Whisper model trains.

    ``r (d_in + d_out)`` for a projection with LoRA, ``r d_out`` where A is frozen.

    Raises:
        ValueError: The model is not Whisper.
    """
    a = configuration.architecture
    if not isinstance(a, WhisperArchitecture):
        raise ValueError(f"trainable parameters are known for Whisper only, not {a.name}")
    plan, d, f = placement(configuration), a.d_model, a.ffn
    if plan.everything and configuration.task == "asr":
        return a.parameters - a.max_frames * d  # the encoder's positions are fixed
    own = (4 * d * d + 3 * d) + (2 * d * f + d + f) + 4 * d
    crossed = 4 * d * d + 3 * d + 2 * d
    square, up, down = (d, d), (d, f), (f, d)
    encoder = (square,) * 4 + (up, down)
    decoder = encoder + (square,) * 4

    def layer(plan: LayerPlan, projections: tuple[tuple[int, int], ...], whole: int) -> int:
        if plan.unfrozen:
            return whole
        basis = 0 if plan.basis_frozen else 1
        return plan.rank * sum(basis * d_in + d_out for d_in, d_out in projections)

    return sum(layer(p, encoder, own) for p in plan.encoder) + sum(
        layer(p, decoder, own + crossed) for p in plan.decoder
    )


def _self_attention(
    tally: TrainingFlops, rows: int, tokens: int, width: int, plan: LayerPlan, x: bool
) -> bool:
    normed = x or plan.unfrozen  # the norm before it belongs to the layer
    query, key, value = (tally.linear(rows * tokens, width, width, plan, normed) for _ in range(3))
    mixed = tally.attention(rows * tokens, tokens, width, (query, key, value))
    return tally.linear(rows * tokens, width, width, plan, mixed) or x


def _feed_forward(
    tally: TrainingFlops, tokens: int, width: int, ffn: int, plan: LayerPlan, x: bool
) -> bool:
    widened = tally.linear(tokens, width, ffn, plan, x or plan.unfrozen)
    return tally.linear(tokens, ffn, width, plan, widened) or x
