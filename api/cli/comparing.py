"""Commands about what was measured: ``measurements``, ``compare``, ``curves``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli import options
from api.cli.errors import handled, usage
from api.cli.output import console, print_json, print_table, size_text
from api.cli.stores import existing_store

if TYPE_CHECKING:
    from measurements.comparison import Comparison, Difference
    from measurements.measured_curves import CurvePoint, MeasuredCurve
    from measurements.records import Measurement, Metric

_CUT = ("window_s", "tail_s", "window_policy", "recipe")
"""Axes along which it matters how many windows ran away."""


def measurements(
    study: options.Study = None,
    model: options.OnlyModel = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Write them into a .csv, .jsonl or .parquet file instead."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    r"""List measurements with the keys that other commands take.

    JSONL holds all of a measurement and is what 'import' takes elsewhere; CSV and Parquet are
    tables for reading.

    \b
    speechplan measurements --study asr-librispeech-mini-test-other
    speechplan measurements --output all.jsonl
    """
    with handled(as_json):
        from measurements.naming import SHORT

        found = _measurements(study, model)
        if output is not None:
            from measurements.exchange import write_file

            write_file(found, output)
            if as_json:
                print_json({"file": str(output), "measurements": len(found)})
            else:
                console.print(f"{len(found)} measurements written to {output}")
            return
        if as_json:
            print_json({"items": [_listed(m) for m in found]})
            return
        rows = (
            (
                m.key[:SHORT],
                m.study,
                m.configuration.label(),
                metric_text(m.metric),
                str(m.dataset.utterances or ""),
                "" if m.flops_counted is None else f"{m.flops_counted / 1e9:.4g}",
                "" if m.weights_bytes is None else size_text(m.weights_bytes),
                m.source,
            )
            for m in found
        )
        columns = ("key", "study", "configuration", "metric", "utterances", "GFLOPs", "weights")
        print_table((*columns, "source"), rows)
        if dominated := [m.key[:SHORT] for m in found if m.dominant_utterance]:
            console.print(f"At least half of the errors in one utterance: {', '.join(dominated)}")


def compare(
    a: Annotated[str, typer.Argument(help="Key (its beginning), label, or configuration file.")],
    b: Annotated[str, typer.Argument(help="What is held against it.")],
    study: options.Study = None,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the intervals.")] = 0.95,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    r"""Compare two measurements of the same utterances, in pairs.

    \b
    speechplan measurements --study asr-demo
    speechplan compare 3f1c09aa b27e5d10
    speechplan compare "whisper-base, window 30 s" "whisper-base, window 15 s" --study asr-demo
    """
    with handled(as_json):
        from measurements import comparison
        from measurements.naming import SHORT, pair

        first, second = pair(a, b, _measurements(study, None))
        found = comparison.compare(first, second, level=level, seed=seed)
        if as_json:
            print_json({"comparison": found.model_dump(mode="json")})
            return
        for name, m in (("A", first), ("B", second)):
            console.print(
                f"{name}  {m.configuration.label()}: {metric_text(m.metric)}  {m.key[:SHORT]}"
            )
        _show(found, first)


def curves(
    study: options.Study = None,
    axis: Annotated[list[str] | None, typer.Option(help="Only this; may be repeated.")] = None,
    model: options.OnlyModel = None,
    commands: Annotated[
        bool,
        typer.Option("--commands/--no-commands", help="Print what repeats each run of a curve."),
    ] = True,
    plot: options.Plot = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Write a report: one .html file with charts, tables and provenance."),
    ] = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    r"""Show measured curves: the metric along each axis, in pairs against the centre.

    \b
    speechplan curves --study asr-librispeech-mini-test-other --model tiny.en
    speechplan curves --axis window_s --axis token_stride --plot curves.png
    speechplan curves --study asr-librispeech-mini-test-other --output report.html
    """
    with handled(as_json):
        from measurements.measured_curves import AXES, measured_curves
        from models_registry import UnknownNameError

        for name in axis or ():
            if name not in AXES:
                raise UnknownNameError("axis", name, list(AXES))
        by_study: dict[str, list[Measurement]] = {}
        for m in _measurements(study, model):
            by_study.setdefault(m.study, []).append(m)
        found = [
            curve
            for group in by_study.values()
            for curve in measured_curves(group, axes=axis or (), seed=seed)
        ]
        if plot is not None:
            from api.charts import curves_chart, draw

            draw(curves_chart(found), plot)
        if output is not None:
            from api.report import write_report

            title = f"Measured curves of {study or 'all studies'}"
            write_report(found, output, title=title + (f", {model}" if model else ""))
        if as_json:
            print_json({"items": [curve.model_dump(mode="json") for curve in found]})
            return
        if not found:
            usage("nothing was measured along such an axis: see 'speechplan sweep'")
        for curve in found:
            _show_curve(curve, commands)
        if output is not None:
            console.print(f"written to {output}")


def metric_text(metric: Metric) -> str:
    """A metric in percent with its interval."""
    text = f"{metric.name.upper()} {100 * metric.value:.2f} %"
    if metric.lower is not None and metric.upper is not None:
        text += f" ({100 * metric.lower:.2f} to {100 * metric.upper:.2f})"
    return text


def _measurements(study: str | None, model: str | None) -> list[Measurement]:
    from measurements.studies import all_measurements, study_of
    from models_registry import MODELS

    store = existing_store()
    found = all_measurements(store) if study is None else study_of(store, study).measurements
    wanted = None if model is None else MODELS.canonical(model)
    return [m for m in found if wanted in (None, m.configuration.model)]


def _listed(m: Measurement) -> dict[str, object]:
    dominant = m.dominant_utterance
    return {
        "key": m.key,
        "study": m.study,
        "configuration": m.configuration.model_dump(mode="json"),
        "label": m.configuration.label(),
        "metric": m.metric.model_dump(mode="json"),
        "n_utterances": m.dataset.utterances,
        "dominant_utterance": dominant.model_dump() if dominant else None,
        "dataset_fingerprint": m.dataset.fingerprint,
        "flops_counted": m.flops_counted,
        "rtf": m.rtf.get("total"),
        "weights_bytes": m.weights_bytes,
        "source": m.source,
        "provenance": m.provenance,
        "adapter_command": m.adapter.command if m.adapter else None,
        "created_at": None if m.created_at is None else m.created_at.isoformat(),
    }


def _show(found: Comparison, first: Measurement) -> None:
    relative = "" if found.relative is None else f", {100 * found.relative:+.1f} % of A"
    console.print(
        f"B - A  {found.metric.upper()} {100 * found.difference:+.2f} points{relative};"
        f" errors differ on {found.differing} of {found.utterances} utterances of"
        f" {first.dataset.name}"
    )
    for side in (found.by_speaker, found.by_utterance):
        if side is not None:
            console.print(f"  {_interval(side)} at {side.level:.0%}, {_chance(side)}")
    if found.by_speaker is None:
        console.print("  speakers are not known: the interval speaks for these speakers only")


def _chance(side: Difference) -> str:
    return f"p = {side.p_value:.2g}, {side.units} units, {side.method}"


def _interval(side: Difference) -> str:
    return f"{100 * side.lower:+.2f} to {100 * side.upper:+.2f}"


def _show_curve(curve: MeasuredCurve, commands: bool) -> None:
    console.rule(f"{curve.model} along {curve.axis}", align="left")
    console.print(
        f"{curve.study}, at {curve.at}; on {curve.device}"
        + ("" if curve.reference in {p.key for p in curve.points} else f"; against {curve.against}")
    )
    rows = [_point(point, curve) for point in curve.points]
    # A column that is empty in every row says nothing here.
    filled = [name for name in rows[0] if any(row[name] for row in rows)]
    print_table(
        [name.strip() for name in filled], [tuple(row[name] for name in filled) for row in rows]
    )
    for point in curve.points if commands else ():
        key = point.key[:12]
        for command in filter(None, (point.adapter_command, point.command)):
            # Never wrapped, so that it can be copied.
            console.print(f"  {key:12}  {command}", style="dim", markup=False, soft_wrap=True)
            key = ""


def _point(point: CurvePoint, curve: MeasuredCurve) -> dict[str, str]:
    """A row by column; two columns are called alike but for a space."""
    metric, difference, interval = point.metric, "", ""
    if point.comparison is not None:
        difference = f"{100 * point.comparison.difference:+.2f}"
        interval = _interval(point.comparison.surest)
    elif point.key == curve.reference:
        interval = "the centre"
    own = ""
    if metric.lower is not None and metric.upper is not None:
        own = f"{100 * metric.lower:.2f} to {100 * metric.upper:.2f}"
    value = point.value if isinstance(point.value, str) else f"{point.value:g}"
    again = f"{point.retried} of {point.windows}" if point.windows and curve.axis in _CUT else ""
    added = str(point.insertions or 0) if again else ""
    trained = point.trainable_parameters
    return {
        curve.axis: value,
        f"{metric.name.upper()} %": f"{100 * metric.value:.2f}",
        "interval": own,
        "points": difference,
        "interval ": interval,
        "insertions": added,
        "run again": again,
        "trained": f"{trained / 1e3:,.1f} k" if trained else "",
        "GFLOPs": "" if point.flops is None else f"{point.flops / 1e9:.4g}",
        "ratio": "" if point.flops_ratio is None else f"{point.flops_ratio:.2f}",
        "RTF": "" if point.rtf is None else f"{point.rtf:.4f}",
        "n": str(point.utterances or ""),
        "key": point.key[:12],
    }
