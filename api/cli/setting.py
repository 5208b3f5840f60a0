"""The options that say what a question is about: bounds, device, workload, care."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli import completing, options
from api.cli.errors import usage
from api.cli.given import Given, with_options
from api.cli.stores import existing_store
from models_registry import UnknownNameError

if TYPE_CHECKING:
    from planner.question import Question
    from planner.workload import Workload

BUDGET = "Budget: upper bounds, all held at once"
CARE = "How careful to be"
_DEVICE = "Device and workload"

CALLED = {"gflops_per_utterance": "gflops"}
"""Options that are called otherwise than the cost."""

COSTS = {
    "gflops_per_utterance": "GFLOPs per utterance, the mean.",
    "gflops_per_audio_second": "GFLOPs per second of audio.",
    "rtf": "Computing seconds per second of audio.",
    "latency_p50_s": "Seconds for a recording of median length.",
    "latency_p95_s": "Seconds for one longer than 95 % of them.",
    "memory_gib": "GiB of the process at its peak (CPU), or of the device that it holds (CUDA).",
    "parameters": "Parameters of the model.",
    "usd_per_audio_hour": "USD per hour of audio.",
    "joules_per_audio_second": "Joules per second of audio.",
}
"""What may be bounded, and in which unit."""


_OF_A_DEVICE = ("usd_per_device_hour", "device_watts", "arrivals_per_s")
"""Options that change nothing where no device is named."""


def _option(kind: Any, text: str, panel: str = _DEVICE, completion: Any = None) -> Any:
    return Annotated[
        kind, typer.Option(help=text, rich_help_panel=panel, autocompletion=completion)
    ]


_OPTIONS: dict[str, tuple[Any, Any]] = {
    "task": (options.Task, "asr"),
    **{
        CALLED.get(cost, cost): (_option(float | None, text, BUDGET), None)
        for cost, text in COSTS.items()
    },
    "device": (
        _option(
            str | None,
            "Device that time and money belong to: local, or one that 'devices' lists.",
            completion=completing.devices,
        ),
        None,
    ),
    "usd_per_device_hour": (_option(float | None, "Price of the device."), None),
    "device_watts": (
        _option(float | None, "Power that the device draws, where it is not known."),
        None,
    ),
    "workload": (
        _option(
            Path | None,
            "Plan for these recordings instead of the study's: a folder of audio, a CSV file"
            " with a column duration_s, a list of durations, or a JSON file.",
        ),
        None,
    ),
    "arrivals_per_s": (
        _option(
            float | None,
            "Recordings that come in a second; says how many devices it takes.",
        ),
        None,
    ),
    "max_batch_size": (_option(int | None, "Recordings that may run together."), None),
    "audio_s": (
        _option(float | None, "Plan for recordings of this duration instead of the study's."),
        None,
    ),
    "tokens_per_audio_s": (
        _option(
            float | None,
            "Tokens said per second of audio, where the workload does not say so; 3 if left out.",
        ),
        None,
    ),
    "study": (
        _option(
            str | None,
            "Study to answer for; 'studies' lists them.",
            completion=completing.studies,
        ),
        None,
    ),
    "without_study": (
        _option(
            list[str] | None,
            "Use no measurement of this other study; may be repeated.",
            completion=completing.studies,
        ),
        None,
    ),
    "model": (options.Models, None),
    "convention": (options.Convention, options.ConventionName.counted),
    "level": (_option(float, "Probability of the intervals.", CARE), 0.90),
    "risk": (_option(float, "Tolerated probability of being wrong.", CARE), 0.10),
    "seed": (options.Seed, 0),
}


_QUESTION: dict[str, tuple[Any, Any]] = {
    "target_wer": (
        _option(float | None, "WER to reach, a fraction; the cheapest that does.", BUDGET),
        None,
    ),
    "target_ua": (
        _option(float | None, "Unweighted accuracy to reach, a fraction (SER).", BUDGET),
        None,
    ),
    "minimise": (
        _option(str, "Cost to keep low when there is a target.", BUDGET),
        "gflops_per_utterance",
    ),
    "relax": (
        _option(
            list[str] | None,
            "See what more of a budget would buy, for example gflops=+50%; +20% if left out. May"
            " be repeated.",
            BUDGET,
        ),
        None,
    ),
    "trials": (
        _option(int, "Optuna trials between the lattice's windows and strides.", CARE),
        0,
    ),
    "tolerance": (
        _option(float, "Difference in error that does not matter, as a share of it.", CARE),
        0.02,
    ),
    "max_utilisation": (
        _option(float, "Share of its time that a device may be busy, with --arrivals-per-s.", CARE),
        0.7,
    ),
}
"""What a question says beyond its setting."""


def with_question(**defaults: Any) -> Callable[[Callable[..., None]], Any]:
    """Gives a command the options of a whole question, for :func:`question_of`.

    Args:
        defaults: Where the command's differs.
    """
    return with_options(
        "given",
        {
            name: (kind, defaults.get(name, own))
            for name, (kind, own) in (_OPTIONS | _QUESTION).items()
        },
    )


def question_of(given: Given, **more: Any) -> Question:
    """The question that was asked, from what was given.

    Raises:
        DatasetError: The workload's path holds none.
        UnknownNameError: A budget to relax is none.
        ValidationError: It is not one.
    """
    from planner.question import Question

    own = {name: given[name] for name in _QUESTION}
    own["relax"] = _relaxations(own["relax"] or ())
    own["minimise"] = cost_called(own["minimise"])
    question = Question(**setting(given), **own, **more)
    if question.target_error is None and _differs("minimise", own):
        usage("--minimise goes with a target: name --target-wer or --target-ua")
    served = question.workload
    if _differs("max_utilisation", own) and (served is None or served.arrivals_per_s is None):
        usage("--max-utilisation goes with --arrivals-per-s")
    return question


def _differs(name: str, own: Given) -> bool:
    return bool(own[name] != _QUESTION[name][1])


def cost_called(name: str) -> str:
    """A cost, or quality, by the name of the budget's option: hyphens and short names."""
    plain = name.replace("-", "_")
    return {short: cost for cost, short in CALLED.items()}.get(plain, plain)


