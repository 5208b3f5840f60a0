"""Charts, as Vega-Lite specifications.

Written out: Altair, which would check them, is 25 MB and a third of a second of a service that
needs it for four of them. Rows are put in beside. Colours and fonts are named by style and left
to what draws it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from measurements.measured_curves import MeasuredCurve
    from measurements.records import Measurement, Metric
    from measurements.verification_records import Run, Verification
    from planner.answer import Front

SUFFIXES = (".png", ".svg", ".json")

Width = int | Literal["container"]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.4.1.json"

PAPER: dict[str, Any] = {
    "legend": {"labelLimit": 0, "columns": 4},
    "style": {
        "knee": {"color": "black"},
        "chosen": {"color": "#c2410c"},
        "limit": {"color": "#c2410c"},
        "guide": {"color": "#888888"},
    },
}
"""How charts are coloured in a file."""

_LABEL = "format(datum.value, datum.value < 1000 ? '~g' : '~s')"
"""Thousands are said as such; small numbers are not, since 10m is no RTF."""

_LEGEND = {"orient": "bottom", "symbolOpacity": 1}

_BASES = ("measured", "published", "interpolated", "extrapolated")


class ChartError(ValueError):
    """A chart that can't be drawn, and why."""


def curves_chart(curves: Sequence[MeasuredCurve]) -> dict[str, Any]:
    """Measured curves with their intervals, a panel for each axis.

    Args:
        curves: What to draw.

    Raises:
        ChartError: There is nothing to draw.
    """
    if not curves:
        raise ChartError("there is no curve to draw")
    panels = []
    for axis in dict.fromkeys(curve.axis for curve in curves):
        panel = axis_chart([curve for curve in curves if curve.axis == axis])
        panel["data"] = {"values": panel.pop("datasets")["curve"]}
        del panel["$schema"]
        panels.append({**panel, "title": axis})
    return {"$schema": SCHEMA, "vconcat": panels, "resolve": {"scale": {"color": "independent"}}}


def axis_chart(curves: Sequence[MeasuredCurve], *, width: Width = 360) -> dict[str, Any]:
    """Measured curves along one axis with their intervals: a band where it is a number.

    Args:
        curves: At least one, all along the same axis.
        width: In pixels, or that of what it is put into.
    """
    rows = [row for curve in curves for row in _rows(curve)]
    numeric = all(isinstance(row["value"], float) for row in rows)
    spec = _axis_spec(curves[0].axis, rows[0]["name"], numeric, width)
    return _filled(spec, curve=rows)


def _axis_spec(axis: str, name: str, numeric: bool, width: Width) -> dict[str, Any]:
    if numeric:
        along = {"x": channel("value:Q", title=axis, scale={"zero": False})}
    else:
        along = {
            "x": channel(
                "value:N",
                title=axis,
                sort=None,
                axis={"labelAngle": 0, "labelExpr": "split(datum.value, ', ')"},
            ),
            "xOffset": channel("curve:N"),
        }
    along["color"] = channel("curve:N", title=None, legend={**_LEGEND, "columns": 1})
    title = f"{name.upper()} %"
    ends = {**along, "y": channel("lower:Q", title=title), "y2": {"field": "upper"}}
    points = {
        **along,
        "y": channel("percent:Q", title=title, scale={"zero": False}),
        "tooltip": [
            channel("curve:N", title="curve"),
            channel("value:Q" if numeric else "value:N", title=axis),
            channel("said:N", title=name.upper()),
            channel("utterances:Q", title="utterances"),
            channel("source:N", title="source"),
            channel("key:N", title="measurement"),
            channel("command:N", title="provenance"),
        ],
    }
    if numeric:
        layers = [
            layer("area", ends, opacity=0.08),
            layer("rule", ends, opacity=0.3),
            layer("line", points, point={"size": 50}),
        ]
    else:
        layers = [layer("rule", ends, opacity=0.6), layer("point", points)]
    return _spec(layers, width, 240, data={"name": "curve"})


def front_chart(
    front: Front,
    *,
    chosen: tuple[str, float, float] | None = None,
    limits: Mapping[str, float] | None = None,
    width: Width = 560,
) -> dict[str, Any]:
    """A Pareto front with its intervals, its knee marked.

    Args:
        front: What to draw.
        chosen: Label and place of the point that was chosen.
        limits: Bounds by cost or metric; those of the two axes are drawn as lines.
        width: In pixels, or that of what it is put into.
    """
    rows = [
        {
            "x": point.x.mean,
            "y": point.y.mean,
            "lower": point.y.lower,
            "upper": point.y.upper,
            "configuration": point.configuration.label(),
            "basis": point.basis,
            "knee": place == front.knee,
        }
        for place, point in enumerate(front.points)
    ]
    data: dict[str, list[dict[str, Any]]] = {"front": rows}
    if chosen is not None:
        label, x, y = chosen
        data["chosen"] = [{"configuration": label, "x": x, "y": y, "is": "the choice"}]
    for side, name in (("x", front.x), ("y", front.y)):
        if (bound := (limits or {}).get(name)) is not None:
            data[f"limit_{side}"] = [{side: bound, "is": f"{name} at most {bound:g}"}]
            if name == "ua":
                data[f"limit_{side}"][0]["is"] = f"{name} at least {bound:g}"
    spec = _front_spec(front.x, front.x_unit, front.y, front.y_unit, data, width)
    return _filled(spec, **data)


