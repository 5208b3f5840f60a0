"""Charts, as Vega-Lite specifications made by Altair."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from measurements.measured_curves import MeasuredCurve
    from planner.answer import Front

SUFFIXES = (".png", ".svg", ".json")


class ChartError(ValueError):
    """A chart that can't be drawn, and why."""


def curves_chart(curves: Sequence[MeasuredCurve]) -> dict[str, Any]:
    """Measured curves with their intervals, a panel for each axis.

    Args:
        curves: What to draw.

    Raises:
        ChartError: There is nothing to draw, or Altair is not installed.
    """
    alt = _altair()
    if not curves:
        raise ChartError("there is no curve to draw")
    panels = []
    legend = alt.Legend(orient="bottom", columns=1, labelLimit=0)
    for axis in dict.fromkeys(curve.axis for curve in curves):
        rows = [row for curve in curves if curve.axis == axis for row in _rows(curve)]
        numeric = all(isinstance(row["value"], float) for row in rows)
        base = alt.Chart(alt.Data(values=rows)).encode(
            x=alt.X("value:Q", title=axis).scale(zero=False)
            if numeric
            else alt.X("value:N", title=axis),
            color=alt.Color("curve:N", title=None, legend=legend),
        )
        name = rows[0]["name"]
        line = base.mark_line(point=True).encode(
            y=alt.Y("percent:Q", title=f"{name.upper()} %").scale(zero=False),
            tooltip=["curve:N", "value:N", "percent:Q", "key:N"],
        )
        bars = base.mark_rule(opacity=0.5).encode(y="lower:Q", y2="upper:Q")
        panels.append((bars + line).properties(width=360, height=240, title=axis))
    chart: dict[str, Any] = alt.vconcat(*panels).resolve_scale(color="independent").to_dict()
    return chart


def front_chart(front: Front) -> dict[str, Any]:
    """A Pareto front with its intervals, its knee marked.

    Args:
        front: What to draw.

    Raises:
        ChartError: Altair is not installed.
    """
    alt = _altair()
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

    def scale(unit: str) -> Any:
        return alt.Scale(type="linear" if unit == "fraction" else "log", zero=False, nice=False)

    def axis(unit: str) -> Any:
        return alt.Axis(format="%") if unit == "fraction" else alt.Axis(format="~s")

    x_title, y_title = (
        name.upper() if unit == "fraction" else f"{name}, {unit}"
        for name, unit in ((front.x, front.x_unit), (front.y, front.y_unit))
    )
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("x:Q", title=x_title, scale=scale(front.x_unit), axis=axis(front.x_unit)),
        y=alt.Y("y:Q", title=y_title, scale=scale(front.y_unit), axis=axis(front.y_unit)),
        tooltip=["configuration:N", "x:Q", "y:Q", "lower:Q", "upper:Q", "basis:N"],
    )
    knee = base.transform_filter("datum.knee").mark_point(size=200, shape="diamond", color="black")
    chart: dict[str, Any] = (
        (
            base.mark_rule(opacity=0.4).encode(y="lower:Q", y2="upper:Q")
            + base.mark_line(interpolate="step-after", opacity=0.6)
            + base.mark_point(filled=True, size=50).encode(
                color=alt.Color("basis:N", title=None, legend=alt.Legend(orient="bottom"))
            )
            + knee
        )
        .properties(width=560, height=340)
        .to_dict()
    )
    return chart


def draw(chart: dict[str, Any], path: Path) -> None:
    """Writes a chart as PNG, SVG or Vega-Lite JSON, by the file's name.

    Raises:
        ChartError: The name has another ending, or a library is not installed.
    """
    if path.suffix not in SUFFIXES:
        raise ChartError(f"{path}: a chart's name ends in {', '.join(SUFFIXES)}")
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


def _altair() -> ModuleType:
    try:
        import altair
    except ImportError:
        raise ChartError("charts need Altair: pip install 'speechplan[plots]'") from None
    return altair


def _rows(curve: MeasuredCurve) -> list[dict[str, Any]]:
    return [
        {
            "curve": curve.at,
            "value": point.value,
            "name": point.metric.name,
            "percent": 100 * point.metric.value,
            "lower": 100 * (point.metric.value if (low := point.metric.lower) is None else low),
            "upper": 100 * (point.metric.value if (high := point.metric.upper) is None else high),
            "key": point.key[:12],
        }
        for point in curve.points
    ]
