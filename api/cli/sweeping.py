"""Commands for many measurements: ``sweep``, ``sweeps``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli import options
from api.cli.errors import OTHER, handled, usage
from api.cli.output import console, print_json, print_table, show_remarks
from api.cli.stores import existing_store, writable_store

if TYPE_CHECKING:
    from rich.table import Table

    from measurements.progress import Progress
    from measurements.sweeps import RunState, SweepProgress
    from measurements.sweeps.runner import Sweep
    from measurements.sweeps.states import Status


class DesignName(StrEnum):
    """Designs of a sweep."""

    star = "star"
    grid = "grid"
    iso_flops = "iso-flops"
    adaptive = "adaptive"


class Executor(StrEnum):
    """Where a sweep's runs go."""

    local = "local"
    ray = "ray"


_RAY = "Ray"
_ROWS = 24
"""Runs that the live table shows at most."""


def sweep(
    spec: Annotated[
        Path | None, typer.Option(help="JSON or YAML file that says all of it.", show_default=False)
    ] = None,
    design: Annotated[DesignName, typer.Option(help="Which points are taken.")] = DesignName.star,
    model: Annotated[list[str] | None, typer.Option(help="Model; may be repeated.")] = None,
    dataset: Annotated[
        list[str] | None, typer.Option(help="Data set; may be repeated. demo if left out.")
    ] = None,
    axis: Annotated[
        list[str] | None,
        typer.Option(
            help="FIELD=VALUE,VALUE; may be repeated. Fields that change together:"
            " token_stride+reduction_layer=1.5@middle,2@stem."
        ),
    ] = None,
    centre: Annotated[
        list[str] | None,
        typer.Option(help="FIELD=VALUE of what no axis changes, or of the star's middle."),
    ] = None,
    gflops: Annotated[
        list[float] | None, typer.Option(help="Budget of iso-flops; may be repeated.")
    ] = None,
    tolerance: Annotated[float, typer.Option(help="Distance from it, as a share.")] = 0.05,
    runs: Annotated[
        int | None, typer.Option(help="Configurations that adaptive may measure.")
    ] = None,
    task: options.Task = "asr",
    subset: options.Subset = None,
    language: options.Language = None,
    name: options.Name = None,
    limit: options.Limit = None,
    device: options.RunDevice = "auto",
    timing: options.Timing = True,
    seed: options.Seed = 0,
    queue: Annotated[
        bool, typer.Option("--queue", help="Leave it to 'speechplan worker', and return.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what has failed before.")
    ] = False,
    executor: Annotated[
        Executor, typer.Option(help="This process, or a Ray cluster: one GPU for each run.")
    ] = Executor.local,
    ray_address: Annotated[
        str | None,
        typer.Option(
            help="The cluster's, HOST:PORT. RAY_ADDRESS, or one on this machine, if left out.",
            rich_help_panel=_RAY,
        ),
    ] = None,
    ray_cpus: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="CPUs of a run. If left out, one, and a node's all where they are timed.",
            rich_help_panel=_RAY,
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    r"""Measure many configurations by a design, each exactly once.

    A sweep that was stopped goes on when the same command is given again. Several
    processes may run it at once. A run that fails is noted with its reason; the
    rest goes on.

    \b
    speechplan sweep --model tiny.en --axis window_s=8,10,15,20,30 --no-timing
    speechplan sweep --design adaptive --runs 12 --model tiny.en --model base \
        --axis window_s=8,10,12,15,20,30 --axis token_stride+reduction_layer=1@output,2@middle
    speechplan sweep --spec sweep.yaml --executor ray --ray-address head.example:6379
    """
    with handled(as_json):
        if executor is not Executor.ray and (ray_address or ray_cpus):
            usage("--ray-address and --ray-cpus are for --executor ray")
        if executor is Executor.ray and queue:
            usage("--queue leaves it to workers, --executor ray to a cluster: choose one")
        from measurements.sweeps import Speech, SweepSpec
        from measurements.sweeps.checks import check_runs, remarks_of
        from measurements.sweeps.runner import Sweep

        if spec is not None:
            if model or dataset or axis or centre:
                usage("--spec says it all: leave out --model, --dataset, --axis and --centre")
            plan = SweepSpec.read(spec)
        else:
            plan = SweepSpec(
                design=design.value,
                task=task,
                models=tuple(model or ()),
                speech=tuple(
                    Speech(
                        dataset=one,
                        subset=subset,
                        limit=limit,
                        seed=seed,
                        language=language,
                        name=name,
                    )
                    for one in dataset or ["demo"]
                ),
                axes=dict(_axis(text) for text in axis or ()),
                centre={name: values[0] for name, values in map(_axis, centre or ())},
                budgets_gflops=tuple(gflops or ()),
                tolerance=tolerance,
                runs=runs,
                device=device,
                timing=timing,
                seed=seed,
            )
        store = writable_store()
        remarks = check_runs(plan, store) if queue else remarks_of(plan)
        show_remarks(remarks, quiet=as_json)
        work = Sweep(plan, store)
        if retry_failed:
            work.retry_failed()
        if queue:
            _enqueue(work, remarks, as_json)
            return
        with _live(work, quiet=as_json) as report:
            if executor is Executor.ray:
                from measurements.sweeps import on_ray

                progress = on_ray.run(work, report, address=ray_address, cpus=ray_cpus)
            else:
                progress = work.run(report)
        if as_json:
            print_json({**_document(work, progress), "remarks": remarks})
        if progress.count("failed"):
            raise typer.Exit(OTHER)


def sweeps(
    identifier: Annotated[str | None, typer.Argument(help="A sweep's id.")] = None,
    as_json: options.Json = False,
) -> None:
    r"""List the sweeps, or the runs of one.

    \b
    speechplan sweeps
    speechplan sweeps 3f2a9c10
    """
    with handled(as_json):
        from measurements.sweeps.kept import MADE_BY
        from measurements.sweeps.runner import Sweep
        from models_registry import UnknownNameError

        store = existing_store()
        if identifier is not None:
            if store is None:
                raise UnknownNameError("sweep", identifier, [], made_by=MADE_BY)
            work = Sweep.of(identifier, store)
            progress = work.progress()
            if as_json:
                print_json(_document(work, progress))
            else:
                _print_states(progress)
                if work.error is not None:
                    console.print(f"failed: {work.error}; the same sweep given again goes on")
            return
        found = [Sweep.of(row.id, store) for row in store.sweeps()] if store else []
        items = [(work, work.progress()) for work in found]
        if as_json:
            print_json({"items": [_document(work, progress) for work, progress in items]})
            return
        rows = ((w.id, w.spec.design, w.status, _counts(progress)) for w, progress in items)
        print_table(("sweep", "design", "status", "runs"), rows)


def _axis(text: str) -> tuple[str, list[Any]]:
    """``window_s=8,10`` or ``token_stride+reduction_layer=1.5@middle,2@stem``."""
    import yaml

    name, equals, values = text.partition("=")
    if not equals or not values:
        usage(f"{text!r} is not FIELD=VALUE,VALUE")
    joined = "+" in name
    parsed = [
        [yaml.safe_load(part) for part in value.split("@")] if joined else yaml.safe_load(value)
        for value in values.split(",")
    ]
    return name.replace("-", "_"), parsed


def _enqueue(work: Sweep, remarks: Sequence[str], as_json: bool) -> None:
    from measurements.jobs.queue import JobQueue
    from measurements.settings import Settings

    jobs = JobQueue(Settings())
    jobs.enqueue_sweep(work.id)
    jobs.close()
    if as_json:
        print_json(
            {"id": work.id, "runs": work.total, "status": "queued", "remarks": list(remarks)}
        )
    else:
        typer.echo(f"sweep {work.id} is queued: {work.total} runs; see 'speechplan sweeps'")


def _document(work: Sweep, progress: SweepProgress) -> dict[str, Any]:
    return {
        "id": work.id,
        "spec": work.spec.model_dump(mode="json", exclude_defaults=True),
        "status": work.status,
        "error": work.error,
        "total": progress.total,
        **{name: progress.count(name) for name in ("done", "running", "waiting", "failed")},
        "runs": [
            {**state.model_dump(mode="json"), "command": state.run.command()}
            for state in progress.states
        ],
    }


@contextmanager
def _live(work: Sweep, quiet: bool) -> Iterator[Callable[[SweepProgress], None]]:
    """A table that follows the sweep; one line for each change where there is no terminal."""
    if quiet:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.live import Live

    stderr = Console(stderr=True, highlight=False)
    if not stderr.is_terminal:
        yield _lines(lambda line: stderr.print(line, markup=False, soft_wrap=True))
        _print_states(work.progress())
        return
    with Live(console=stderr, refresh_per_second=4, transient=True) as live:
        yield lambda progress: live.update(_table(work, progress))
    _print_states(work.progress())


def _lines(say: Callable[[str], None]) -> Callable[[SweepProgress], None]:
    said: dict[str, str] = {}

    def report(progress: SweepProgress) -> None:
        for state in progress.states:
            line = ", ".join(_row(state, progress.current.get(state.run.key)))
            if state.status != "waiting" and said.get(state.run.key) != line:
                say(f"{line} [{_counts(progress)}]")
            said[state.run.key] = line

    return report


def _table(work: Sweep, progress: SweepProgress) -> Table:
    from rich.table import Table

    table = Table(title=f"sweep {work.id}: {_counts(progress)}", box=None, title_justify="left")
    for name in _COLUMNS:
        table.add_column(name, overflow="fold")
    # What is going on, then what ended last, then what is next.
    order = {"running": 0, "failed": 1, "done": 1, "waiting": 2}
    shown = sorted(progress.states, key=lambda state: order[state.status])[:_ROWS]
    for state in shown:
        table.add_row(*_row(state, progress.current.get(state.run.key)))
    if len(progress.states) > _ROWS:
        table.caption = f"and {len(progress.states) - _ROWS} more"
    return table


_COLUMNS = ("run", "speech", "status", "result")


def _row(state: RunState, current: Progress | None) -> tuple[str, str, str, str]:
    result = ""
    if state.metric is not None:
        metric = state.metric
        result = f"{metric.name.upper()} {100 * metric.value:.2f} %"
        if metric.lower is not None and metric.upper is not None:
            result += f" ({100 * metric.lower:.2f} to {100 * metric.upper:.2f})"
    elif current is not None:
        result = f"{current.phase} {current.done}/{current.total}"
        if current.value is not None:
            result += f", {current.metric.upper()} {100 * current.value:.1f} % so far"
    elif state.failure is not None:
        again = f", failed {state.tries} times so far" if state.status == "waiting" else ""
        result = f"{state.failure.reason}{again}"
    return state.run.configuration.label(), state.run.speech.label(), state.status, result


def _counts(progress: SweepProgress) -> str:
    names: tuple[Status, ...] = ("done", "running", "waiting", "failed")
    parts = [f"{progress.count(name)} {name}" for name in names]
    if progress.left_s:
        minutes, seconds = divmod(round(progress.left_s), 60)
        parts.append(f"{minutes}:{seconds:02d} to go")
    return ", ".join(parts)


def _print_states(progress: SweepProgress) -> None:
    print_table(_COLUMNS, (_row(state, None) for state in progress.states))
    typer.echo(_counts(progress))
