"""Times every architecture on a device with random weights, within a budget of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from measurements.calibration_pace import Pace
from measurements.calibration_plan import output_tokens, plan
from measurements.energy import energy_counter
from measurements.evaluation.base import describe_device, software
from measurements.load import LoadMeter
from measurements.memory import MemoryMeter, free_bytes, release, used_bytes
from measurements.microbenchmark import fingerprint_of
from measurements.progress import Progress
from measurements.records import DeviceInfo, DeviceTiming, Record, measurement_key
from measurements.store import Store
from measurements.timing import StoppingRule, real_time_factors, repeat, sample, slow_spells
from models_registry import Configuration
from models_registry.configuration import Precision
from models_registry.loading import torch_device
from models_registry.loading.audio import Waveform
from models_registry.loading.clock import BatchTimeable
from models_registry.loading.encoders import encoder_with_random_weights
from models_registry.loading.whisper import with_random_weights
from planner.cost import memory_bytes

PROTOCOL = "calibration-1"
"""Part of a timing's key: raised when the timings would change."""

MEMORY_PROTOCOL = "trimmed-1"
"""How memory was taken: freed memory goes back to the system before the model runs."""

RANDOM_WEIGHTS = "random weights"

REPEATS_SHARE = 1 / 60
"""Share of the budget that one configuration's repeats may take."""

LARGEST_SHARE = 1 / 5
"""Share of the budget above which a configuration is left to a run with more of it."""

_MEMORY_MARGIN = 1.3

Build = Callable[[Configuration, torch.device], BatchTimeable]


class CalibrationReport(Record):
    """What a calibration did.

    Attributes:
        device: Where.
        planned: Configurations of the plan.
        timed: Of these, timed by this run.
        known: Timed before.
        left: Not timed: they would take too much of the budget, or of its rest.
        skipped: Why a configuration does not fit the device, by its label.
        failed: Why a configuration failed, by its label.
        elapsed_s: Seconds that it took.
        budget_s: Seconds that it had.
    """

    device: DeviceInfo
    planned: int
    timed: int
    known: int
    left: int
    skipped: dict[str, str]
    failed: dict[str, str]
    elapsed_s: float
    budget_s: float


def calibrate(
    store: Store,
    *,
    device: str = "auto",
    budget_s: float = 600.0,
    models: Sequence[str] | None = None,
    precisions: Sequence[Precision] | None = None,
    build: Build | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> CalibrationReport:
    """Times what is not timed yet, storing every configuration as soon as it is done.

    A configuration is only begun where its time, judged by what was timed before, is
    left of the budget and no large part of it, and where its memory is free.

    Args:
        store: Where timings are kept.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        budget_s: Seconds for all of it.
        models: Only these.
        precisions: Only these.
        build: Makes a model; with random weights when left out.
        on_progress: Called before each configuration and at the end.

    Raises:
        UnknownNameError: A model is not in the registry.
        ValueError: The device does not run a precision.
        UnsupportedConfigurationError: The device is not on this machine.
    """
    began = time.perf_counter()
    place = torch_device(device)
    info = describe_device(place)
    configurations = plan(info.kind, models, precisions)
    report = on_progress or (lambda _: None)
    stored = {t.key: t for t in store.device_timings(info.id)}
    pace = Pace()
    for timing in stored.values():
        pace.learn(timing)
    keys = {c: timing_key(c, info) for c in configurations}
    known = sum(key in stored for key in keys.values())
    timed, left = 0, 0
    kinds: set[tuple[str, str]] = set()
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}

    def progress(phase: str) -> Progress:
        elapsed_s = time.perf_counter() - began
        over = known + timed + len(skipped) + len(failed)
        at_this_pace = elapsed_s / timed * (len(configurations) - over) if timed else budget_s
        return Progress(
            phase=phase,
            done=known + timed,
            total=len(configurations),
            elapsed_s=elapsed_s,
            left_s=max(0.0, min(budget_s - elapsed_s, at_this_pace)),
        )

    for configuration, key in keys.items():
        if key in stored:
            continue
        left_s = budget_s - (time.perf_counter() - began)
        if pace.expected_s(configuration) > min(left_s, budget_s * LARGEST_SHARE):
            left += 1
            continue
        release(place)
        if reason := _too_large(configuration, place):
            skipped[configuration.label()] = reason
            continue
        report(progress(_name(configuration)))
        rule = StoppingRule(max_repeats=15, max_seconds=min(budget_s * REPEATS_SHARE, left_s))
        kind = configuration.task, configuration.precision
        try:
            timing = time_configuration(
                configuration,
                place,
                info,
                rule,
                build or random_model,
                first_of_kind=kind not in kinds,
            )
        except (RuntimeError, MemoryError, ValueError, TypeError) as error:
            failed[configuration.label()] = reason = _first_line(error)
            store.add_device_timing(_failure(configuration, info, reason))
            continue
        store.add_device_timing(timing)
        pace.learn(timing)
        kinds.add(kind)
        timed += 1
    report(progress("done"))
    return CalibrationReport(
        device=info,
        planned=len(configurations),
        timed=timed,
        known=known,
        left=left,
        skipped=skipped,
        failed=failed,
        elapsed_s=time.perf_counter() - began,
        budget_s=budget_s,
    )


