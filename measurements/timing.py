"""Times a model: warm-up, repeats until the median is known, raw samples, peak memory.

The interval of a median is between two of the sorted samples, whatever their
distribution (order statistics). Stopping as soon as it is narrow costs it little: over
4,000 simulated timings with noise from 3 to 25 % it covered 94 to 96 % of them. Among
those alone that stopped early under strong noise it covers less, 87 % at 12 % noise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import cycle, islice
from typing import Any

import numpy as np
from scipy.stats import quantile_test

from measurements.datasets import Utterance
from measurements.energy import EnergyCounter, energy_counter
from measurements.load import LoadMeter
from measurements.memory import MemoryMeter, PeakMemory, release
from measurements.records import LatencySummary, TimingSample
from measurements.settings import Settings
from measurements.slow_spells import SlowSpells
from models_registry.loading.audio import Waveform, to_waveform
from models_registry.loading.clock import BatchTimeable, PassCounts, PhaseClock, Timeable
from models_registry.loading.whisper import silence

UTTERANCES = 6
TOGETHER = 8
"""Recordings run together for the throughput."""

TOGETHER_SHARE = 0.25
"""Seconds for that, as a share of those for recordings one at a time."""

LEVEL = 0.95

Interval = tuple[float, float]


@dataclass(frozen=True)
class StoppingRule:
    """When a median is known well enough.

    Attributes:
        tolerance: Half-width of its 95 % interval, as a share of it.
        max_repeats: Runs of one recording, at most.
        max_seconds: Wall seconds of all runs together; every recording is run once
            regardless.
    """

    tolerance: float = 0.05
    max_repeats: int = 30
    max_seconds: float = 60.0

    def within(self, limit_s: float) -> StoppingRule:
        """The same where runs, waits for slow spells and throughput end within some seconds."""
        return replace(self, max_seconds=min(self.max_seconds, limit_s / (2 + TOGETHER_SHARE)))

    def holds(self, seconds: Sequence[float]) -> bool:
        """Whether the samples of a recording are enough."""
        if len(seconds) >= self.max_repeats:
            return True
        interval = quantile_interval(seconds)
        if interval is None:
            return False
        return (interval[1] - interval[0]) / 2 <= self.tolerance * float(np.median(seconds))


@dataclass(frozen=True)
class Timing:
    """What timing a model on some recordings gave.

    Attributes:
        samples: Every run.
        peak: Memory at its peak meanwhile.
        joules_per_audio_s: Energy; none where the device does not count it.
        others_share: Share of the processors' time that other processes took meanwhile.
        speed: Of the processors, as a share of the fastest seen; none elsewhere.
    """

    samples: tuple[TimingSample, ...]
    peak: PeakMemory
    joules_per_audio_s: float | None = None
    others_share: float | None = None
    speed: float | None = None


def quantile_interval(
    samples: Sequence[float], quantile: float = 0.5, level: float = LEVEL
) -> Interval | None:
    """A distribution-free interval of a quantile; none with too few samples.

    The median needs 6 of them at 95 %. Source: order statistics, Conover, Practical
    Nonparametric Statistics (1999), section 3.2.
    """
    ranks = _interval_ranks(len(samples), quantile, level)
    if ranks is None:
        return None
    lower, upper = np.sort(samples)[list(ranks)]
    return float(lower), float(upper)


@lru_cache(maxsize=4096)
def _interval_ranks(count: int, quantile: float, level: float) -> tuple[int, int] | None:
    """Places of the interval's ends among ``count`` sorted samples, from 0."""
    interval = quantile_test(np.arange(count), p=quantile).confidence_interval(level)
    if not (np.isfinite(interval.low) and np.isfinite(interval.high)):
        return None
    return int(interval.low), int(interval.high)


