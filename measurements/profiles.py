"""What is known of devices: their timings, of calibrations and of measurements."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from measurements.catalogue import catalogue, device_timings
from measurements.devices import former_id, local_device, probe
from measurements.fingerprints import (
    difference,
    is_busy,
    is_near,
    local_fingerprint,
    typical,
)
from measurements.load import slowdown_log_sd
from measurements.records import DeviceInfo, DeviceTiming, Measurement, Record, TimingSample
from measurements.settings import Settings
from models_registry.configuration import Precision
from models_registry.devices import CPU_PRECISIONS, DEVICES, Device
from planner.cost import memory_bytes
from planner.device import (
    CPU_LAYER_S,
    CUDA_LAYER_S,
    TYPICAL_CPU,
    TYPICAL_CUDA,
    DeviceEvidence,
    DeviceRates,
    Doubt,
    MemoryPeak,
    TimedRun,
)
from planner.device.model import UNMEASURED_SD

if TYPE_CHECKING:
    from measurements.store import Store


_CUDA: frozenset[Precision] = frozenset({"fp32", "fp16"})
"""What every GPU runs; more of it is known when it was timed."""

_UNIDENTIFIED_SD = 0.5
"""Spread in log time of timings that were kept before a processor's instruction sets were."""

_ONE_THREAD_SD = 0.1
"""Spread in log of the processor time of one thread beside other work: beside two busy loops on
two cores four configurations took 1.00 to 1.10 times their quiet seconds, by wall time 2.3 to
4.5 times; with two threads it was 1.3 to 21 times, and 2.5 to 68."""

_CALIBRATE = "run 'speechplan calibrate' to time it anew"


class DeviceProfile(Record):
    """A device that was timed.

    Attributes:
        device: Which.
        configurations: Configurations timed on it.
        models: Models among them.
        runs: Timed runs.
        calibrated: Configurations timed with random weights.
        last: When the last was finished.
    """

    device: DeviceInfo
    configurations: int
    models: int
    runs: int
    calibrated: int
    last: datetime | None


def all_device_timings(store: Store | None) -> list[DeviceTiming]:
    """The catalogue's calibrations and the store's own, failures left out, each key once."""
    stored = store.device_timings() if store is not None else []
    unique = {timing.key: timing for timing in (*device_timings(), *stored)}
    return [timing for timing in unique.values() if timing.samples]


def device_profiles(store: Store | None) -> list[DeviceProfile]:
    """Every device with timings, by its id."""
    measured = [m for _, m in store.measurements()] if store is not None else []
    measurements = {m.key: m for m in (*catalogue(), *measured) if m.device and m.timings}
    records: list[DeviceTiming | Measurement] = [*measurements.values(), *all_device_timings(store)]
    found: dict[str, list[DeviceTiming | Measurement]] = {}
    for record in records:
        assert record.device is not None
        found.setdefault(record.device.id, []).append(record)
    return [_profile(timed) for _, timed in sorted(found.items())]


def device_evidence(
    records: Iterable[DeviceTiming | Measurement], *, probed: str | None = None
) -> dict[str, DeviceEvidence]:
    """What is known of every device: data sheets, and what was timed.

    Timings say how fast this machine is only if its speed now is near what it was then, see
    :mod:`measurements.fingerprints`; otherwise what is derived from them is in doubt.

    Args:
        records: Calibrations and measurements; those without timings say nothing.
        probed: Device that a question is about. If it is this machine and was never timed, its
            arithmetic and memory are probed.
    """
    found = {d.name: _of_data_sheet(d) for d in DEVICES}
    by_device: dict[str, list[DeviceTiming | Measurement]] = {}
    for record in records:
        if record.device is not None and _samples(record):
            by_device.setdefault(record.device.id, []).append(record)
    for name, timed in by_device.items():
        found[name] = _of_timings(timed, found.get(name))
    here = local_device()
    if probed == here.id:
        timed_here = _timed_here(here, by_device)
        if timed_here:
            known = found[_device_of(timed_here[-1]).id]
            found[probed] = replace(known, doubt=_doubt(here, timed_here))
        elif here.kind == "cpu":
            found[probed] = DeviceEvidence(
                probe(),
                native=frozenset(CPU_PRECISIONS),
                kind="cpu",
                instruction_sets=frozenset(here.instruction_sets),
            )
    return found


def _of_data_sheet(device: Device) -> DeviceEvidence:
    return DeviceEvidence(
        _data_sheet(device),
        native=device.precisions,
        kind=device.kind,
        memory_bytes=device.memory_bytes,
        instruction_sets=device.instruction_sets,
    )


def _of_timings(
    timed: Sequence[DeviceTiming | Measurement], sheet: DeviceEvidence | None
) -> DeviceEvidence:
    """A device by its timings, beside its data sheet where there is one."""
    device = _device_of(timed[-1])
    cuda = device.kind == "cuda"
    every: frozenset[Precision] = _CUDA if cuda else frozenset(CPU_PRECISIONS)
    native = (sheet and sheet.native) or every
    processors = _processors_used(timed)
    return DeviceEvidence(
        rates=sheet.rates if sheet else TYPICAL_CUDA if cuda else TYPICAL_CPU,
        runs=tuple(run for record in timed for run in _runs(record, processors)),
        memory=tuple(peak for record in timed for peak in _memory(record)),
        power_w=tuple(
            record.joules_per_audio_second / record.rtf["total"]
            for record in timed
            if record.joules_per_audio_second and record.rtf.get("total")
        ),
        native=native | {record.configuration.precision for record in timed},
        kind=device.kind,
        memory_bytes=sheet.memory_bytes if sheet else None,
        instruction_sets=frozenset(device.instruction_sets),
    )


