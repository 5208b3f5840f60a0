"""Time by phase of a real run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

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


class Weighty(Timeable, Protocol):
    """One whose weights can be weighed."""

    @property
    def weights_bytes(self) -> int:
        """Bytes that the loaded weights take."""


@runtime_checkable
class BatchTimeable(Timeable, Protocol):
    """One that also takes several recordings together."""

    def run_together(self, waveforms: Sequence[Waveform], clock: PhaseClock) -> PassCounts:
        """Runs recordings of one channel at 16 kHz as one batch; counts are their sums."""


class PhaseClock:
    """Adds up seconds by phase: wall time on a CPU, the stream's own time on CUDA.

    On CUDA each end of a phase is an event in the stream, so nothing waits for the
    device before :attr:`seconds` is read; what the host does between the two ends counts
    as far as the stream waits for it.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seconds: dict[str, float] = {}
        self._events: list[tuple[str, Any, Any]] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Times the block as part of phase ``name``."""
        if self._device.type == "cuda":
            event: Any = torch.cuda.Event
            ends = event(enable_timing=True), event(enable_timing=True)
            stream = torch.cuda.current_stream(self._device)
            ends[0].record(stream)
            try:
                yield
            finally:
                ends[1].record(stream)
                self._events.append((name, *ends))
            return
        start = time.perf_counter()
        try:
            yield
        finally:
            self._add(name, time.perf_counter() - start)

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by phase, in the order they first ran; waits for phases under way."""
        for name, start, end in self._events:
            end.synchronize()
            self._add(name, start.elapsed_time(end) / 1000)
        self._events.clear()
        return dict(self._seconds)

    def _add(self, name: str, seconds: float) -> None:
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds
