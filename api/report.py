"""Measured curves as one HTML file: charts and tables, nothing to load and no script."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.charts import ChartError, axis_chart

if TYPE_CHECKING:
    from measurements.measured_curves import CurvePoint, MeasuredCurve
    from measurements.records import Metric

_INK: dict[str, Any] = {
    "background": None,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "tickColor": "currentColor",
        "domainColor": "currentColor",
        "gridColor": "currentColor",
        "gridOpacity": 0.15,
    },
    "legend": {"labelColor": "currentColor", "titleColor": "currentColor", "labelLimit": 0},
    "range": {"category": ["#3b82c4", "#d9772b", "#3f9d6b", "#c2528b", "#8a6fc9", "#8c8c8c"]},
}
"""Axes in the colour of the page's text; marks that are seen on light and on dark."""


def write_report(curves: Sequence[MeasuredCurve], path: Path, *, title: str) -> None:
    """Writes curves with their charts, tables and provenance.

    Args:
        curves: What to show, in the order to show it in.
        path: An ``.html`` file.
        title: Of the page.

    Raises:
        ChartError: There is nothing to show, vl-convert is not installed, or the
            file can't be written.
    """
    if path.suffix != ".html":
        raise ChartError(f"{path}: a report's name ends in .html")
    if not curves:
        raise ChartError("nothing was measured along such an axis: see 'speechplan sweep'")
    import jinja2

    here = jinja2.FileSystemLoader(Path(__file__).parent)
    template = jinja2.Environment(loader=here, autoescape=True).get_template("report.html.jinja")
    page = template.render(
        title=title,
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        version=version("speechplan"),
        curves=[_shown(curve) for curve in curves],
    )
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ChartError(f"{path}: {error.strerror}") from None


def _shown(curve: MeasuredCurve) -> dict[str, Any]:
    name = curve.points[0].metric.name.upper()
    return {
        "curve": curve,
        "metric": name,
        "svg": _svg(curve),
        "alt": f"{name} of {curve.model} along {curve.axis}; the table below has its numbers",
        "points": [_row(curve, point) for point in curve.points],
    }


def _svg(curve: MeasuredCurve) -> str:
    try:
        import vl_convert
    except ImportError:
        raise ChartError("charts need vl-convert: pip install 'speechplan[plots]'") from None
    chart = axis_chart([curve])
    found: str = vl_convert.vegalite_to_svg({**chart, "config": _INK})
    return found


def _row(curve: MeasuredCurve, point: CurvePoint) -> dict[str, Any]:
    difference = ""
    if point.comparison is not None:
        side = point.comparison.surest
        difference = (
            f"{100 * point.comparison.difference:+.2f}"
            f" ({100 * side.lower:+.2f} to {100 * side.upper:+.2f} at {side.level:.0%})"
        )
    elif point.key == curve.reference:
        difference = "the centre"
    return {
        "point": point,
        "value": point.value if isinstance(point.value, str) else f"{point.value:g}",
        "metric": f"{100 * point.metric.value:.2f}",
        "interval": _interval(point.metric),
        "difference": difference,
        "gflops": "" if point.flops is None else f"{point.flops / 1e9:.4g}",
        "rtf": "" if point.rtf is None else f"{point.rtf:.4f}",
    }


def _interval(metric: Metric) -> str:
    if metric.lower is None or metric.upper is None or metric.level is None:
        return ""
    return f"{100 * metric.lower:.2f} to {100 * metric.upper:.2f} at {metric.level:.0%}"
