"""An encoder and a read-out that recognise emotion the way a configuration says."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from models_registry.loading.audio import Waveform, to_waveform
from models_registry.loading.clock import PassCounts, PhaseClock
from models_registry.loading.encoders import EmotionEncoder
from models_registry.loading.precision import weights_bytes
from models_registry.loading.readouts import Readout


class EmotionRecogniser:
    """Runs one configuration with a read-out that was trained for it.

    Args:
        encoder: The encoder, up to the exit layer.
        readout: Reads its tokens.
        labels: Emotions, in the order of the read-out's classes.
    """

    def __init__(self, encoder: EmotionEncoder, readout: Readout, labels: Sequence[str]) -> None:
        self.encoder = encoder
        self.configuration = encoder.configuration
        self.device = encoder.device
        self.readout = readout.to(encoder.device).eval()
        self.labels = tuple(labels)

    @property
    def weights_bytes(self) -> int:
        """Bytes that the loaded weights take, the read-out's included."""
        return weights_bytes(self.encoder.model) + weights_bytes(self.readout)

    def classify(self, audio: ArrayLike, sampling_rate: int) -> dict[str, float]:
        """Probability of each emotion in one clip, most likely first.

        Of a clip longer than the window, its loudest span is heard.

        Args:
            audio: Samples, shape ``(samples,)`` or ``(samples, channels)``.
            sampling_rate: Samples per second; resampled to 16 kHz where needed.

        Raises:
            ValueError: The audio is empty, not finite or of another shape.
        """
        (row,) = self.probabilities([to_waveform(audio, sampling_rate)]).tolist()
        ranked = sorted(zip(self.labels, row, strict=True), key=lambda pair: -pair[1])
        return dict(ranked)

    @torch.inference_mode()
    def probabilities(
        self, waveforms: Sequence[Waveform], clock: PhaseClock | None = None
    ) -> Tensor:
        """Probabilities by clip and label, shape ``(clips, labels)``.

        Args:
            waveforms: One channel each at 16 kHz.
            clock: Told the time of ``features``, ``encoder`` and ``head``.
        """
        clock = clock or PhaseClock(self.device)
        tokens = self.encoder.encode(self.encoder.features(waveforms, clock), clock)
        with clock.phase("head"):
            scores: Tensor = self.readout(tokens)
            return scores.softmax(dim=-1).cpu()

    def run_timed(self, waveform: Waveform, clock: PhaseClock) -> PassCounts:
        """Classifies one recording for the sake of its timing."""
        return self.run_together([waveform], clock)

    def run_together(self, waveforms: Sequence[Waveform], clock: PhaseClock) -> PassCounts:
        """Classifies recordings as one batch for the sake of their timing."""
        self.probabilities(waveforms, clock)
        return PassCounts(((self.encoder.frames, 0),) * len(waveforms))
