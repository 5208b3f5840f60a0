"""The command ``recommend``, and the question that its options make."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli import options
from api.cli.errors import handled, usage
from api.cli.output import print_json, show_recommendation
from models_registry import UnknownNameError

if TYPE_CHECKING:
    from measurements.store import Store
    from planner.question import Question
    from planner.workload import Workload

_OPTION = {"gflops_per_utterance": "gflops"}
"""Options that are called otherwise than the cost."""

_BUDGET = "Budget: upper bounds, all held at once"
_DEVICE = "Device and workload"
_CARE = "How careful to be"


def recommend(
    task: options.Task = "asr",
    gflops: Annotated[
        float | None,
        typer.Option(help="GFLOPs per utterance, the mean.", rich_help_panel=_BUDGET),
    ] = None,
    gflops_per_audio_second: Annotated[
        float | None, typer.Option(help="GFLOPs per second of audio.", rich_help_panel=_BUDGET)
    ] = None,
    rtf: Annotated[
        float | None,
        typer.Option(help="Computing seconds per second of audio.", rich_help_panel=_BUDGET),
    ] = None,
    latency_p50_s: Annotated[
        float | None,
        typer.Option(help="Seconds for a recording of median length.", rich_help_panel=_BUDGET),
    ] = None,
    latency_p95_s: Annotated[
        float | None,
        typer.Option(help="Seconds for one longer than 95 % of them.", rich_help_panel=_BUDGET),
    ] = None,
    memory_gib: Annotated[
        float | None,
        typer.Option(help="Weights, caches and activations in GiB.", rich_help_panel=_BUDGET),
    ] = None,
    parameters: Annotated[
        float | None, typer.Option(help="Parameters of the model.", rich_help_panel=_BUDGET)
    ] = None,
    usd_per_audio_hour: Annotated[
        float | None, typer.Option(help="USD per hour of audio.", rich_help_panel=_BUDGET)
    ] = None,
    joules_per_audio_second: Annotated[
        float | None,
        typer.Option(help="Joules per second of audio.", rich_help_panel=_BUDGET),
    ] = None,
    target_wer: Annotated[
        float | None,
        typer.Option(
            help="WER to reach, a fraction; the cheapest that does.", rich_help_panel=_BUDGET
        ),
    ] = None,
    target_ua: Annotated[
        float | None,
        typer.Option(
            help="Unweighted accuracy to reach, a fraction (SER).", rich_help_panel=_BUDGET
        ),
    ] = None,
    minimise: Annotated[
        str,
        typer.Option(help="Cost to keep low when there is a target.", rich_help_panel=_BUDGET),
    ] = "gflops_per_utterance",
    relax: Annotated[
        list[str] | None,
        typer.Option(
            help="See what more of a budget would buy, for example gflops=+50%; +20% if left"
            " out. May be repeated.",
            rich_help_panel=_BUDGET,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Device that time and money belong to: local, or one that 'devices' lists.",
            rich_help_panel=_DEVICE,
        ),
    ] = None,
    usd_per_device_hour: Annotated[
        float | None, typer.Option(help="Price of the device.", rich_help_panel=_DEVICE)
    ] = None,
    device_watts: Annotated[
        float | None,
        typer.Option(
            help="Power that the device draws, where it is not known.", rich_help_panel=_DEVICE
        ),
    ] = None,
    workload: Annotated[
        Path | None,
        typer.Option(
            help="Plan for these recordings instead of the study's: a folder of audio, a CSV"
            " file with a column duration_s, or a JSON file.",
            rich_help_panel=_DEVICE,
        ),
    ] = None,
    arrivals_per_s: Annotated[
        float | None,
        typer.Option(
            help="Recordings that come in a second; says how many devices it takes.",
            rich_help_panel=_DEVICE,
        ),
    ] = None,
    max_batch_size: Annotated[
        int | None,
        typer.Option(help="Recordings that may run together.", rich_help_panel=_DEVICE),
    ] = None,
    audio_s: Annotated[
        float | None,
        typer.Option(
            help="Plan for recordings of this duration instead of the study's.",
            rich_help_panel=_DEVICE,
        ),
    ] = None,
    tokens_per_audio_s: Annotated[
        float | None,
        typer.Option(help="Tokens said per second of audio.", rich_help_panel=_DEVICE),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(help="Study to answer for; 'studies' lists them.", rich_help_panel=_DEVICE),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Only these models; may be repeated.", rich_help_panel=_DEVICE),
    ] = None,
    convention: options.Convention = options.ConventionName.counted,
    level: Annotated[
        float, typer.Option(help="Probability of the intervals.", rich_help_panel=_CARE)
    ] = 0.90,
    risk: Annotated[
        float,
        typer.Option(help="Tolerated probability of being wrong.", rich_help_panel=_CARE),
    ] = 0.10,
    trials: Annotated[
        int,
        typer.Option(
            help="Optuna trials between the lattice's windows and strides.", rich_help_panel=_CARE
        ),
    ] = 0,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    r"""Recommend a configuration for a budget, or the cheapest one for a target.

    \b
    speechplan recommend --gflops 200
    speechplan recommend --rtf 0.05 --device local --relax rtf=+50%
    speechplan recommend --target-wer 0.06 --memory-gib 2 --json
    """
    with handled(as_json):
        from api.services import PlanningService

        question = make_question(
            task=task,
            study=study,
            budget={
                "gflops_per_utterance": gflops,
                "gflops_per_audio_second": gflops_per_audio_second,
                "rtf": rtf,
                "latency_p50_s": latency_p50_s,
                "latency_p95_s": latency_p95_s,
                "memory_gib": memory_gib,
                "parameters": parameters,
                "usd_per_audio_hour": usd_per_audio_hour,
                "joules_per_audio_second": joules_per_audio_second,
            },
            target_wer=target_wer,
            target_ua=target_ua,
            minimise=minimise,
            relax=relaxations(relax or ()),
            convention=convention.value,
            device=device,
            usd_per_device_hour=usd_per_device_hour,
            device_watts=device_watts,
            workload=make_workload(
                task,
                study,
                path=workload,
                audio_s=audio_s,
                tokens_per_audio_s=tokens_per_audio_s,
                arrivals_per_s=arrivals_per_s,
                max_batch_size=max_batch_size,
            ),
            models=model,
            level=level,
            risk=risk,
            trials=trials,
            seed=seed,
        )
        answer = PlanningService(existing_store()).recommend(question)
        if as_json:
            print_json(answer)
        else:
            show_recommendation(answer.recommendation, answer.study)


def relaxations(texts: Iterable[str]) -> dict[str, float]:
    """Factors by cost of ``gflops=+20%``: the names are those of the budget's options."""
    from planner.question import Budget

    known = {_OPTION.get(name, name): name for name in Budget.model_fields}
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


