"""What is known of devices: their timings, of calibrations and of measurements."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from measurements.catalogue import catalogue, device_timings
from measurements.records import DeviceInfo, DeviceTiming, Measurement, Record
from planner.latency import TimedRun

if TYPE_CHECKING:
    from measurements.store import Store


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
    found: dict[str, list[DeviceTiming | Measurement]] = {}
    for record in (*measurements.values(), *all_device_timings(store)):
        assert record.device is not None
        found.setdefault(record.device.id, []).append(record)
    return [_profile(records) for _, records in sorted(found.items())]


def calibrated_runs(timings: Iterable[DeviceTiming]) -> dict[str, list[TimedRun]]:
    """Timed runs by device that a latency model can be fitted to.

    Those of encoders alone and of several windows together are left out: it speaks of
    recordings transcribed one at a time.
    """
    runs: dict[str, list[TimedRun]] = {}
    for timing in timings:
        c = timing.configuration
        if c.task == "asr" and c.batch_size == 1:
            runs.setdefault(timing.device.id, []).extend(
                TimedRun(c, s.passes, s.phases_s) for s in timing.samples
            )
    return runs


def _profile(records: list[DeviceTiming | Measurement]) -> DeviceProfile:
    device = records[-1].device
    assert device is not None
    times = [record.created_at for record in records if record.created_at is not None]
    return DeviceProfile(
        device=device,
        configurations=len({record.configuration for record in records}),
        models=len({record.configuration.model for record in records}),
        runs=sum(
            len(record.samples if isinstance(record, DeviceTiming) else record.timings)
            for record in records
        ),
        calibrated=sum(isinstance(record, DeviceTiming) for record in records),
        last=max(times, default=None),
    )
