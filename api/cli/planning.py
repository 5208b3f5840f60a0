"""Commands that ask the planner: ``recommend``, ``export`` and ``pareto``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli import options
from api.cli.errors import handled
from api.cli.given import Given
from api.cli.output import console, print_json, show_front, show_recommendation
from api.cli.setting import (
    CALLED,
    COSTS,
    cost_called,
    question_of,
    setting,
    with_question,
    with_setting,
)
from api.cli.stores import existing_store
from models_registry.plans import plan_schema, plan_text

if TYPE_CHECKING:
    from api.exporting import Export
    from planner.answer import Recommendation
    from planner.question import Question

_AXES = f"quality, {', '.join(CALLED.get(cost, cost) for cost in COSTS)}"


@with_question()
def recommend(
    given: Given,
    alternatives: Annotated[int, typer.Option(help="How many alternatives to name.")] = 4,
    output: Annotated[
        Path | None,
        typer.Option(help="Write the plan too: a .yaml or .json file that --plan runs."),
    ] = None,
    plot: options.Plot = None,
    as_json: options.Json = False,
) -> None:
    r"""Recommend a configuration for a budget, or the cheapest one for a target.

    \b
    speechplan recommend --gflops 200
    speechplan recommend --rtf 0.05 --device local --relax rtf=+50%
    speechplan recommend --target-wer 0.06 --memory-gib 3 --output plan.yaml
    speechplan recommend --gflops 200 --plot front.png
    """
    with handled(as_json):
        from api.exporting import export_of, write_export
        from api.services.planning import PlanningService

        question = question_of(given, alternatives=alternatives)
        store = existing_store()
        found = export_of(question, PlanningService(store), store)
        answer = found.answer
        if output is not None:
            write_export(found, output)
        if plot is not None:
            _plot(answer.recommendation, question, plot)
        if as_json:
            print_json(answer)
            return
        show_recommendation(answer.recommendation, answer.study)
        if output is not None:
            typer.echo(_written(found, output))
        if plot is not None:
            console.print(f"drawn in {plot}")


@with_question()
def export(
    given: Given,
    recommendation: Annotated[
        str | None,
        typer.Argument(
            help="Id of a recommendation that was verified; or ask, by the options.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="A .yaml or .json file that --plan runs; printed if left out."),
    ] = None,
    model_card: Annotated[
        Path | None,
        typer.Option(help="Write a Markdown file too, for a model card on the Hub."),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of such files, and end.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    r"""Export an answer as a deployment file that runs as it stands, and as a model card.

    What was trained for it on this machine, an adapter or a read-out, goes into files beside
    it; what was trained elsewhere is named with the command that trains it.

    \b
    speechplan export --gflops 200 --output plan.yaml --model-card card.md
    speechplan export --rtf 0.1 --device local --study asr-demo --output plan.json
    speechplan export 5d1f1e4e-8a0b-4f0c-9d0e-3f3f2d1c0b9a --output plan.yaml
    speechplan export --schema
    """
    with handled(as_json):
        if schema:
            print_json(plan_schema())
            return
        from api.exporting import export_of, export_of_stored, write_export
        from api.services.planning import PlanningService

        store = existing_store()
        planning = PlanningService(store)
        if recommendation is not None:
            found = export_of_stored(recommendation, planning, store)
        else:
            found = export_of(question_of(given), planning, store)
        card = None
        if model_card is not None:
            from api.model_card import model_card as written

            card = written(found)
        plan = found.plan if output is None else write_export(found, output)
        if model_card is not None and card is not None:
            model_card.write_text(card, encoding="utf-8")
        if as_json:
            print_json(plan.model_dump(mode="json", exclude_none=True))
        elif output is None:
            typer.echo(plan_text(plan), nl=False)
        else:
            typer.echo(_written(found, output))
        if output is None and found.missing is not None:
            typer.echo(f"it does not run yet: {found.missing}", err=True)


def _written(export: Export, output: Path) -> str:
    """That a plan is there, and whether it runs."""
    if export.missing is not None:
        return f"written to {output}; it does not run yet: {export.missing}"
    beside = [
        f"{what} in {output.stem}.{name}"
        for what, name, found in (
            ("read-out", "readout.safetensors", export.readout),
            ("adapter", "adapter", export.adapter),
        )
        if found is not None
    ]
    runs = f"written to {', '.join([str(output), *beside])}: it runs with --plan {output}"
    if export.weights_here:
        return runs
    return f"{runs} where the weights of {export.plan.configuration.model} are, not on this machine"


def _plot(answer: Recommendation, question: Question, path: Path) -> None:
    """The front behind an answer, with the choice and the budgets."""
    from api.charts import draw, front_chart
    from planner.evidence import METRIC_OF

    front, costs = answer.pareto_front, answer.costs
    metric = METRIC_OF[question.task]

    def place(name: str) -> float:
        estimate = answer.predictions.get(name)
        return float(getattr(costs, name) if estimate is None else estimate.mean)

    target = {"wer": question.target_wer, "ua": question.target_ua}[metric]
    limits: dict[str, float] = dict(question.budget.bounds().items())
    if target is not None:
        limits[metric] = target
    chosen = (answer.configuration.label(), place(front.x), place(front.y))
    draw(front_chart(front, chosen=chosen, limits=limits), path)


@with_setting(without=("arrivals_per_s",))
def pareto(
    given: Given,
    x: Annotated[str, typer.Option(help=f"Of {_AXES}.")] = "gflops_per_utterance",
    y: Annotated[str, typer.Option(help="Another of them.")] = "quality",
    plot: options.Plot = None,
    as_json: options.Json = False,
) -> None:
    r"""Show the configurations that no other is predicted to beat on two axes.

    \b
    speechplan pareto
    speechplan pareto --x rtf --device local --plot front.png
    speechplan pareto --x memory_gib --y gflops --gflops 500 --json
    """
    with handled(as_json):
        from api.services.planning import PlanningService
        from planner.question import FrontQuestion

        axes = {"x": cost_called(x), "y": cost_called(y)}
        question = FrontQuestion(**setting(given), **axes)
        answer = PlanningService(existing_store()).front(question)
        if plot is not None:
            from api.charts import draw, front_chart

            draw(front_chart(answer.front), plot)
        if as_json:
            print_json(answer)
            return
        show_front(answer.front, answer.study)
        if plot is not None:
            console.print(f"drawn in {plot}")