def repeat(
    runs: Sequence[Callable[[], TimingSample]],
    rule: StoppingRule,
    *,
    seed: int = 0,
    before: Sequence[TimingSample] = (),
    wait: Callable[[], float] = lambda: 0.0,
) -> list[TimingSample]:
    """Runs everything once, then again and again until every median is known.

    The order is random in every round, so that a slow spell of the machine hits no
    recording alone. A run that would not end in time is not begun.

    Args:
        runs: One a recording.
        rule: When to stop.
        seed: Seed of the order.
        before: Samples of the only recording that are there already.
        wait: Waits until a run may begin; the seconds that it took do not count.
    """
    rng = np.random.default_rng(seed)
    samples: list[list[TimingSample]] = [[] for _ in runs]
    samples[0] += before
    began = time.perf_counter()
    while not all(rule.holds([one.total_s for one in found]) for found in samples):
        for index in rng.permutation(len(runs)):
            found = samples[index]
            began += wait()
            elapsed_s = time.perf_counter() - began
            if found and elapsed_s + found[-1].total_s > rule.max_seconds:
                return [one for group in samples for one in group]
            found.append(runs[index]())
    return [one for found in samples for one in found]


def time_utterances(
    model: Timeable,
    utterances: Sequence[Utterance],
    *,
    seed: int = 0,
    rule: StoppingRule | None = None,
    counter: EnergyCounter | None = None,
) -> Timing:
    """Times recordings one at a time.

    Args:
        model: The loaded configuration.
        utterances: What to time.
        seed: Seed of the order.
        rule: When to stop; by the settings when left out.
        counter: Counts energy; the device's own when left out.
    """
    waveforms = [to_waveform(*utterance.audio()) for utterance in utterances]
    model.run_timed(silence(1.0), PhaseClock(model.device))
    release(model.device)
    meter, load = MemoryMeter(model.device), LoadMeter()
    counter = counter or energy_counter(model.device)
    joules = counter() if counter else 0.0

    def timed(utterance: Utterance, waveform: Waveform) -> Callable[[], TimingSample]:
        return lambda: sample(
            utterance.id, [waveform], model.device, lambda w, clock: model.run_timed(w[0], clock)
        )

    runs = [timed(u, w) for u, w in zip(utterances, waveforms, strict=True)]
    rule = rule or default_rule()
    spells = slow_spells(model.device, rule)
    samples = repeat(runs, rule, seed=seed, wait=spells.wait if spells else lambda: 0.0)
    audio_s = sum(one.audio_s for one in samples)
    return Timing(
        samples=tuple(samples),
        peak=meter.read(),
        joules_per_audio_s=(counter() - joules) / audio_s if counter else None,
        others_share=load.others_share(),
        speed=spells.speed if spells else None,
    )


def sample(
    name: str,
    waveforms: Sequence[Waveform],
    device: Any,
    run: Callable[[Sequence[Waveform], PhaseClock], PassCounts],
) -> TimingSample:
    """One timed run of some waveforms together."""
    clock, began_s = PhaseClock(device), time.process_time()
    counts = run(waveforms, clock)
    cpu_s = time.process_time() - began_s
    return TimingSample(
        utterance=name,
        audio_s=sum(map(len, waveforms)) / 16_000,
        passes=counts.passes,
        phases_s={phase: round(s, 6) for phase, s in clock.seconds.items()},
        cpu_s=round(cpu_s, 6) if device.type == "cpu" else None,
    )


def measured_fields(
    model: Timeable,
    utterances: Sequence[Utterance],
    *,
    seed: int = 0,
    held_bytes: int = 0,
    limit_s: float | None = None,
) -> dict[str, Any]:
    """Everything about time and memory that a ``Measurement`` keeps, by its field names.

    Args:
        model: The loaded configuration.
        utterances: What to time.
        seed: Seed of the order.
        held_bytes: Memory on the device that is not the configuration's.
        limit_s: Seconds that all of it takes at most, unless every recording once takes longer;
            only the settings' budget limits it when left out.
    """
    rule = default_rule() if limit_s is None else default_rule().within(limit_s)
    timing = time_utterances(model, utterances, seed=seed, rule=rule)
    factors = real_time_factors(timing.samples)
    waveforms = [to_waveform(*utterance.audio()) for utterance in utterances]
    return {
        "timings": timing.samples,
        "rtf": {phase: value for phase, (value, _) in factors.items()},
        "rtf_interval": {phase: ends for phase, (_, ends) in factors.items() if ends is not None},
        "latency": latency_summary(timing.samples),
        **throughput(model, waveforms, rule),
        "others_cpu_share": timing.others_share,
        "processor_speed": timing.speed,
        "peak_memory_bytes": _without(held_bytes, timing.peak.peak_bytes),
        "peak_allocated_bytes": _without(held_bytes, timing.peak.allocated_bytes),
        "joules_per_audio_second": timing.joules_per_audio_s,
    }


