"""Whether a real run took as long as was predicted of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from measurements.load import contention
from measurements.profiles import all_device_timings, device_evidence
from measurements.records import Measurement
from measurements.studies import all_measurements
from planner.answer import Estimate
from planner.device import TimedRun, model_of
from planner.device.work import run_work, stacked
from planner.quantiles import normal_quantile
from planner.question import UNITS

if TYPE_CHECKING:
    from measurements.store import Store


class Speed(BaseModel):
    """The RTF of the recordings that a run has timed, one at a time.

    Attributes:
        device: Where it ran.
        predicted: What everything else that is known of the device says of them.
        measured: Their seconds, of each the median, by their seconds of audio.
        inside: Whether that lies in the predicted interval; None if that was not judged.
        contention: What slowed the machine down meanwhile, so that nothing is judged; None of
            a quiet machine.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    predicted: Estimate
    measured: float
    inside: bool | None
    contention: str | None = None


def speed_of(measurement: Measurement, store: Store, level: float) -> Speed | None:
    """A run's speed against its prediction.

    Args:
        measurement: Of the run.
        store: What else was measured; the run itself may be in it.
        level: Probability of the predicted interval.

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
    recordings = {sample.utterance: sample for sample in reversed(measurement.timings)}.values()
    works = stacked([run_work(TimedRun(configuration, one.passes, {})) for one in recordings])
    together = {phase: amounts.sum(axis=0, keepdims=True) for phase, amounts in works.items()}
    log_s, sd = model.log_seconds(together, configuration)
    mean = math.exp(float(log_s[0])) / sum(one.audio_s for one in recordings)
    reach = math.exp(normal_quantile((1 + level) / 2) * float(sd[0]))
    measured = measurement.rtf["total"]
    slowed = contention(measurement.others_cpu_share, measurement.processor_speed)
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
        measured=measured,
        inside=None if slowed else mean / reach <= measured <= mean * reach,
        contention=slowed,
    )