def _front_spec(
    x: str, x_unit: str, y: str, y_unit: str, names: Iterable[str], width: Width
) -> dict[str, Any]:
    def side(field: str, name: str, unit: str) -> dict[str, Any]:
        if unit == "fraction":
            scale, axis = {"zero": False, "nice": False}, {"format": "%"}
            return channel(f"{field}:Q", title=name.upper(), scale=scale, axis=axis)
        return channel(
            f"{field}:Q",
            title=f"{name.replace('_', ' ')}, {unit}",
            scale={"type": "log", "nice": False},
            axis={"labelExpr": _LABEL},
        )

    def shown(field: str, title: str, unit: str) -> dict[str, Any]:
        form = {"fraction": ".2%", "parameters": ".4~s"}.get(unit, ".4~g")
        return channel(field, title=title, format=form)

    across, up, shown_x = side("x", x, x_unit), side("y", y, y_unit), shown("x:Q", x, x_unit)
    base = {
        "x": across,
        "y": up,
        "tooltip": [
            channel("configuration:N"),
            shown_x,
            shown("y:Q", y, y_unit),
            shown("lower:Q", "from", y_unit),
            shown("upper:Q", "to", y_unit),
            channel("basis:N"),
        ],
    }
    ends = {**base, "y": side("lower", y, y_unit), "y2": {"field": "upper"}}
    by_basis = channel("basis:N", title=None, legend=_LEGEND, scale={"domain": list(_BASES)})
    knee = layer("point", base, size=200, shape="diamond", style="knee")
    chosen = [channel("is:N"), channel("configuration:N"), shown_x, channel("y:Q")]
    rule = {"strokeDash": [6, 4], "strokeWidth": 1.5, "style": "limit"}
    layers = {
        "front": [
            layer("rule", ends, opacity=0.4),
            layer("line", base, interpolate="step-after", opacity=0.6),
            layer("point", {**base, "color": by_basis}, filled=True, size=50),
            {**knee, "transform": [{"filter": "datum.knee"}]},
        ],
        "chosen": [
            layer(
                "point",
                {"x": across, "y": up, "tooltip": chosen},
                size=220,
                shape="circle",
                strokeWidth=3,
                style="chosen",
            )
        ],
        "limit_x": [layer("rule", {"x": across, "tooltip": [channel("is:N")]}, **rule)],
        "limit_y": [layer("rule", {"y": up, "tooltip": [channel("is:N")]}, **rule)],
    }
    drawn = [{"data": {"name": name}, **one} for name in names for one in layers[name]]
    return _spec(drawn, width, 340)


def measurements_chart(
    measurements: Iterable[Measurement], *, width: Width = 560
) -> dict[str, Any]:
    """Every measurement of a study over the size of its model (xN).

    Args:
        measurements: At least one, all with the same metric.
        width: In pixels, or that of what it is put into.
    """
    rows = [
        {
            "parameters": m.configuration.architecture.parameters,
            **_quality(m.metric),
            "configuration": m.configuration.label(),
            "utterances": m.dataset.utterances,
            "source": m.source,
            "key": m.key[:12],
            "command": m.provenance,
        }
        for m in measurements
    ]
    return _filled(_measurements_spec(rows[0]["name"], width), measured=rows)


def _measurements_spec(name: str, width: Width) -> dict[str, Any]:
    title = f"{name.upper()} %"
    base = {
        "x": channel(
            "parameters:Q",
            title="parameters (xN)",
            scale={"type": "log", "padding": 20},
            axis={"format": "~s", "tickCount": 6},
        ),
        "color": channel("source:N", title=None, legend=_LEGEND),
        "tooltip": [
            channel("configuration:N"),
            channel("said:N", title=name.upper()),
            channel("utterances:Q"),
            channel("source:N"),
            channel("key:N", title="measurement"),
            channel("command:N", title="provenance"),
        ],
    }
    ends = {**base, "y": channel("lower:Q", title=title), "y2": {"field": "upper"}}
    points = {**base, "y": channel("percent:Q", title=title, scale={"zero": False})}
    layers = [layer("rule", ends, opacity=0.25), layer("point", points, size=40)]
    return _spec(layers, width, 260, data={"name": "measured"})


