"""Measured curves: the metric along one axis, everything else at the centre."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from measurements.comparison import Comparison, ComparisonError, compare
from measurements.records import Measurement, Metric, Record
from models_registry import Configuration

AXES = (
    "window_s",
    "tail_s",
    "token_stride",
    "reduction_layer",
    "exit_layer",
    "rank",
    "unfrozen_layers",
    "adapter",
    "recipe",
    "readout",
    "precision",
    "window_policy",
)
"""What curves are drawn along; a configuration's fields."""

_WITHIN = ("tail_s", "rank", "recipe")
"""Axes that mean nothing to a plain model: their curves don't pass through the centre."""

_REDUCTION = ("token_stride", "reduction_layer", "reduction")

_PLAIN: dict[str, object] = {"adapter": "none", "rank": None, "unfrozen_layers": 0, "recipe": None}


class CurvePoint(Record):
    """One measurement on a curve.

    Attributes:
        value: Where on the axis.
        key: Key of the measurement.
        configuration: What was run.
        metric: How well.
        comparison: Against the reference; none for itself, or without errors by utterance.
        flops: FLOPs of an utterance, under ``counted-1``.
        flops_ratio: The same, as a share of the reference's.
        rtf: Seconds of computing per second of audio, where it was timed on the curve's
            device.
        utterances: How many were measured.
        insertions: Words too many (ASR).
        windows: Windows that the speech was cut into (ASR).
        retried: Those that ran away and were run again in the full window.
        trainable_parameters: Of its adapter.
        command: What repeats it.
        adapter_command: What trains its adapter before; none without one, or where the
            command trains it too.
    """

    value: float | str
    key: str
    configuration: Configuration
    metric: Metric
    comparison: Comparison | None
    flops: float | None
    flops_ratio: float | None
    rtf: float | None
    utterances: int | None
    insertions: int | None
    windows: int | None
    retried: int | None
    trainable_parameters: int | None
    command: str
    adapter_command: str | None


class MeasuredCurve(Record):
    """The measurements of one model along one axis, on the same speech.

    Attributes:
        study: Study they belong to.
        model: The model.
        axis: Name of the axis.
        at: What the others are held at.
        reference: Key of the measurement that the others are compared with.
        against: What that is; it need not be on the curve.
        fingerprint: Of the speech.
        device: Where the reference ran; what is right on one device is on another.
        points: In the order of the axis.
    """

    study: str
    model: str
    axis: str
    at: str
    reference: str
    against: str
    fingerprint: str | None
    device: str | None
    points: tuple[CurvePoint, ...]


def measured_curves(
    measurements: Iterable[Measurement],
    *,
    axes: Sequence[str] = (),
    model: str | None = None,
    seed: int = 0,
) -> list[MeasuredCurve]:
    """The curves through a study's star: one axis moves, the others stay at the centre.

    The centre is the plain model in its full window; where that was not measured, the
    configuration from which most others differ in one axis alone. Strides are curves of
    their own for each layer that they act after; the silence behind speech and ranks have a
    curve wherever two of them were measured, and recipes wherever what they adapt was measured
    without them too, compared with the centre all the same. A precision is another arithmetic
    on a GPU than on a processor, so each kind of device has curves of its own.

    Args:
        measurements: Of one study; published ones are left out.
        axes: Only these; all when left out.
        model: Only this one.
        seed: Seed of the paired intervals.
    """
    groups: dict[tuple[str, str], dict[str | None, list[Measurement]]] = {}
    for m in measurements:
        if m.source == "measured" and model in (None, m.configuration.model):
            kind = m.device.kind if m.device else ""
            speech = groups.setdefault((m.configuration.model, kind), {})
            speech.setdefault(m.dataset.fingerprint, []).append(m)
    curves = []
    for by_speech in groups.values():
        # Of several sets of utterances, that on which most was measured.
        group = max(
            map(_newest, by_speech.values()), key=lambda g: (len(g), g[0].dataset.utterances or 0)
        )
        centre = _centre(group)
        compared: dict[str, Comparison | None] = {}
        for axis in axes or AXES:
            for members in _along(axis, centre, group):
                for m in members:
                    if m.key != centre.key and m.key not in compared:
                        compared[m.key] = _compared(centre, m, seed)
                curves.append(_curve(axis, centre, members, compared))
    return curves


def _newest(group: Sequence[Measurement]) -> list[Measurement]:
    """Of each configuration its last measurement, a timed one before others.

    An earlier one had another protocol or ran on another device.
    """
    began = datetime.min.replace(tzinfo=UTC)
    ranked = sorted(group, key=lambda m: (bool(m.rtf), m.created_at or began))
    return list({m.configuration: m for m in ranked}.values())


def _centre(group: Sequence[Measurement]) -> Measurement:
    first = group[0].configuration
    plain = Configuration(task=first.task, model=first.model)
    for m in group:
        if m.configuration == plain:
            return m
    same_fields = ("reduction_layer", "recipe")
    rest_of = [
        {axis: _rest(m.configuration, _fields(axis)) for axis in AXES if axis not in same_fields}
        for m in group
    ]
    count = Counter((axis, rest) for rests in rest_of for axis, rest in rests.items())
    neighbours = [sum(count[item] for item in rests.items()) for rests in rest_of]
    place = max(range(len(group)), key=lambda i: (neighbours[i], group[i].flops_counted or 0))
    return group[place]


