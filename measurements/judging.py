"""Judges saved predictions by what was measured after them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from measurements.anchors import is_fresh
from measurements.coverage import Covered, covered
from measurements.judgements import (
    PREDICTED,
    Judgement,
    Quantity,
    SavedPredictions,
    judgement_key,
)
from measurements.load import contention
from measurements.profiles import all_device_timings, device_evidence
from measurements.records import Measurement, Record
from measurements.relative import ratio_between
from measurements.scores import Score, ratio_score
from measurements.speed import recordings_of, slower
from measurements.studies import all_measurements
from measurements.verification import level_score
from models_registry import Configuration
from planner.answer import Prediction
from planner.costing import GIB, rtf_by_phase, timed_audio_s
from planner.device import DeviceModel, model_of
from planner.workload import Workload

if TYPE_CHECKING:
    from measurements.store import Store

_QUALITY: tuple[Quantity, ...] = ("wer", "ua")
_COUNTED: tuple[Quantity, ...] = ("gflops_per_utterance", "gflops_per_audio_second")
_LATENCY: tuple[Quantity, ...] = ("latency_p50_s", "latency_p95_s")
_ON_DEVICE: tuple[Quantity, ...] = (
    "rtf",
    *_LATENCY,
    "joules_per_audio_second",
    "memory_gib",
)

_SHARE = {"latency_p50_s": 0.5, "latency_p95_s": 0.95}


class JudgedConfiguration(Record):
    """A configuration of a file, as far as it was measured.

    Attributes:
        configuration: Which.
        judgements: What was measured.
        waiting: What was not, by quantity: why.
    """

    configuration: Configuration
    judgements: tuple[Judgement, ...]
    waiting: dict[str, str]


class Judged(Record):
    """What has come of a file of predictions.

    Attributes:
        study: Study that they are for.
        predicted_at: When they were made.
        items: Its configurations, in their order.
        coverage: By quantity and level, of what counts as a prediction.
        new: Judgements that the coverage record did not have yet.
    """

    study: str
    predicted_at: datetime
    items: tuple[JudgedConfiguration, ...]
    coverage: tuple[Covered, ...]
    new: int

    @property
    def judgements(self) -> list[Judgement]:
        """Of all configurations."""
        return [one for item in self.items for one in item.judgements]


def judge(saved: SavedPredictions, store: Store) -> Judged:
    """Holds predictions against the first measurement of each that was made after them.

    What is found is stored for the coverage record, each prediction once.

    Args:
        saved: The predictions.
        store: Measurements; those built in were there before.
    """
    later = _Later.of(saved, store)
    items = [
        JudgedConfiguration(
            configuration=item.configuration,
            judgements=tuple(found.values()),
            waiting=waiting,
        )
        for item in saved.items
        for found, waiting in [_judged(saved, item, later)]
    ]
    every = [one for item in items for one in item.judgements]
    new = store.add_judgements(one for one in every if one.counts)
    return Judged(
        study=saved.study,
        predicted_at=saved.created_at,
        items=tuple(items),
        coverage=tuple(covered({one.key: one for one in every}.values())),
        new=new,
    )


@dataclass(frozen=True)
class _Made:
    """A measurement and when it was made; when it was stored, where it does not say so."""

    measurement: Measurement
    at: datetime


@dataclass
class _Later:
    """Measurements of a study that were made after predictions, oldest first.

    Attributes:
        saved: The predictions.
        store: Where they are from.
        made: By configuration.
        before: What was measured before.
    """

    saved: SavedPredictions
    store: Store
    made: Mapping[Configuration, Sequence[_Made]]
    before: Sequence[Measurement]
    _scores: dict[tuple[str, str], Score | None] = field(default_factory=dict)

    @classmethod
    def of(cls, saved: SavedPredictions, store: Store) -> _Later:
        """Those in a store."""
        stored_at = store.stored_at(saved.study)
        wanted = {item.configuration.unbatched for item in saved.items}
        made: dict[Configuration, list[_Made]] = {}
        before = []
        for one in all_measurements(store, saved.task):
            if one.study != saved.study:
                continue
            key, at = one.configuration.unbatched, one.created_at or stored_at.get(one.key)
            # What was made elsewhere may have been known before it was stored; what is built in
            # was there.
            if (
                one.key in stored_at
                and at is not None
                and _utc(at) > saved.created_at
                and stored_at[one.key] > saved.created_at
            ):
                if key in wanted and one.source == "measured":
                    made.setdefault(key, []).append(_Made(one, _utc(at)))
            else:
                before.append(one)
        return cls(
            saved,
            store,
            {key: sorted(found, key=lambda one: one.at) for key, found in made.items()},
            before,
        )

    def score(self, item: Prediction, measured: Measurement) -> Score | None:
        """The score of predicted errors; None if nothing measured is comparable."""
        key = item.configuration.key, measured.key
        if key not in self._scores:
            self._scores[key] = self._scored(item, measured)
        return self._scores[key]

    def _scored(self, item: Prediction, measured: Measurement) -> Score | None:
        predicted = item.predictions[measured.metric.name]
        if predicted.basis not in PREDICTED:
            return level_score(predicted, measured.metric)
        known = {m.key: m for m in self.before}
        for ratios in self.saved.ratios:
            ratio = ratios[self.saved.items.index(item)]
            anchor = known.get(ratio.measurement)
            found = None if anchor is None else ratio_between(measured, anchor)
            if found is not None:
                return ratio_score(ratio, found)
        if measured.ended is not None:
            return None
        heard = self.store.utterances(measured.key)
        audio = {r.audio_sha256 for r in heard if r.audio_sha256 is not None}
        if is_fresh(audio, set(measured.speakers), self.before, self.store):
            return level_score(predicted, measured.metric)
        return None

    @cached_property
    def model(self) -> DeviceModel:
        """The device as it is known now: it moves a time from one recording to another."""
        device = self.saved.device
        assert device is not None
        measured = all_measurements(self.store, self.saved.task)
        known = device_evidence([*measured, *all_device_timings(self.store)])
        return model_of(device, known)


def _judged(
    saved: SavedPredictions, item: Prediction, later: _Later
) -> tuple[dict[str, Judgement], dict[str, str]]:
    found: dict[str, Judgement] = {}
    waiting: dict[str, str] = {}
    for quantity in (*_QUALITY, *_ON_DEVICE, *_COUNTED):
        if quantity not in item.predictions:
            continue
        made = _measured(saved, item, quantity, later)
        if isinstance(made, str):
            waiting[quantity] = made
        else:
            found[quantity] = made
    return found, waiting


def _measured(
    saved: SavedPredictions, item: Prediction, quantity: Quantity, later: _Later
) -> Judgement | str:
    """The verdict on a prediction, or why there is none."""
    configuration = item.configuration
    why = ""
    for made in later.made.get(configuration.unbatched, ()):
        value = _value(saved, item, quantity, made.measurement, later)
        if isinstance(value, float):
            return _judgement(saved, item, quantity, made, value, later)
        why = why or value
    if why:
        return why
    if any(
        m.source == "measured" and m.configuration.unbatched == configuration.unbatched
        for m in later.before
    ):
        return "measured only before it was predicted"
    return "not measured yet"


def _value(
    saved: SavedPredictions,
    item: Prediction,
    quantity: Quantity,
    measured: Measurement,
    later: _Later,
) -> float | str:
    """What a measurement says of a quantity, or why it says nothing."""
    if quantity in _QUALITY:
        if not saved.of_study:
            return "predicted for other recordings than the study's"
        if later.score(item, measured) is None:
            return (
                "measured on speech or speakers that the study knew, where nothing was measured"
                " on all of it before"
            )
        return measured.metric.value
    if quantity in _COUNTED:
        per_utterance = quantity == "gflops_per_utterance"
        flops = measured.flops_counted if per_utterance else measured.flops_per_audio_s
        if not saved.of_study or saved.convention != "counted-1" or flops is None:
            return "not counted"
        return flops / 1e9
    return _value_on_device(saved, item, quantity, measured, later)


def _value_on_device(
    saved: SavedPredictions,
    item: Prediction,
    quantity: Quantity,
    measured: Measurement,
    later: _Later,
) -> float | str:
    configuration, device = item.configuration, measured.device
    if saved.device is None:
        return "predicted for no device"
    if measured.configuration != configuration:
        return f"measured with batch {measured.configuration.batch_size} only"
    if device is None or device.id != saved.device:
        return f"not measured on {saved.device}"
    if quantity == "memory_gib":
        if device.kind == "cuda":
            return "measured without the CUDA context"
        peak = measured.peak_memory_bytes
        return "memory was not measured" if peak is None else peak / GIB
    if not measured.timings:
        return "not timed"
    if slowed := contention(measured.others_cpu_share, measured.processor_speed):
        return f"timed while {slowed}"
    workload = saved.workload
    recordings = recordings_of(measured.timings)
    if quantity in _LATENCY:
        duration_s = workload.duration_at(_SHARE[quantity])
        own = [min(recordings, key=lambda one: abs(one[0].audio_s / duration_s - 1))]
        there_s = _expected_s(item, workload.only(duration_s), later.model)
        return there_s * slower(configuration, own, later.model)
    rtf = _expected_s(item, workload, later.model) / timed_audio_s(configuration, workload)
    rtf *= slower(configuration, recordings, later.model)
    if quantity == "rtf":
        return rtf
    joules, total = measured.joules_per_audio_second, measured.rtf.get("total")
    return "energy was not measured" if not joules or not total else joules * rtf / total


def _expected_s(item: Prediction, workload: Workload, model: DeviceModel) -> float:
    """Seconds that the device's fit says of a recording of a workload, the mean."""
    phases = rtf_by_phase(item.configuration, workload, model, item.costs.retries)
    return sum(phases.values()) * timed_audio_s(item.configuration, workload)