def _processors_used(timed: Iterable[DeviceTiming | Measurement]) -> float:
    """Processor seconds in a wall second of a run on the quiet device: the threads if unknown."""
    shares, threads = [], 1.0
    for record in timed:
        threads = float(_device_of(record).threads or 1)
        if not _slowdown(record):
            shares += [s.cpu_s / s.total_s for s in _samples(record) if s.cpu_s and s.total_s]
    return max(statistics.median(shares), 0.1) if shares else threads


def _runs(record: DeviceTiming | Measurement, processors: float) -> Iterator[TimedRun]:
    """Its timed runs; those beside other work by their processor time, and marked.

    Args:
        record: A calibration or a measurement.
        processors: Processor seconds in a wall second of a run on the quiet device.
    """
    slowdown, alone = _slowdown(record), _device_of(record).threads == 1
    for sample in _samples(record):
        waited = 1.0
        if slowdown and sample.cpu_s and sample.total_s:
            waited = min(sample.cpu_s / processors / sample.total_s, 1.0)
            # Of several threads some wait for the others, and spin meanwhile.
            slowdown = min(slowdown, _ONE_THREAD_SD) if alone else slowdown
        phases_s = {phase: s * waited for phase, s in _phases(sample.phases_s).items()}
        yield TimedRun(record.configuration, sample.passes, phases_s, slowdown)


def _slowdown(record: DeviceTiming | Measurement) -> float:
    return slowdown_log_sd(record.others_cpu_share, record.processor_speed)


def _timed_here(
    here: DeviceInfo, by_device: Mapping[str, list[DeviceTiming | Measurement]]
) -> list[DeviceTiming | Measurement]:
    """Timings that may be this machine's: by its id, else by its hardware, else by its name."""
    if here.id in by_device:
        return by_device[here.id]
    devices = {name: _device_of(timed[-1]) for name, timed in by_device.items()}
    for name, device in devices.items():
        if here.hardware is not None and device.hardware == here.hardware:
            return by_device[name]
    if here.kind == "cpu" and former_id(here) in by_device:
        return by_device[former_id(here)]
    return []


def _doubt(here: DeviceInfo, timed: Sequence[DeviceTiming | Measurement]) -> Doubt | None:
    """Why timings may not say how fast this machine is now; None if nothing speaks against it."""
    if not Settings().check_device:
        return None
    device = _device_of(timed[-1])
    if device.hardware is None:
        return Doubt(
            _UNIDENTIFIED_SD,
            f"the timings of {device.id} do not say which instruction sets it has; {_CALIBRATE}",
        )
    then = typical(record.fingerprint for record in timed)
    now = None if then is None else local_fingerprint()
    if then is None or now is None:
        missing = "were kept without the speed" if then is None else "can't be compared with it"
        return Doubt(
            UNMEASURED_SD, f"the timings of {device.id} {missing} of this machine; {_CALIBRATE}"
        )
    what, ratio = difference(now, then)
    if is_near(ratio):
        return None
    test = "memory copy" if what == "copy" else f"{what} matrix product"
    busy = f", while other processes take {now.others_cpu_share:.0%} of it" if is_busy(now) else ""
    return Doubt(
        abs(math.log(ratio)),
        f"this machine's {test} now runs at {ratio:.2g} times the speed of when {device.id} was"
        f" timed{busy}; {_CALIBRATE}",
    )


def _device_of(record: DeviceTiming | Measurement) -> DeviceInfo:
    assert record.device is not None
    return record.device


def _samples(record: DeviceTiming | Measurement) -> tuple[TimingSample, ...]:
    return record.samples if isinstance(record, DeviceTiming) else record.timings


def _phases(seconds: Mapping[str, float]) -> Mapping[str, float]:
    """A read-out's head is counted to its encoder."""
    if "head" not in seconds:
        return seconds
    phases = {phase: s for phase, s in seconds.items() if phase != "head"}
    phases["encoder"] = phases.get("encoder", 0.0) + seconds["head"]
    return phases


def _memory(record: DeviceTiming | Measurement) -> Iterator[MemoryPeak]:
    """What a calibration took; a measurement's process holds other things too."""
    if isinstance(record, Measurement) or not record.predicted_memory_bytes:
        return
    kind = _device_of(record).kind
    if kind == "cpu" and record.memory_protocol is None:
        return
    if record.peak_memory_bytes is not None and record.baseline_memory_bytes is not None:
        # As the closed form is now, of windows that never run away. A calibration's peak is taken
        # after loading; on CUDA torch keeps reserved what that took.
        tokens = record.output_tokens or 0
        parts = memory_bytes(record.configuration, tokens, kind, retried=0)
        yield MemoryPeak(
            predicted=sum(parts.values()) - (parts["loading"] if kind == "cpu" else 0),
            measured=record.peak_memory_bytes - record.baseline_memory_bytes,
        )


def _data_sheet(device: Device) -> DeviceRates:
    return DeviceRates(
        flops_per_s=device.flops_per_s,
        bytes_per_s=device.bytes_per_s,
        layer_s=CUDA_LAYER_S if device.kind == "cuda" else CPU_LAYER_S,
        source=f"the data sheet of {device.name}",
        power_w=device.power_w,
    )


def _profile(records: list[DeviceTiming | Measurement]) -> DeviceProfile:
    device = records[-1].device
    assert device is not None
    times = [record.created_at for record in records if record.created_at is not None]
    return DeviceProfile(
        device=device,
        configurations=len({record.configuration for record in records}),
        models=len({record.configuration.model for record in records}),
        runs=sum(len(_samples(record)) for record in records),
        calibrated=sum(isinstance(record, DeviceTiming) for record in records),
        last=max(times, default=None),
    )
