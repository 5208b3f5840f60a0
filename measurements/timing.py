"""Times a configuration on single recordings: warm-up, repeats, raw samples, peak memory."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from measurements.datasets import Utterance
from measurements.records import TimingSample
from models_registry.loading.audio import to_waveform
from models_registry.loading.clock import PhaseClock, Timeable
from models_registry.loading.whisper import silence

UTTERANCES = 6
REPEATS = 3
MAX_SECONDS = 60.0


def time_utterances(
    model: Timeable, utterances: Sequence[Utterance], *, seed: int = 0
) -> tuple[list[TimingSample], int | None]:
    """Times recordings one at a time, in a new random order at every repeat.

    Args:
        model: The loaded configuration.
        utterances: What to time.
        seed: Seed of the order.

    Returns:
        One sample a run, at least one for each utterance, and the peak memory in bytes.
    """
    rng = np.random.default_rng(seed)
    waveforms = [to_waveform(*utterance.audio()) for utterance in utterances]
    model.run_timed(silence(1.0), PhaseClock(model.device))
    gc.collect()
    peak = _PeakMemory(model.device)
    samples: list[TimingSample] = []
    began = time.perf_counter()
    for repeat in range(REPEATS):
        for index in rng.permutation(len(utterances)):
            if repeat and time.perf_counter() - began > MAX_SECONDS:
                return samples, peak.read()
            clock = PhaseClock(model.device)
            counts = model.run_timed(waveforms[index], clock)
            samples.append(
                TimingSample(
                    utterance=utterances[index].id,
                    audio_s=len(waveforms[index]) / 16_000,
                    passes=counts.passes,
                    phases_s={phase: round(s, 6) for phase, s in clock.seconds.items()},
                )
            )
    return samples, peak.read()


def real_time_factors(samples: Sequence[TimingSample]) -> dict[str, float]:
    """Computing seconds per audio second by phase and in total.

    The median over a recording's repeats, summed over recordings.
    """
    by_utterance: dict[str, list[TimingSample]] = {}
    for sample in samples:
        by_utterance.setdefault(sample.utterance, []).append(sample)
    audio_s = sum(group[0].audio_s for group in by_utterance.values())
    factors = {
        phase: sum(
            float(np.median([s.phases_s[phase] for s in group])) for group in by_utterance.values()
        )
        / audio_s
        for phase in samples[0].phases_s
    }
    totals = (float(np.median([s.total_s for s in group])) for group in by_utterance.values())
    return {**factors, "total": sum(totals) / audio_s}


class _PeakMemory:
    """Peak memory since it was made: resident on a CPU, reserved on CUDA."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            return
        try:
            # 5 resets the kernel's high-water mark of this process.
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            self._device = torch.device("meta")

    def read(self) -> int | None:
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_reserved(self._device))
        if self._device.type == "meta":
            return None
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return None
