"""Commands that ask the planner: ``recommend`` and ``pareto``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from api.cli import options
from api.cli.errors import handled, usage
from api.cli.given import Given
from api.cli.output import console, print_json, show_front, show_recommendation
from api.cli.setting import BUDGET, CALLED, CARE, COSTS, setting, with_setting
from api.cli.stores import existing_store
from models_registry import UnknownNameError, write_plan

_AXES = f"quality, {', '.join(COSTS)}"


@with_setting()
def recommend(
    given: Given,
    target_wer: Annotated[
        float | None,
        typer.Option(
            help="WER to reach, a fraction; the cheapest that does.", rich_help_panel=BUDGET
        ),
    ] = None,
    target_ua: Annotated[
        float | None,
        typer.Option(
            help="Unweighted accuracy to reach, a fraction (SER).", rich_help_panel=BUDGET
        ),
    ] = None,
    minimise: Annotated[
        str,
        typer.Option(help="Cost to keep low when there is a target.", rich_help_panel=BUDGET),
    ] = "gflops_per_utterance",
    relax: Annotated[
        list[str] | None,
        typer.Option(
            help="See what more of a budget would buy, for example gflops=+50%; +20% if left"
            " out. May be repeated.",
            rich_help_panel=BUDGET,
        ),
    ] = None,
    trials: Annotated[
        int,
        typer.Option(
            help="Optuna trials between the lattice's windows and strides.", rich_help_panel=CARE
        ),
    ] = 0,
    output: Annotated[
        Path | None,
        typer.Option(help="Write the plan too: a .yaml or .json file that --plan runs."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    r"""Recommend a configuration for a budget, or the cheapest one for a target.

    \b
    speechplan recommend --gflops 200
    speechplan recommend --rtf 0.05 --device local --relax rtf=+50%
    speechplan recommend --target-wer 0.06 --memory-gib 2 --output plan.yaml
    """
    with handled(as_json):
        from api.services import PlanningService, plan_of
        from planner.question import Question

        question = Question(
            **setting(given),
            target_wer=target_wer,
            target_ua=target_ua,
            minimise=minimise,  # type: ignore[arg-type]
            relax=relaxations(relax or ()),  # type: ignore[arg-type]
            trials=trials,
        )
        answer = PlanningService(existing_store()).recommend(question)
        if output is not None:
            write_plan(plan_of(answer, question), output)
        if as_json:
            print_json(answer)
            return
        show_recommendation(answer.recommendation, answer.study)
        if output is not None:
            console.print(f"written to {output}: it runs with --plan {output}")


@with_setting()
def pareto(
    given: Given,
    x: Annotated[str, typer.Option(help=f"Of {_AXES}.")] = "gflops_per_utterance",
    y: Annotated[str, typer.Option(help="Another of them.")] = "quality",
    plot: Annotated[
        Path | None, typer.Option(help="Draw it too: a .png, .svg or Vega-Lite .json file.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    r"""Show the configurations that no other is predicted to beat on two axes.

    \b
    speechplan pareto
    speechplan pareto --x rtf --device local --plot front.png
    speechplan pareto --x memory_gib --y gflops_per_utterance --gflops 500 --json
    """
    with handled(as_json):
        from api.services import PlanningService
        from planner.question import FrontQuestion

        question = FrontQuestion(**setting(given), x=x, y=y)  # type: ignore[arg-type]
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


def relaxations(texts: Iterable[str]) -> dict[str, float]:
    """Factors by cost of ``gflops=+20%``: the names are those of the budget's options."""
    known = {CALLED.get(name, name): name for name in COSTS}
    factors = {}
    for text in texts:
        name, _, more = text.partition("=")
        match = re.fullmatch(r"\+(\d+(?:\.\d+)?)%", more)
        if match is None or float(match[1]) == 0:
            usage(f"--relax {text}: a budget and how much more, for example gflops=+20%")
        cost = name.replace("-", "_")
        if cost not in known and cost not in known.values():
            raise UnknownNameError("budget", name, [k.replace("_", "-") for k in known])
        factors[known.get(cost, cost)] = 1 + float(match[1]) / 100
    return factors
