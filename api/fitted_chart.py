"""A fitted scaling model as a chart: its curves, their bands, and what they were fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from api.charts import SCHEMA, ChartError, Width, _filled, _spec, channel, layer
from planner.curves.along import FittedCurve, curves_along, held

if TYPE_CHECKING:
    from planner.curves import ScalingModel


def fitted_chart(
    model: ScalingModel,
    *,
    name: str = "error",
    at: Mapping[str, str] | None = None,
    level: float = 0.90,
) -> dict[str, Any]:
    """The curve along each axis that moves, the others held at their geometric means.

    What was observed elsewhere is moved there along the fitted curve, its residual kept
    (partial residuals); so points show what the fit misses, not other axes or groups.

    Args:
        model: What was fitted.
        name: What the error is called.
        at: Label of a group to draw the curves for; its commonest one when left out.
        level: Probability of the band.

    Raises:
        ChartError: No axis moves.
    """
    panels = []
    for curve in curves_along(model, at=at, level=level):
        panel = fitted_axis_chart(curve, name=name)
        rows = panel.pop("datasets")
        del panel["$schema"]
        layers = [{**one, "data": {"values": rows[one["data"]["name"]]}} for one in panel["layer"]]
        panels.append({**panel, "layer": layers})
    if not panels:
        raise ChartError("no axis moves: there is no curve to draw")
    title = {
        "text": f"{name} along each axis, others at their means",
        "subtitle": [f"{factor}: {label}" for factor, label in held(model, at).items()],
        "anchor": "start",
    }
    return {"$schema": SCHEMA, "title": title, "concat": panels, "columns": 2}


def fitted_axis_chart(
    curve: FittedCurve, *, name: str = "error", percent: bool = False, width: Width = 320
) -> dict[str, Any]:
    """A fitted curve with its band and the points that it was fitted to.

    Args:
        curve: What to draw.
        name: What the error is called.
        percent: Whether it is said in percent.
        width: In pixels, or that of what it is put into.
    """
    return _filled(
        _fitted_spec(curve.axis, name, percent, width),
        fitted=[point.model_dump() for point in curve.points],
        seen=[point.model_dump() for point in curve.observed],
    )


def _fitted_spec(axis: str, name: str, percent: bool, width: Width) -> dict[str, Any]:
    log = {"type": "log", "nice": False}
    x = channel(
        "value:Q", title=axis, scale={**log, "padding": 10}, axis={"format": "~s", "tickCount": 6}
    )

    def up(field: str) -> dict[str, Any]:
        return channel(field, title=name, scale=log, axis={"format": "~%" if percent else "~g"})

    def said(*fields: str) -> list[dict[str, Any]]:
        form = ".2%" if percent else ".4~g"
        own = channel("value:Q", title=axis, format=".4~g")
        return [own, *(channel(field, format=form) for field in fields)]

    band = {"x": x, "y": up("lower:Q"), "y2": {"field": "upper"}}
    line = {"x": x, "y": up("mean:Q"), "tooltip": said("mean:Q", "lower:Q", "upper:Q")}
    points = {"x": x, "y": up("error:Q"), "tooltip": said("error:Q")}
    fitted, seen = {"data": {"name": "fitted"}}, {"data": {"name": "seen"}}
    layers = [
        {**fitted, **layer("area", band, opacity=0.15)},
        {**fitted, **layer("line", line)},
        {**seen, **layer("point", points, size=30, opacity=0.6)},
    ]
    return _spec(layers, width, 240)
