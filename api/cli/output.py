"""Tables, sentences and progress for a terminal."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from pydantic import BaseModel

if TYPE_CHECKING:
    from rich.console import Console

    from measurements.coverage import Covered
    from measurements.progress import Progress
    from measurements.records import Measurement
    from measurements.verification_records import Verification
    from planner.answer import Estimate, Front, Range, Recommendation, StudySummary


PIPE_COLUMNS = 160

_WHOLE = 20
"""Characters of a cell up to which it is not broken."""

_WIDEST = 1000


class _LazyConsole:
    """Standard output as it is now; rich is imported when something is printed for a reader."""

    @property
    def _console(self) -> Console:
        from rich.console import Console

        # Rich takes pipes and dumb terminals for 80 columns, whatever COLUMNS says, unless both
        # sizes are given.
        width, height = shutil.get_terminal_size((PIPE_COLUMNS, 25))
        return Console(highlight=False, width=width, height=height)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._console, name)


console = _LazyConsole()


def print_json(document: BaseModel | dict[str, Any]) -> None:
    """Prints a document as JSON."""
    if isinstance(document, BaseModel):
        document = document.model_dump(mode="json")
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def show_remarks(remarks: Iterable[str], *, quiet: bool) -> None:
    """Prints what a user should know of a data set; not where a document says it."""
    if not quiet:
        for remark in remarks:
            console.print(remark, markup=False, soft_wrap=True)


def print_table(columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> None:
    """Prints a plain table; nothing is cut off, and only long texts are wrapped.

    Numbers, intervals and keys stay whole: a table that is wider for them than the window is
    left to the terminal, which goes on in the next line.
    """
    from rich.table import Table

    table, cells = Table(box=None, pad_edge=False), list(rows)
    for place, column in enumerate(columns):
        longest = max(map(len, (column, *(row[place] for row in cells))))
        table.add_column(column, overflow="fold", min_width=min(longest, _WHOLE))
    for row in cells:
        table.add_row(*row)
    least = console.measure(table, options=console.options.update(width=_WIDEST)).minimum
    console.print(table, width=max(console.width, least), crop=False)


_CALLED = {
    "latency_p50_s": "latency p50",
    "latency_p95_s": "latency p95",
    "usd_per_audio_hour": "price",
    "joules_per_audio_second": "energy",
    "memory_gib": "memory",
    "gflops_per_utterance": "FLOPs per utterance",
    "gflops_per_audio_second": "FLOPs per second of audio",
    "parameters": "parameters",
}


def percent(estimate: Estimate) -> str:
    """A fraction in percent with its interval."""
    from planner.words import chance

    return (
        f"{100 * estimate.mean:.2f} % ({100 * estimate.lower:.2f} to {100 * estimate.upper:.2f}"
        f" at {chance(estimate.level)})"
    )


def estimate_text(name: str, estimate: Estimate) -> str:
    """An estimate in one line: value, interval, unit, source."""
    from planner.words import chance

    if estimate.unit == "fraction":
        value = percent(estimate)
    else:
        value = (
            f"{estimate.mean:.3g} ({estimate.lower:.3g} to {estimate.upper:.3g}"
            f" at {chance(estimate.level)}) {estimate.unit}"
        )
    basis = "" if estimate.basis == estimate.source else f", {estimate.basis}"
    raw = "" if estimate.observed is None else f", {100 * estimate.observed:.2f} % observed"
    return f"{called(name)} {value}, {estimate.source}{basis}{raw}"


def called(name: str) -> str:
    """A metric or a cost as readers know it."""
    return _CALLED.get(name, name.upper())


def of_kind(record: Covered) -> str:
    """What a row of the coverage record is of; a ratio is said to be one."""
    return called(record.quantity) + (" ratio" if record.kind == "ratio" else "")


def value_text(value: float, unit: str) -> str:
    """A value without its unit; fractions in percent, which belongs to them."""
    if unit == "fraction":
        return f"{100 * value:.2f} %"
    return f"{value / 1e6:,.1f} M" if unit == "parameters" else f"{value:.4g}"


def _flops(recommendation: Recommendation) -> str:
    """How FLOPs were counted, and between what they are where they are not exact."""
    costs, level = recommendation.costs, recommendation.predictions["memory_gib"].level
    found = costs.gflops_range
    if found is None or found.lower == found.upper:
        return f"{costs.convention}, exact"
    return f"{costs.convention}, {found.lower:.4g} to {found.upper:.4g} at {level:.0%}"


def show_recommendation(recommendation: Recommendation, study: StudySummary) -> None:
    """Prints an answer for a reader."""
    costs = recommendation.costs
    console.print(f"[bold]{recommendation.configuration.label()}[/bold]")
    for name, estimate in recommendation.predictions.items():
        console.print(f"  {estimate_text(name, estimate)}")
    console.print(
        f"  {costs.gflops_per_utterance:.4g} GFLOPs per utterance ({_flops(recommendation)}),"
        f" {costs.parameters / 1e6:.1f} M parameters"
    )
    if costs.rtf is not None:
        console.print(f"  times on {costs.device} by {costs.rtf.provenance}")
    deployment = recommendation.deployment
    if deployment is not None:
        many = "device" if deployment.devices == 1 else "devices"
        price = deployment.usd_per_hour
        console.print(
            f"  {deployment.devices} {many} {costs.device} for {deployment.arrivals_per_s:g}"
            f" recordings per second, busy {deployment.utilisation:.0%} of the time"
            + ("" if price is None else f", {price:.4g} USD per hour")
        )
    confidence = recommendation.confidence
    held = ", ".join(
        f"{name} held with {chance:.0%}" for name, chance in confidence.probability_within.items()
    )
    console.print(f"  best with {confidence.probability_best:.0%}; {held}")
    console.print(f"Study: {study.id} ({study.measured} measured, {study.published} published)")
    console.print(f"Workload: {study.workload}")
    console.print("Why:")
    for reason in recommendation.reasons:
        console.print(f"  - {reason}")
    _show_more(recommendation)
    if recommendation.alternatives:
        console.print("Alternatives:")
        for other in recommendation.alternatives:
            estimate = next(iter(other.predictions.values()))
            console.print(
                f"  - {other.configuration.label()}: {100 * estimate.mean:.2f} %,"
                f" {other.gflops_per_utterance:.4g} GFLOPs; {other.trade}"
            )
    plan = recommendation.verification
    console.print(f"Verify first: {'yes' if plan.needed else 'no'}")
    for reason in plan.reasons:
        console.print(f"  - {reason}")
    for candidate in plan.candidates:
        place = "" if candidate.runnable else " (weights not on this machine)"
        console.print(f"  - measure {candidate.configuration.label()}: {candidate.why}{place}")


def _show_more(recommendation: Recommendation) -> None:
    """What a unit of each budget is worth, and what more of each axis alone buys."""
    from planner.words import AXIS_NAMES, COST_NAMES, amount, needed

    metric = next(iter(recommendation.predictions))
    error = "WER" if metric == "wer" else "1 - UA"
    targeted = "target" in recommendation.confidence.probability_within
    steps = [(b, b.next_step or b.relaxed) for b in recommendation.budgets]
    priced = [(budget, step) for budget, step in steps if step is not None]
    if priced:
        console.print("Shadow prices:")
    for budget, step in priced:
        gain = f"{step.gain:.0%} of the cost" if targeted else f"{100 * step.gain:.2g} points"
        per_unit = f"{100 * step.price:.3g} {'%' if targeted else 'points'} per {budget.unit}"
        more = amount(budget.name, step.bound - budget.bound)
        console.print(
            f"  - {COST_NAMES[budget.name]}: {per_unit}, {gain} for {more} more"
            f" ({needed(budget.name, step.bound)})"
        )
    if recommendation.elasticities:
        cost = COST_NAMES[recommendation.elasticities[0].cost]
        console.print(f"For 1 % more {cost}, {error} changes by:")
    for one in recommendation.elasticities:
        mean, low, high = (getattr(one.elasticity, end) for end in ("mean", "lower", "upper"))
        console.print(
            f"  - {mean:.2g} % ({low:.2g} to {high:.2g}) with {AXIS_NAMES[one.axis]}:"
            f" {one.configuration.label()}, {one.cost_ratio:.2g} times the cost,"
            f" {100 * one.gain.mean:.2f} points"
        )


def show_front(front: Front, study: StudySummary) -> None:
    """Prints a Pareto front for a reader."""

    def cell(value: Range, unit: str) -> str:
        if unit == "fraction":
            return f"{100 * value.mean:.2f} % ({100 * value.lower:.2f} to {100 * value.upper:.2f})"
        if value.lower == value.upper:
            return f"{value.mean:.4g}"
        return f"{value.mean:.3g} ({value.lower:.3g} to {value.upper:.3g})"

    rows = (
        (
            cell(point.x, front.x_unit),
            cell(point.y, front.y_unit),
            point.configuration.label() + (" (knee)" if place == front.knee else ""),
            point.basis,
        )
        for place, point in enumerate(front.points)
    )
    titles = (
        name.upper() if unit == "fraction" else f"{name}, {unit}"
        for name, unit in ((front.x, front.x_unit), (front.y, front.y_unit))
    )
    print_table((*titles, "configuration", "basis"), rows)
    if front.hypervolume is not None:
        covered = front.hypervolume
        console.print(
            f"Dominates {covered.mean:.1%} ({covered.lower:.1%} to {covered.upper:.1%}) of the box"
            " between the best and the worst candidates, costs on a log scale."
        )
    console.print(f"Study: {study.id} ({study.measured} measured, {study.published} published)")
    console.print(f"Workload: {study.workload}")


def show_measurement(measurement: Measurement) -> None:
    """Prints a measurement for a reader."""
    from measurements.load import contention

    metric, dataset = measurement.metric, measurement.dataset
    console.print(f"[bold]{measurement.configuration.label()}[/bold]")
    assert metric.lower is not None and metric.upper is not None and metric.level is not None
    console.print(
        f"  {metric.name.upper()} {100 * metric.value:.2f} % ({100 * metric.lower:.2f} to"
        f" {100 * metric.upper:.2f} at {metric.level:.0%}), measured on"
        f" {dataset.utterances} utterances of {dataset.name}"
        f"{' (synthetic speech)' if dataset.synthetic else ''}"
    )
    if measurement.errors is not None:
        errors = measurement.errors
        console.print(
            f"  {errors.substitutions} substitutions, {errors.deletions} deletions,"
            f" {errors.insertions} insertions in {errors.reference_words} words"
        )
        if errors.empty_references:
            console.print(
                f"  {errors.empty_references} utterances have no words in their reference;"
                f" {errors.empty_insertions} of the insertions were heard in them"
            )
    dominant = measurement.dominant_utterance
    if dominant is not None:
        console.print(
            f"  [yellow]one utterance, number {dominant.position + 1} in order of their ids, holds"
            f" {dominant.errors} of the errors ({dominant.share:.0%}): without it the error would"
            " be another[/yellow]"
        )
    if measurement.flops_counted is not None:
        console.print(
            f"  {measurement.flops_counted / 1e9:.4g} GFLOPs per utterance, counted (counted-1)"
        )
    if measurement.rtf and measurement.device is not None:
        phases = ", ".join(f"{k} {v:.4f}" for k, v in measurement.rtf.items() if k != "total")
        console.print(f"  RTF {measurement.rtf['total']:.4f} on {measurement.device.id} ({phases})")
    if measurement.latency is not None:
        latency = measurement.latency
        together = ""
        if measurement.rtfx is not None:
            together = f"; RTFx {measurement.rtfx:.1f}, {measurement.rtfx_batch_size} together"
        console.print(
            f"  latency {latency.p50_s:.3f} s p50, {latency.p95_s:.3f} s p95 over {latency.n} runs"
            f" of {latency.recordings} recordings{together}"
        )
    slowed = contention(measurement.others_cpu_share, measurement.processor_speed)
    if slowed is not None:
        console.print(
            f"  [yellow]{slowed} meanwhile: these times are longer than on a quiet machine. They"
            " count for little and judge no prediction[/yellow]"
        )
    if measurement.joules_per_audio_second is not None:
        console.print(f"  {measurement.joules_per_audio_second:.3g} J per second of audio, by NVML")
    cuda = measurement.device is not None and measurement.device.kind == "cuda"
    whose = "reserved, beside the CUDA context" if cuda else "as of a process that serves it alone"
    if measurement.weights_bytes is not None:
        console.print(f"  weights {size_text(measurement.weights_bytes)}")
    if measurement.peak_memory_bytes is not None:
        console.print(f"  peak memory {size_text(measurement.peak_memory_bytes)}, {whose}")
    if measurement.adapter is not None:
        console.print(f"  adapter {measurement.adapter.key[:16]}")
    console.print(f"  data {(dataset.fingerprint or '')[:16]}, key {measurement.key[:16]}")


def size_text(size: int) -> str:
    """Bytes as a person reads them."""
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def show_verdict(verification: Verification) -> None:
    """Prints what a verification found: before, measured, after."""
    outcome = verification.outcome
    for run in verification.runs:
        measured, interval = run.measured, ""
        console.print(f"[bold]Verified {run.configuration.label()}[/bold]")
        console.print(f"  predicted {estimate_text(measured.name, run.predicted)}")
        if measured.lower is not None and measured.upper is not None and measured.level is not None:
            low, high = 100 * measured.lower, 100 * measured.upper
            interval = f" ({low:.2f} to {high:.2f} at {measured.level:.0%})"
        console.print(f"  measured  {measured.name.upper()} {100 * measured.value:.2f} %{interval}")
        if (found := run.score) is None:
            console.print(f"  not judged, since {run.not_judged}")
        else:
            verdict = f"{'inside' if found.inside else 'outside'} the predicted interval"
            if found.to is not None:
                predicted = found.predicted
                verdict = (
                    f"{found.measured:.3g} times the errors of {found.to.label()} on the same"
                    f" utterances, predicted {predicted.mean:.3g} ({predicted.lower:.3g} to"
                    f" {predicted.upper:.3g} at {predicted.level:.0%}): {verdict}"
                )
            console.print(f"  judged    {verdict}")
        if (speed := run.speed) is not None:
            if speed.shown is not None and speed.corrected is not None:
                verdict = f"{'inside' if speed.inside else 'outside'} the predicted interval"
                if speed.not_judged is not None:
                    verdict = f"not judged, since {speed.not_judged} meanwhile"
                console.print(f"  predicted {estimate_text('rtf', speed.shown)}")
                console.print(
                    f"  measured  RTF {speed.corrected:.3g}, moved to the recordings that were"
                    f" predicted: {verdict}"
                )
            estimate = estimate_text("rtf", speed.predicted)
            console.print(f"  the recordings timed, as they were decoded: {estimate};")
            console.print(f"  measured  RTF {speed.measured:.3g}")
        if run.stopped is not None:
            console.print(f"  stopped after {run.utterances} utterances: {run.ended_early}")
    if outcome is None:
        console.print(f"The verification was {verification.status}; what was measured stays.")
        return
    before = verification.recommendation
    console.print(f"Before: {_choice(before)}")
    if outcome.recommendation is None:
        console.print(f"After:  no answer any more: {outcome.no_answer}")
    else:
        console.print(f"After:  {_choice(outcome.recommendation)}")
    console.print(
        f"The recommendation {'changed' if outcome.changed else 'stands'}; it ended since"
        f" {outcome.why}."
    )
    console.print(f"verification {verification.id}")


def _choice(recommendation: Recommendation) -> str:
    estimates = "; ".join(estimate_text(k, v) for k, v in recommendation.predictions.items())
    return f"{recommendation.configuration.label()}: {estimates}"


@contextmanager
def run_progress(title: str, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """A progress bar on stderr; lines now and then where stderr is no terminal."""
    if quiet:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    errors = Console(stderr=True, highlight=False)
    if not errors.is_terminal:
        yield _plain_progress(title, errors)
        return
    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[metric]}"),
        console=errors,
    )
    with bar:
        task = bar.add_task(title, total=None, metric="")

        def report(progress: Progress) -> None:
            bar.update(
                task,
                description=f"{title}: {progress.phase}",
                completed=progress.done,
                total=progress.total,
                metric=_so_far(progress),
            )

        yield report


def _plain_progress(title: str, errors: Console) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        so_far = f", {_so_far(progress)}" if _so_far(progress) else ""
        left = "" if not progress.left_s else f", {progress.left_s:.0f} s to go"
        counts = f"{progress.done}/{progress.total}{so_far}{left}"
        errors.print(f"{title}: {progress.phase} {counts}", soft_wrap=True)

    return report


def _so_far(progress: Progress) -> str:
    if progress.value is None:
        return ""
    if progress.metric == "loss":
        return f"loss {progress.value:.4f}"
    return f"{progress.metric.upper()} {100 * progress.value:.1f} %"