def timing_key(configuration: Configuration, device: DeviceInfo) -> str:
    """Key of a configuration's timing on a device, its batch size included."""
    return measurement_key(configuration, RANDOM_WEIGHTS, device.id, PROTOCOL)


def random_model(configuration: Configuration, device: torch.device) -> BatchTimeable:
    """The configuration with random weights."""
    if configuration.task == "ser":
        return encoder_with_random_weights(configuration, device)
    return with_random_weights(configuration, device, output_tokens=output_tokens(configuration))


def time_configuration(
    configuration: Configuration,
    device: torch.device,
    info: DeviceInfo,
    rule: StoppingRule,
    build: Build = random_model,
    *,
    first_of_kind: bool = False,
) -> DeviceTiming:
    """Times one configuration.

    The first pass warms up; where another would not end in time, it is the timing,
    unless kernels may have been prepared in it.

    Args:
        configuration: What to time.
        device: Where.
        info: The same device, described.
        rule: When to stop; its seconds are for the passes alone.
        build: Makes the model.
        first_of_kind: Whether nothing of its task and precision has run before.
    """
    fingerprint = fingerprint_of(device, info)
    baseline = used_bytes(device)
    start = time.perf_counter()
    model = build(configuration, device)
    load_s = time.perf_counter() - start
    release(device)
    meter, counter, load = MemoryMeter(device), energy_counter(device), LoadMeter()
    waveforms = _noise(configuration)
    name = f"noise-{len(waveforms[0]) / 16_000:g}s"

    def run() -> Any:
        return sample(name, waveforms, device, model.run_together)

    first = run()
    warmed_up = first_of_kind or 2 * first.total_s <= rule.max_seconds
    joules = counter() if counter else 0.0
    spells = slow_spells(device, rule)
    wait = spells.wait if spells else lambda: 0.0
    samples = repeat([run], rule, before=() if warmed_up else (first,), wait=wait)
    joules = counter() - joules if counter else 0.0
    counted = samples if warmed_up else samples[1:]
    factors = real_time_factors(samples)
    peak = meter.read()
    return DeviceTiming(
        key=timing_key(configuration, info),
        device=info,
        configuration=configuration,
        protocol=PROTOCOL,
        output_tokens=output_tokens(configuration),
        samples=tuple(samples),
        warmed_up=warmed_up,
        load_s=load_s,
        rtf={phase: value for phase, (value, _) in factors.items()},
        rtf_interval={phase: ends for phase, (_, ends) in factors.items() if ends is not None},
        baseline_memory_bytes=baseline,
        peak_memory_bytes=peak.peak_bytes,
        peak_allocated_bytes=peak.allocated_bytes,
        predicted_memory_bytes=_closed_form(configuration, device),
        memory_protocol=MEMORY_PROTOCOL,
        joules_per_audio_second=(
            joules / sum(s.audio_s for s in counted) if counter and counted else None
        ),
        others_cpu_share=load.others_share(),
        processor_speed=spells.speed if spells else None,
        fingerprint=fingerprint,
        software=software(),
        created_at=datetime.now(UTC),
    )


def _too_large(configuration: Configuration, device: torch.device) -> str | None:
    free = free_bytes(device)
    parts = _closed_form(configuration, device)
    needed = sum(parts.values()) * _MEMORY_MARGIN
    if free is None or needed <= free:
        return None
    return f"needs {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free"


def _closed_form(configuration: Configuration, device: torch.device) -> dict[str, int]:
    tokens = output_tokens(configuration) or 0
    return memory_bytes(configuration, tokens, device.type, retried=0)


def _noise(configuration: Configuration) -> list[Waveform]:
    rng = np.random.default_rng(0)
    samples = round(configuration.speech_s * 16_000)
    return [
        (0.1 * rng.standard_normal(samples)).astype(np.float32)
        for _ in range(configuration.batch_size)
    ]


def _failure(configuration: Configuration, info: DeviceInfo, reason: str) -> DeviceTiming:
    return DeviceTiming(
        # Beside the key of a success, which may still come.
        key=measurement_key(configuration, "failed", info.id, PROTOCOL),
        device=info,
        configuration=configuration,
        protocol=PROTOCOL,
        failure=reason,
        software=software(),
        created_at=datetime.now(UTC),
    )


def _name(configuration: Configuration) -> str:
    what = "encoder of " if configuration.task == "ser" else ""
    return what + configuration.label()


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