def _judgement(
    saved: SavedPredictions,
    item: Prediction,
    quantity: Quantity,
    made: _Made,
    value: float,
    later: _Later,
) -> Judgement:
    predicted = item.predictions[quantity]
    inside: bool | None
    found = later.score(item, made.measurement) if quantity in _QUALITY else None
    if quantity in _COUNTED:
        inside = None
    elif found is not None:
        inside = found.inside
    else:
        inside = predicted.lower <= value <= predicted.upper
    errors = quantity == "ua"
    mean, of = (1 - predicted.mean, 1 - value) if errors else (predicted.mean, value)
    return Judgement(
        key=judgement_key(saved, item, quantity),
        quantity=quantity,
        study=saved.study,
        configuration=item.configuration,
        device=saved.device if quantity in _ON_DEVICE else None,
        predicted=predicted,
        predicted_at=saved.created_at,
        measurement=made.measurement.key,
        measured_at=made.at,
        measured=value,
        ratio=of / mean if mean else 1.0,
        inside=inside,
        score=found,
        note=_note(quantity, predicted.basis, made, found),
    )


def _note(quantity: Quantity, basis: str, made: _Made, found: Score | None) -> str | None:
    said = list(_notes(quantity, basis, made, found))
    return "; ".join(said) or None


def _notes(
    quantity: Quantity, basis: Literal["measured"] | str, made: _Made, found: Score | None
) -> Iterator[str]:
    if found is not None and found.to is not None:
        yield (
            f"judged relative to {found.to.label()} on the same utterances:"
            f" {found.predicted.mean:.3g} times its errors were predicted"
            f" ({found.predicted.lower:.3g} to {found.predicted.upper:.3g}),"
            f" {found.measured:.3g} times were measured"
        )
    if basis in ("measured", "published"):
        yield f"was {basis} when it was predicted: it counts for no interval"
    if quantity in _COUNTED:
        yield "counted, of the recordings that were run"
    if quantity in ("rtf", *_LATENCY, "joules_per_audio_second"):
        yield "moved from the recordings that were timed to those that were predicted"
    if made.measurement.created_at is None:
        yield "the measurement does not say when it was made: when it was stored counts"


def _utc(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)