def _relaxations(texts: Iterable[str]) -> dict[str, float]:
    """Factors by cost of ``gflops=+20%``: the names are those of the budget's options."""
    known = [CALLED.get(name, name) for name in COSTS]
    factors = {}
    for text in texts:
        name, _, more = text.partition("=")
        match = re.fullmatch(r"\+(\d+(?:\.\d+)?)%", more)
        if match is None or float(match[1]) == 0:
            usage(f"--relax {text}: a budget and how much more, for example gflops=+20%")
        cost = cost_called(name)
        if cost not in COSTS:
            raise UnknownNameError("budget", name, [k.replace("_", "-") for k in known])
        factors[cost] = 1 + float(match[1]) / 100
    return factors


def with_setting(
    *, without: Collection[str] = (), also: Collection[str] = (), **defaults: Any
) -> Callable[[Callable[..., None]], Any]:
    """Gives a command the options of a question's setting.

    The command's parameter ``given`` receives what was given, for :func:`setting`.

    Args:
        without: Options that say nothing to the command.
        also: Options of a question that do.
        defaults: Where the command's differs.
    """
    every = _OPTIONS | {name: _QUESTION[name] for name in also}
    return with_options(
        "given",
        {
            name: (kind, defaults.get(name, own))
            for name, (kind, own) in every.items()
            if name not in without
        },
    )


BUDGETS = tuple(CALLED.get(cost, cost) for cost in COSTS)
"""Options that bound a cost."""


def predicting(given: Given, task: str) -> dict[str, Any]:
    """The fields of a request for predictions, from what was given.

    Args:
        given: The setting's options, without its budgets, its task and its models.
        task: That of the configurations.

    Raises:
        DatasetError: The workload's path holds none.
        ValidationError: The workload's numbers are out of range.
    """
    unasked = {"model": None, **dict.fromkeys(BUDGETS)}
    found = setting({**unasked, **given, "task": task})
    for name in ("task", "budget", "models"):
        del found[name]
    workload = found["workload"]
    if _differs("max_utilisation", given) and (workload is None or workload.arrivals_per_s is None):
        usage("--max-utilisation goes with --arrivals-per-s")
    return found | {"max_utilisation": given["max_utilisation"]}


def setting(given: Given) -> dict[str, Any]:
    """The fields that every question has, from what was given.

    Raises:
        DatasetError: The workload's path holds none.
        ValidationError: The workload's numbers are out of range.
    """
    models = given["model"]
    if given["device"] is None:
        for name in _OF_A_DEVICE:
            if given.get(name) is not None:
                usage(f"--{name.replace('_', '-')} goes with --device: name one, for example local")
    return {
        "task": given["task"],
        "study": given["study"],
        "without_studies": tuple(given["without_study"] or ()),
        "budget": {cost: given[CALLED.get(cost, cost)] for cost in COSTS},
        "convention": given["convention"].value,
        "device": given["device"],
        "usd_per_device_hour": given["usd_per_device_hour"],
        "device_watts": given["device_watts"],
        "workload": _workload(given),
        "models": tuple(models) if models else None,
        "level": given["level"],
        "risk": given["risk"],
        "seed": given["seed"],
    }


def _workload(given: Given) -> Workload | None:
    """The workload that the options describe; none leaves the study's."""
    from planner.workload import Workload

    path, audio_s, tokens = given["workload"], given["audio_s"], given["tokens_per_audio_s"]
    how = {
        name: given[name]
        for name in ("arrivals_per_s", "max_batch_size")
        if given.get(name) is not None
    }
    if path is not None and audio_s is not None:
        usage("--workload says how long recordings are: leave --audio-s out")
    if path is not None:
        from measurements.workloads import workload_from

        found = workload_from(path, tokens)
    elif audio_s is not None:
        found = Workload.fixed(audio_s)
        if tokens is not None:
            how["tokens_per_audio_s"] = tokens
    elif tokens is not None:
        usage("--tokens-per-audio-s goes with --audio-s or --workload")
    elif not how:
        return None
    else:
        from measurements.studies import evidence_for

        found = evidence_for(given["task"], given["study"], existing_store()).workload
    return Workload.model_validate({**found.model_dump(), **how})