def verified_chart(
    verified: Iterable[tuple[Verification, Run]], *, width: Width = 560
) -> dict[str, Any]:
    """Predicted against measured error of every verified prediction.

    Args:
        verified: Verifications and their runs, at least one.
        width: In pixels, or that of what it is put into.
    """
    rows = []
    for verification, run in verified:
        ends = [run.predicted.mean, run.predicted.lower, run.predicted.upper]
        measured = run.measured.value
        if run.measured.name == "ua":
            ends, measured = [1 - ends[0], 1 - ends[2], 1 - ends[1]], 1 - measured
        rows.append(
            {
                "predicted": 100 * ends[0],
                "lower": 100 * ends[1],
                "upper": 100 * ends[2],
                "measured": 100 * measured,
                "inside": "inside" if run.inside else "outside",
                "configuration": run.configuration.label(),
                "study": verification.study,
                "basis": run.predicted.basis,
                "key": run.measurement[:12],
            }
        )
    values = [row[end] for row in rows for end in ("lower", "upper", "measured")]
    diagonal = [{"at": value} for value in (min(values), max(values))]
    return _filled(_verified_spec(width), verified=rows, diagonal=diagonal)


def _verified_spec(width: Width) -> dict[str, Any]:
    title = "predicted error %"
    base = {
        "y": channel("measured:Q", title="measured error %", scale={"zero": False}),
        "color": channel(
            "inside:N", title=None, legend=_LEGEND, scale={"domain": ["inside", "outside"]}
        ),
        "tooltip": [
            channel("configuration:N"),
            channel("study:N"),
            *(
                channel(f"{name}:Q", format=".2f")
                for name in ("predicted", "lower", "upper", "measured")
            ),
            channel("basis:N"),
            channel("inside:N"),
            channel("key:N", title="measurement"),
        ],
    }
    equal = {"x": channel("at:Q", title=title), "y": channel("at:Q")}
    ends = {**base, "x": channel("lower:Q", title=title), "x2": {"field": "upper"}}
    points = {**base, "x": channel("predicted:Q", title=title, scale={"zero": False})}
    own = {"data": {"name": "verified"}}
    layers = [
        {"data": {"name": "diagonal"}, **layer("line", equal, strokeDash=[4, 4], style="guide")},
        {**own, **layer("rule", ends, opacity=0.6)},
        {**own, **layer("point", points, filled=True, size=70)},
    ]
    return _spec(layers, width, 300)


def draw(chart: dict[str, Any], path: Path) -> None:
    """Writes a chart as PNG, SVG or Vega-Lite JSON, by the file's name.

    Raises:
        ChartError: The name has another ending, or a library is not installed.
    """
    if path.suffix not in SUFFIXES:
        raise ChartError(f"{path}: a chart's name ends in {', '.join(SUFFIXES)}")
    chart = {**chart, "config": {**chart.get("config", {}), **PAPER}}
    if path.suffix == ".json":
        content = json.dumps(chart, indent=1).encode()
    else:
        try:
            import vl_convert
        except ImportError:
            raise ChartError("charts need vl-convert: pip install 'speechplan[plots]'") from None
        if path.suffix == ".png":
            content = vl_convert.vegalite_to_png(chart, scale=2)
        else:
            content = vl_convert.vegalite_to_svg(chart).encode()
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ChartError(f"{path}: {error.strerror}") from None


def channel(said: str, **how: Any) -> dict[str, Any]:
    """How a field is shown, said as ``name:Q`` for a quantity or ``name:N`` for a name."""
    field, _, kind = said.partition(":")
    return {"field": field, "type": {"Q": "quantitative", "N": "nominal"}[kind], **how}


def layer(mark: str, encoding: dict[str, Any], **how: Any) -> dict[str, Any]:
    """Rows drawn by one kind of mark."""
    return {"mark": {"type": mark, **how}, "encoding": encoding}


def _spec(
    layers: Sequence[dict[str, Any]], width: Width, height: int, **above: Any
) -> dict[str, Any]:
    if width == "container":
        above["autosize"] = {"type": "fit-x", "contains": "padding"}
    return {"$schema": SCHEMA, **above, "layer": layers, "width": width, "height": height}


def _filled(spec: dict[str, Any], **data: list[dict[str, Any]]) -> dict[str, Any]:
    return {**spec, "datasets": data}


def _quality(metric: Metric) -> dict[str, Any]:
    """A metric in percent; an interval of its own length where it has none."""
    lower = metric.value if metric.lower is None else metric.lower
    upper = metric.value if metric.upper is None else metric.upper
    said = f"{100 * metric.value:.2f} %"
    if metric.lower is not None and metric.level is not None:
        said += f" ({100 * lower:.2f} to {100 * upper:.2f} at {metric.level:.0%})"
    return {
        "name": metric.name,
        "percent": 100 * metric.value,
        "lower": 100 * lower,
        "upper": 100 * upper,
        "said": said,
    }


def _rows(curve: MeasuredCurve) -> list[dict[str, Any]]:
    return [
        {
            "curve": curve.at,
            "value": point.value,
            **_quality(point.metric),
            "key": point.key[:12],
            "utterances": point.utterances,
            "source": "measured",
            "command": point.command,
        }
        for point in curve.points
    ]