def make_workload(
    task: options.TaskKind,
    study: str | None,
    *,
    path: Path | None = None,
    audio_s: float | None = None,
    tokens_per_audio_s: float | None = None,
    **served: float | None,
) -> Workload | None:
    """The workload that the options describe; none leaves the study's.

    Raises:
        DatasetError: The path holds none.
        ValidationError: Numbers are out of range.
    """
    from planner.workload import DEFAULT_WORKLOAD, Workload

    how = {name: value for name, value in served.items() if value is not None}
    if path is not None and audio_s is not None:
        usage("--workload says how long recordings are: leave --audio-s out")
    if path is not None:
        from measurements.workloads import workload_from

        found = workload_from(path, tokens_per_audio_s)
    elif audio_s is not None:
        found = Workload(
            durations_s=(audio_s,),
            tokens_per_audio_s=tokens_per_audio_s or DEFAULT_WORKLOAD.tokens_per_audio_s,
            source=f"every recording {audio_s:g} s",
        )
    elif tokens_per_audio_s is not None:
        usage("--tokens-per-audio-s goes with --audio-s or --workload")
    elif not how:
        return None
    else:
        from measurements.studies import evidence_for

        found = evidence_for(task, study, existing_store()).workload
    return Workload.model_validate({**found.model_dump(), **how})


def make_question(*, models: list[str] | None = None, **fields: object) -> Question:
    """A question from what the options say.

    Raises:
        ValidationError: They are out of range or contradict each other.
    """
    from planner.question import Question

    return Question.model_validate({**fields, "models": tuple(models) if models else None})


def existing_store() -> Store | None:
    """The store where there is one; reading needs none."""
    from measurements.settings import Settings

    url = Settings().database_url
    if url.startswith("sqlite") and not Path(url.removeprefix("sqlite:///")).exists():
        return None
    from measurements.store import Store

    return Store.open(url)