def _without(held_bytes: int, peak_bytes: int | None) -> int | None:
    return None if peak_bytes is None else peak_bytes - held_bytes


def throughput(
    model: Timeable, waveforms: Sequence[Waveform], rule: StoppingRule
) -> dict[str, Any]:
    """Audio seconds per wall second with several recordings run together.

    The median of as many runs as the settings leave time for; nothing of a model that
    takes one recording at a time.
    """
    if not isinstance(model, BatchTimeable):
        return {}
    together = list(islice(cycle(waveforms), TOGETHER))
    rule = StoppingRule(max_repeats=6, max_seconds=rule.max_seconds * TOGETHER_SHARE)

    def run() -> TimingSample:
        return sample("together", together, model.device, model.run_together)

    samples = repeat([run], rule)
    seconds = float(np.median([one.total_s for one in samples]))
    return {"rtfx": samples[0].audio_s / seconds, "rtfx_batch_size": TOGETHER}


def real_time_factors(
    samples: Sequence[TimingSample],
) -> dict[str, tuple[float, Interval | None]]:
    """Computing seconds per audio second by phase and in ``total``, each with its interval.

    The median over a recording's repeats, summed over recordings; so are the ends of
    the intervals, which then hold at their level even where all recordings err
    together, as they do on a busy machine. None with fewer than 6 repeats.
    """
    groups = list(_by_utterance(samples).values())
    audio_s = sum(group[0].audio_s for group in groups)

    def factor(seconds: Callable[[TimingSample], float]) -> tuple[float, Interval | None]:
        times = [[seconds(one) for one in group] for group in groups]
        centre = sum(float(np.median(found)) for found in times) / audio_s
        ends = [interval for found in times if (interval := quantile_interval(found))]
        if len(ends) < len(times):
            return centre, None
        lower, upper = (sum(side) / audio_s for side in zip(*ends, strict=True))
        return centre, (lower, upper)

    phases = dict.fromkeys(phase for one in samples for phase in one.phases_s)
    factors = {phase: factor(lambda s, p=phase: s.phases_s.get(p, 0.0)) for phase in phases}  # type: ignore[misc]
    return {**factors, "total": factor(lambda s: s.total_s)}


def latency_summary(samples: Sequence[TimingSample]) -> LatencySummary:
    """Seconds from a recording's end to its result, over recordings and repeats.

    The intervals speak of more repeats of these recordings, not of other recordings.
    """
    seconds = [one.total_s for one in samples]
    p50_s, p95_s = np.quantile(seconds, (0.5, 0.95))
    return LatencySummary(
        p50_s=float(p50_s),
        p95_s=float(p95_s),
        p50_interval_s=quantile_interval(seconds),
        p95_interval_s=quantile_interval(seconds, 0.95),
        level=LEVEL,
        n=len(seconds),
        recordings=len(_by_utterance(samples)),
    )


def slow_spells(device: Any, rule: StoppingRule) -> SlowSpells | None:
    """What to wait for on a device; a GPU has no neighbours."""
    return SlowSpells(rule.max_seconds) if device.type == "cpu" else None


def default_rule() -> StoppingRule:
    """The rule that the settings name."""
    return StoppingRule(max_seconds=Settings().timing_budget_s)


def _by_utterance(samples: Sequence[TimingSample]) -> dict[str, list[TimingSample]]:
    groups: dict[str, list[TimingSample]] = {}
    for one in samples:
        groups.setdefault(one.utterance, []).append(one)
    return groups