def _along(
    axis: str, centre: Measurement, group: Sequence[Measurement]
) -> Iterator[list[Measurement]]:
    """Members of each curve along an axis, two at least, in its order."""
    fields = _fields(axis)
    if axis in _WITHIN:
        groups: dict[str, list[Measurement]] = {}
        for m in group:
            if axis != "rank" or m.configuration.rank is not None:
                groups.setdefault(_rest(m.configuration, fields), []).append(m)
        for _, members in sorted(groups.items()):
            if axis == "recipe" and not _tells_recipes_apart(members, centre):
                continue
            if len(members) > 1:
                yield _ordered(axis, members)
        return
    rest = _rest(centre.configuration, fields)
    alike = [m for m in group if _rest(m.configuration, fields) == rest]
    if axis != "token_stride":
        members = _ordered(axis, alike)
        if len(members) > 1:
            yield members
        return
    own = centre.configuration.token_stride == 1
    places = {
        (m.configuration.reduction_layer, m.configuration.reduction)
        for m in alike
        if m.configuration.token_stride > 1
    }
    for place in sorted(places, key=str):
        members = [
            m
            for m in alike
            if m.configuration.token_stride == 1
            or (m.configuration.reduction_layer, m.configuration.reduction) == place
        ]
        if len(members) > 1 and (own or centre in members):
            yield _ordered(axis, members)


def _tells_recipes_apart(members: Sequence[Measurement], centre: Measurement) -> bool:
    """Whether recipes are what these differ in; about the centre, adapters have a curve."""
    recipes = {m.configuration.recipe for m in members}
    return len(recipes) > (2 if centre in members else 1)


def _ordered(axis: str, members: Sequence[Measurement]) -> list[Measurement]:
    if axis == "recipe":
        return sorted(members, key=lambda m: _adaptation(m.configuration))
    return sorted(members, key=lambda m: (isinstance(v := _value(axis, m.configuration), str), v))


def _fields(axis: str) -> tuple[str, ...]:
    if axis == "token_stride":
        return _REDUCTION
    return tuple(_PLAIN) if axis in ("adapter", "recipe") else (axis,)


def _adaptation(configuration: Configuration) -> tuple[str, str, int, int]:
    """Adapters in their order, a plain model before them."""
    c = configuration
    return c.recipe or "", c.adapter, c.rank or 0, c.unfrozen_layers


def _rest(configuration: Configuration, fields: Sequence[str]) -> str:
    """Everything but an axis' fields."""
    return configuration.model_dump_json(exclude=set(fields))


def _value(axis: str, configuration: Configuration) -> float | str:
    if axis == "recipe" and configuration.recipe is not None:
        rank = f" rank {configuration.rank}" if configuration.rank else ""
        return f"{configuration.adapter}{rank}, {configuration.recipe}"
    if axis == "recipe":
        return "none"
    value = configuration.silence_s if axis == "tail_s" else getattr(configuration, axis)
    if value is None and axis in ("exit_layer", "reduction_layer"):
        value = configuration.architecture.encoder_layers
    return value if isinstance(value, str) else float(value or 0)


def _compared(centre: Measurement, m: Measurement, seed: int) -> Comparison | None:
    try:
        return compare(centre, m, seed=seed, test=False)
    except ComparisonError:
        return None


def _curve(
    axis: str,
    centre: Measurement,
    members: Sequence[Measurement],
    compared: dict[str, Comparison | None],
) -> MeasuredCurve:
    layer = next((m.configuration for m in members if m.configuration.token_stride > 1), None)
    at = centre.configuration.label()
    if axis == "recipe":
        at = members[0].configuration.model_copy(update=_PLAIN).label()
    elif axis in _WITHIN:
        at = members[0].configuration.model_copy(update={axis: None}).label()
    if axis == "token_stride" and layer is not None:
        at += f"; strides after layer {layer.reduction_layer}"
        at += ", picked" if layer.reduction == "pick" else ""
    return MeasuredCurve(
        study=centre.study,
        model=centre.configuration.model,
        axis=axis,
        at=at,
        reference=centre.key,
        against=centre.configuration.label(),
        fingerprint=centre.dataset.fingerprint,
        device=centre.device.id if centre.device else None,
        points=tuple(
            CurvePoint(
                value=_value(axis, m.configuration),
                key=m.key,
                configuration=m.configuration,
                metric=m.metric,
                comparison=compared.get(m.key),
                flops=m.flops_counted,
                flops_ratio=(
                    m.flops_counted / centre.flops_counted
                    if m.flops_counted and centre.flops_counted
                    else None
                ),
                rtf=m.rtf.get("total") if m.device == centre.device else None,
                utterances=m.dataset.utterances,
                insertions=m.errors.insertions if m.errors else None,
                windows=m.windows,
                retried=m.retried,
                trainable_parameters=m.adapter.trainable_parameters if m.adapter else None,
                command=m.provenance,
                adapter_command=m.adapter.command if m.adapter else None,
            )
            for m in members
        ),
    )
