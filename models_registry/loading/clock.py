"""Wall time by phase of a real run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch

from models_registry.loading.audio import Waveform

PHASES = ("features", "encoder", "prefill", "decode")
"""Of speech recognition: mel features; encoder; first decoder pass over the prompt; one
token at a time. Emotion recognition has features, encoder and head."""


@dataclass(frozen=True)
class PassCounts:
    """What one recording took.

    Attributes:
        passes: Encoder frames and decoded tokens (end of text included) of every
            forward pass; a window that was run again counts twice.
    """

    passes: tuple[tuple[int, int], ...]


class Timeable(Protocol):
    """A loaded model that can be timed on single recordings."""

    device: torch.device

    def run_timed(self, waveform: Waveform, clock: PhaseClock) -> PassCounts:
        """Runs one recording of one channel at 16 kHz, telling the clock each phase."""


class PhaseClock:
    """Adds up wall seconds by phase; waits for the device at both ends of each.

    Attributes:
        seconds: Seconds spent, by phase, in the order in which they first began.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Times the block as part of phase ``name``."""
        self._synchronise()
        start = time.perf_counter()
        try:
            yield
        finally:
            self._synchronise()
            spent = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + spent

    def _synchronise(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
