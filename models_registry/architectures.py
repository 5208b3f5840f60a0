"""What a speech model is made of: the numbers that cost, memory and loading need.

Every number is the released checkpoint's own configuration (its ``config.json``
on the Hugging Face hub); nothing is derived by a rule of thumb such as "the
feed-forward is four times as wide".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FRAMES_PER_SECOND = 50
"""Whisper encoder frames per second of audio, after the stride-2 convolution."""

WAVEFORM_HZ = 16_000
"""Sampling rate every model here takes."""


@dataclass(frozen=True)
class WhisperArchitecture:
    """An encoder-decoder of the Whisper family (arXiv 2212.04356, table 1).

    Attributes:
        name: Name in the registry.
        hub_id: Repository on the Hugging Face hub.
        d_model: Width of the encoder and the decoder.
        encoder_layers: Encoder layers, L in the cost formulas.
        decoder_layers: Decoder layers.
        heads: Attention heads, in the encoder and the decoder.
        ffn: Width of the feed-forward layers.
        mel_bins: Mel channels of the input.
        vocab_size: Rows of the token embedding, which is also the LM head.
        multilingual: Whether the prompt names language and task.
        max_frames: Encoder positions (1500 = 30 s).
        max_tokens: Decoder positions.
        english_only: Whether its weights were trained on English alone, whatever languages
            its prompt can name.
    """

    name: str
    hub_id: str
    d_model: int
    encoder_layers: int
    decoder_layers: int
    heads: int
    ffn: int
    mel_bins: int
    vocab_size: int
    multilingual: bool
    max_frames: int = 1500
    max_tokens: int = 448
    english_only: bool = False

    family: Literal["whisper"] = "whisper"

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks it can be asked for: its encoder also serves emotion recognition."""
        return ("asr", "ser")

    @property
    def max_window_s(self) -> float:
        """The longest audio that one forward pass can see, in seconds."""
        return self.max_frames / FRAMES_PER_SECOND

    @property
    def prompt_tokens(self) -> int:
        """Tokens before the first one decoded: start (language, task) no-timestamps."""
        return 4 if self.multilingual else 2

    @property
    def encoder_parameters(self) -> int:
        """Parameters of the encoder, positional embeddings included."""
        d = self.d_model
        stem = 3 * self.mel_bins * d + d + 3 * d * d + d
        return stem + self.max_frames * d + self.encoder_layers * self._encoder_layer + 2 * d

    @property
    def decoder_parameters(self) -> int:
        """Parameters of the decoder; the LM head is the embedding, counted once."""
        d = self.d_model
        cross_attention = 4 * d * d + 3 * d + 2 * d
        layers = self.decoder_layers * (self._encoder_layer + cross_attention)
        return self.vocab_size * d + self.max_tokens * d + layers + 2 * d

    @property
    def parameters(self) -> int:
        """All parameters, the xN coordinate of the model."""
        return self.encoder_parameters + self.decoder_parameters

    @property
    def _encoder_layer(self) -> int:
        d, f = self.d_model, self.ffn
        # The key projection has no bias; two layer norms.
        return (4 * d * d + 3 * d) + (2 * d * f + d + f) + 4 * d


@dataclass(frozen=True)
class SpeechEncoderArchitecture:
    """A waveform encoder of the wav2vec 2.0 family (wav2vec2, HuBERT, WavLM).

    Attributes:
        name: Name in the registry.
        hub_id: Repository on the Hugging Face hub.
        kind: Which implementation in ``transformers`` it is.
        hidden: Width of the transformer.
        encoder_layers: Transformer layers.
        heads: Attention heads.
        ffn: Width of the feed-forward layers.
        conv_dim: Channels of each convolution on the waveform.
        conv_kernel: Kernel size of each.
        conv_stride: Stride of each.
        conv_bias: Whether these convolutions have a bias.
        conv_norm: ``group`` (norm after the first only) or ``layer`` (after each).
        positional_kernel: Kernel of the positional convolution.
        positional_groups: Groups of the positional convolution.
        stable_layer_norm: Layer norm before each block instead of behind it.
        projection_norm: Layer norm before the feature projection.
        position_buckets: Buckets of WavLM's relative position bias, 0 without.
        max_bucket_distance: Farthest distance with a bucket of its own.
    """

    name: str
    hub_id: str
    kind: Literal["wav2vec2", "hubert", "wavlm"]
    hidden: int
    encoder_layers: int
    heads: int
    ffn: int
    conv_dim: tuple[int, ...] = (512,) * 7
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_bias: bool = False
    conv_norm: Literal["group", "layer"] = "group"
    positional_kernel: int = 128
    positional_groups: int = 16
    stable_layer_norm: bool = False
    projection_norm: bool = True
    position_buckets: int = 0
    max_bucket_distance: int = 800

    family: Literal["speech-encoder"] = "speech-encoder"

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks it can be asked for."""
        return ("ser",)

    @property
    def max_window_s(self) -> float:
        """The longest window offered, in seconds; the architecture itself sets none."""
        return 30.0

    @property
    def parameters(self) -> int:
        """All parameters, the xN coordinate (as ``transformers`` counts the bare model)."""
        d, f = self.hidden, self.ffn
        total, channels = 0, 1
        for index, (dim, kernel) in enumerate(zip(self.conv_dim, self.conv_kernel, strict=True)):
            normed = self.conv_norm == "layer" or index == 0
            total += channels * kernel * dim + dim * self.conv_bias + 2 * dim * normed
            channels = dim
        projection = channels * d + d + 2 * channels * self.projection_norm
        # Weight normalisation splits the kernel into a direction and one gain a tap.
        positional = d * (d // self.positional_groups) * self.positional_kernel
        positional += self.positional_kernel + d
        attention = 4 * (d * d + d)
        if self.position_buckets:
            attention += self.heads + 8 * (d // self.heads) + 8
            total += self.position_buckets * self.heads
        layer = attention + (2 * d * f + d + f) + 4 * d
        mask_embedding = d
        return (
            total + projection + positional + self.encoder_layers * layer + 2 * d + mask_embedding
        )

    def frames(self, samples: int) -> int:
        """Frames that the convolutions make of a waveform of ``samples``."""
        length = samples
        for kernel, stride in zip(self.conv_kernel, self.conv_stride, strict=True):
            length = (length - kernel) // stride + 1
        return length


Architecture = WhisperArchitecture | SpeechEncoderArchitecture
