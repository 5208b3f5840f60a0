"""Whether a real run took as long as was predicted of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from measurements.load import contention
from measurements.profiles import all_device_timings, device_evidence
from measurements.records import Measurement, TimingSample
from measurements.studies import all_measurements
from models_registry import Configuration
from planner.answer import Estimate
from planner.costing import rtf_by_phase
from planner.device import DeviceModel, TimedRun, model_of
from planner.device.work import run_work, stacked
from planner.quantiles import normal_quantile
from planner.question import UNITS
from planner.workload import Workload

if TYPE_CHECKING:
    from measurements.store import Store


class ShownRtf(BaseModel):
    """The RTF that an answer shows of a configuration before it is run.

    Attributes:
        device: Where.
        workload: Recordings that it is for.
        retries: Share of windows that were expected to run away.
        predicted: The figure with its interval.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    workload: Workload
    retries: float
    predicted: Estimate


class Speed(BaseModel):
    """The RTF of the recordings that a run has timed, one at a time.

    Attributes:
        device: Where it ran.
        predicted: What everything else that is known of the device says of these recordings,
            in the windows and tokens that were decoded.
        measured: Their seconds, of each the median, by their seconds of audio.
        shown: The RTF that the answer showed before the run, for its own workload; None if it
            was for no device or another.
        corrected: What was measured, moved from the recordings that were timed to those of
            ``shown``: the seconds that the device's fit says of the latter, times the measured
            over the fitted seconds of the former.
        inside: Whether ``corrected`` lies in the interval of ``shown``; None if that was not
            judged.
        contention: What slowed the machine down meanwhile, so that nothing is judged; None of
            a quiet machine.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    predicted: Estimate
    measured: float
    shown: Estimate | None = None
    corrected: float | None = None
    inside: bool | None
    contention: str | None = None

    @property
    def not_judged(self) -> str | None:
        """Why it was not judged; None if it was."""
        if self.inside is not None:
            return None
        return self.contention or "no RTF was shown for this device"


def speed_of(
    measurement: Measurement, store: Store, level: float, shown: ShownRtf | None = None
) -> Speed | None:
    """A run's speed against its prediction.

    Args:
        measurement: Of the run.
        store: What else was measured; the run itself may be in it.
        level: Probability of the predicted interval.
        shown: The RTF that was shown before it ran.

    Returns:
        None where nothing was timed, or where this very configuration was before.
    """
    device, configuration = measurement.device, measurement.configuration
    if device is None or not measurement.timings or "total" not in measurement.rtf:
        return None
    others = [m for m in all_measurements(store, configuration.task) if m.key != measurement.key]
    known = device_evidence([*others, *all_device_timings(store)], probed=device.id)
    if device.id not in known:
        return None
    model = model_of(device.id, known)
    if configuration in model.timed:
        return None
    recordings = recordings_of(measurement.timings)
    works = stacked([run_work(TimedRun(configuration, one.passes, {})) for one, _ in recordings])
    together = {phase: amounts.sum(axis=0, keepdims=True) for phase, amounts in works.items()}
    log_s, sd = model.log_seconds(together, configuration)
    mean = math.exp(float(log_s[0])) / sum(one.audio_s for one, _ in recordings)
    reach = math.exp(normal_quantile((1 + level) / 2) * float(sd[0]))
    slowed = contention(measurement.others_cpu_share, measurement.processor_speed)
    figure, corrected = None, None
    if shown is not None and shown.device == device.id:
        figure = shown.predicted
        expected = rtf_by_phase(configuration, shown.workload, model, shown.retries)
        corrected = sum(expected.values()) * slower(configuration, recordings, model)
    return Speed(
        device=device.id,
        predicted=Estimate(
            mean=mean,
            lower=mean / reach,
            upper=mean * reach,
            level=level,
            unit=UNITS["rtf"],
            basis="interpolated" if model.covers(configuration) else "extrapolated",
            source="predicted",
            provenance=model.source_of(configuration.precision),
        ),
        measured=measurement.rtf["total"],
        shown=figure,
        corrected=corrected,
        inside=None
        if slowed or figure is None or corrected is None
        else figure.lower <= corrected <= figure.upper,
        contention=slowed,
    )


def recordings_of(samples: Sequence[TimingSample]) -> list[tuple[TimingSample, float]]:
    """A sample of each recording, and the median of its seconds."""
    groups: dict[str, list[TimingSample]] = {}
    for one in samples:
        groups.setdefault(one.utterance, []).append(one)
    return [
        (group[0], statistics.median(one.total_s for one in group)) for group in groups.values()
    ]


def slower(
    configuration: Configuration,
    recordings: Sequence[tuple[TimingSample, float]],
    model: DeviceModel,
) -> float:
    """Measured seconds of recordings over those that the device's fit says of their passes."""
    works = [run_work(TimedRun(configuration, one.passes, {})) for one, _ in recordings]
    phases = model.phase_seconds(stacked(works), configuration.precision)
    said = float(sum(seconds.sum() for seconds in phases.values()))
    return sum(seconds for _, seconds in recordings) / said
