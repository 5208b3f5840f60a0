"""What is known of devices: their timings, of calibrations and of measurements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from measurements.catalogue import catalogue, device_timings
from measurements.devices import local_device, probe
from measurements.records import DeviceInfo, DeviceTiming, Measurement, Record, TimingSample
from models_registry.configuration import Precision
from models_registry.devices import CPU_PRECISIONS, DEVICES, Device
from planner.device import (
    CPU_LAYER_S,
    CUDA_LAYER_S,
    TYPICAL_CPU,
    TYPICAL_CUDA,
    DeviceEvidence,
    DeviceRates,
    MemoryPeak,
    TimedRun,
)

if TYPE_CHECKING:
    from measurements.store import Store


_CUDA: frozenset[Precision] = frozenset({"fp32", "fp16"})
"""What every GPU runs; more of it is known when it was timed."""


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

    Args:
        records: Calibrations and measurements; those without timings say nothing.
        probed: Device that is needed; where it is this machine and nothing is known of it,
            its arithmetic and memory are probed.
    """
    found = {
        d.name: DeviceEvidence(
            _data_sheet(d), native=d.precisions, kind=d.kind, memory_bytes=d.memory_bytes
        )
        for d in DEVICES
    }
    by_device: dict[str, list[DeviceTiming | Measurement]] = {}
    for record in records:
        if record.device is not None and _samples(record):
            by_device.setdefault(record.device.id, []).append(record)
    for name, timed in by_device.items():
        known = found.get(name)
        cuda = any(record.device is not None and record.device.kind == "cuda" for record in timed)
        every: frozenset[Precision] = _CUDA if cuda else frozenset(CPU_PRECISIONS)
        native = (known and known.native) or every
        found[name] = DeviceEvidence(
            rates=known.rates if known else TYPICAL_CUDA if cuda else TYPICAL_CPU,
            runs=tuple(
                TimedRun(record.configuration, sample.passes, _phases(sample.phases_s))
                for record in timed
                for sample in _samples(record)
            ),
            memory=tuple(peak for record in timed for peak in _memory(record)),
            power_w=tuple(
                record.joules_per_audio_second / record.rtf["total"]
                for record in timed
                if record.joules_per_audio_second and record.rtf.get("total")
            ),
            native=native | {record.configuration.precision for record in timed},
            kind="cuda" if cuda else "cpu",
            memory_bytes=known.memory_bytes if known else None,
        )
    if probed == local_device().id and probed not in found and local_device().kind == "cpu":
        found[probed] = DeviceEvidence(probe(), native=frozenset(CPU_PRECISIONS), kind="cpu")
    return found


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
    if record.peak_memory_bytes is not None and record.baseline_memory_bytes is not None:
        yield MemoryPeak(
            predicted=sum(record.predicted_memory_bytes.values()),
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
