"""FLOPs of one Whisper forward pass, in closed form.

The formulas take numbers or numpy arrays that broadcast together; integers stay
exact. Notation as in the docstrings: n encoder frames, d width, f feed-forward
width, L layers, P prompt tokens, T decoded tokens (the end of text included),
n_v encoder tokens that reach the decoder.
"""

from __future__ import annotations

import numpy as np

from models_registry.architectures import WhisperArchitecture
from planner.cost.conventions import Flops, Number

SEED_OUTPUT_TOKENS = 20
"""Tokens an utterance decodes to in arXiv 2606.22790."""


def counted(
    architecture: WhisperArchitecture,
    frames: Number,
    *,
    token_stride: Number = 1,
    reduction_layer: Number | None = None,
    output_tokens: Number = SEED_OUTPUT_TOKENS,
    head_prompt_positions: int = 1,
) -> Flops:
    """FLOPs under ``counted-1``: exactly what ``FlopCounterMode`` counts.

    Stem ``12 mel d n + 6 d^2 n``; encoder layer on m tokens
    ``8 m d^2 + 4 m d f + 4 m^2 d``; cross-attention keys and values once
    ``4 L n_v d^2``; decoder ``L (P+T-1)(12 d^2 + 4 d f + 4 n_v d)`` and its
    self-attention scores ``4 L d (P^2 + sum of t for t = P+1 .. P+T-1)``; LM head
    ``2 d V (h + T - 1)``.

    Args:
        architecture: The model.
        frames: Encoder frames n, 50 for a second of window.
        token_stride: Encoder tokens merged into one.
        reduction_layer: Layer after which they are; the encoder's output when
            left out.
        output_tokens: Tokens decoded, T >= 1; fractions are expectations.
        head_prompt_positions: Prompt positions h that the LM head projects: 1
            in a loop of one's own, P in ``transformers``' ``generate()``.
    """
    a = architecture
    encoder = encoder_layers(
        a.d_model,
        a.ffn,
        a.encoder_layers,
        frames,
        token_stride=token_stride,
        reduction_layer=reduction_layer,
    )
    d, layers, prompt = a.d_model, a.decoder_layers, a.prompt_tokens
    tokens_out = reduced(frames, token_stride)
    steps = output_tokens - 1
    attended = prompt * prompt + _whole(steps * (2 * prompt + output_tokens), 2)
    return Flops(
        "counted-1",
        {
            "stem": whisper_stem(a, frames),
            "encoder": encoder,
            "cross_kv": 4 * layers * tokens_out * d * d,
            "decoder": layers * (prompt + steps) * (12 * d * d + 4 * d * a.ffn + 4 * tokens_out * d)
            + 4 * layers * d * attended,
            "lm_head": 2 * d * a.vocab_size * (head_prompt_positions + steps),
        },
    )


def seed(
    architecture: WhisperArchitecture,
    frames: Number,
    *,
    token_stride: Number = 1,
    output_tokens: Number = SEED_OUTPUT_TOKENS,
) -> Flops:
    """FLOPs under ``seed-2606.22790``, for comparison with that paper's budgets.

    ``n_enc (2 n d (4 d + n) + 16 n d^2) + n_dec (2 (n / s) d^2 + 10 d^2) T``;
    reproduces its star sweep to 0.1 GFLOP. The stride s is taken at the
    encoder's output, wherever the configuration reduces.
    """
    a = architecture
    d = a.d_model
    encoder = a.encoder_layers * (2 * frames * d * (4 * d + frames) + 16 * frames * d * d)
    return Flops(
        "seed-2606.22790",
        {
            "stem": 0 * frames,
            "encoder": encoder,
            "cross_kv": a.decoder_layers * 2 * (frames / token_stride) * d * d * output_tokens,
            "decoder": a.decoder_layers * 10 * d * d * output_tokens,
            "lm_head": 0 * frames,
        },
    )


def whisper_stem(architecture: WhisperArchitecture, frames: Number) -> Number:
    """The two convolutions: ``12 mel d n + 6 d^2 n``."""
    d = architecture.d_model
    return 12 * architecture.mel_bins * d * frames + 6 * d * d * frames


def encoder_layers(
    width: int,
    ffn: int,
    layers: int,
    tokens: Number,
    *,
    token_stride: Number = 1,
    reduction_layer: Number | None = None,
) -> Number:
    """Transformer layers, those above the reduction layer on fewer tokens.

    ``8 m d^2 + 4 m d f + 4 m^2 d`` for each, m being the tokens it sees.
    """
    below = layers if reduction_layer is None else np.minimum(reduction_layer, layers)
    below = int(below) if np.ndim(below) == 0 else below

    def layer(m: Number) -> Number:
        return 8 * m * width * width + 4 * m * width * ffn + 4 * m * m * width

    return below * layer(tokens) + (layers - below) * layer(reduced(tokens, token_stride))


def reduced(tokens: Number, stride: Number) -> Number:
    """Tokens left by a stride, ``ceil(tokens / stride)``; see ``reduced_tokens``."""
    left = np.maximum(1, np.ceil(np.asarray(tokens) / stride - 1e-9)).astype(np.int64)
    return int(left) if left.ndim == 0 else left


def _whole(numerator: Number, denominator: int) -> Number:
    """A division that stays exact for integers, which it is known to divide."""
    if isinstance(numerator, int) or np.issubdtype(np.asarray(numerator).dtype, np.integer):
        return numerator // denominator
    return numerator / denominator
