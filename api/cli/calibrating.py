"""``speechplan calibrate``: how fast this device runs every architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from api.cli import options
from api.cli.errors import handled
from api.cli.output import console, print_json, print_table, run_progress
from api.cli.stores import writable_store

if TYPE_CHECKING:
    from measurements.records import DeviceTiming
    from models_registry.configuration import Precision
    from planner.device.check import HeldOutCheck

_SHOWN = 40


def calibrate(
    device: options.RunDevice = "auto",
    budget_s: Annotated[
        float, typer.Option("--budget-s", min=1, help="Seconds for all of it.")
    ] = 600.0,
    model: Annotated[list[str] | None, typer.Option(help="Only these models.")] = None,
    precision: Annotated[
        list[options.PrecisionName] | None,
        typer.Option(help="Only these number formats; all that the device runs if left out."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    r"""Time every architecture on a device, with random weights: no download, no accuracy.

    Recognition decodes 24 tokens a window; for emotions the encoder runs alone. What is
    timed is kept, and the same command goes on from there: more budget, more detail.

    \b
    speechplan calibrate --budget-s 600
    speechplan calibrate --device cuda --model whisper-large-v3 --precision fp16
    """
    with handled(as_json):
        from measurements.calibration import calibrate as run_calibration

        store = writable_store()
        with run_progress("calibrating", quiet=as_json) as report:
            found = run_calibration(
                store,
                device=device,
                budget_s=budget_s,
                models=model,
                precisions=[cast("Precision", p.value) for p in precision] if precision else None,
                on_progress=report,
            )
        timings = [t for t in store.device_timings(found.device.id) if t.samples]
        check = _check(found.device.id, timings)
        if as_json:
            print_json(
                {
                    **found.model_dump(mode="json"),
                    "timings": [_summary(timing) for timing in timings],
                    "held_out": None if check is None else vars(check),
                }
            )
            return
        console.print(
            f"[bold]{found.device.id}[/bold]: {found.timed} configurations timed in"
            f" {found.elapsed_s:.0f} s, {found.known} before, {found.left} left for more budget"
        )
        for what, why in {**found.skipped, **found.failed}.items():
            console.print(f"  not timed: {what}: {why}")
        rows = [_row(timing) for timing in timings[:_SHOWN]]
        print_table(("configuration", "RTF", "runs", "memory / closed form"), rows)
        if len(timings) > _SHOWN:
            console.print(f"  and {len(timings) - _SHOWN} more: --json shows them all")
        if check is not None:
            console.print(
                f"Latency of an architecture predicted from the others: median error"
                f" {check.median_error:.0%}, {check.coverage:.0%} of {check.configurations}"
                f" configurations inside the {check.level:.0%} interval"
            )


def _check(device: str, timings: list[DeviceTiming]) -> HeldOutCheck | None:
    from measurements.profiles import device_evidence
    from planner.device.check import leave_one_architecture_out

    known = device_evidence(timings).get(device)
    return None if known is None else leave_one_architecture_out(device, known)


def _summary(timing: DeviceTiming) -> dict[str, Any]:
    memory = timing.peak_memory_bytes, timing.baseline_memory_bytes
    return {
        "configuration": timing.configuration.model_dump(mode="json"),
        "rtf": timing.rtf,
        "rtf_interval": timing.rtf_interval,
        "repeats": len(timing.samples),
        "warmed_up": timing.warmed_up,
        "load_s": timing.load_s,
        "output_tokens": timing.output_tokens,
        "memory_bytes": None if None in memory else memory[0] - memory[1],  # type: ignore[operator]
        "predicted_memory_bytes": sum(timing.predicted_memory_bytes.values()),
        "peak_allocated_bytes": timing.peak_allocated_bytes,
        "joules_per_audio_second": timing.joules_per_audio_second,
        "key": timing.key,
    }


def _row(timing: DeviceTiming) -> tuple[str, ...]:
    summary = _summary(timing)
    interval = timing.rtf_interval.get("total")
    spread = "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"
    memory, predicted = summary["memory_bytes"], summary["predicted_memory_bytes"]
    c = timing.configuration
    return (
        c.label() if c.task == "asr" else f"encoder of {c.label()}",
        f"{timing.rtf['total']:.3f}{spread}",
        str(len(timing.samples)),
        "" if memory is None else f"{memory / 2**20:.0f} MiB / {predicted / 2**20:.0f} MiB",
    )
