"""A question as curl, command line and Python ask it."""

from __future__ import annotations

import json
import pprint
import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from api.web.fields import BUDGETS, CALLED, PLAIN, in_fields, is_of, percentage
from planner.question import Question
from planner.workload import Workload


@dataclass(frozen=True)
class Snippet:
    """A way to ask.

    Attributes:
        id: Names it in the page.
        title: What it is for.
        text: What to run.
    """

    id: str
    title: str
    text: str


def snippets(
    question: Question, base_url: str, *, keyed: bool, study_workload: Workload | None = None
) -> list[Snippet]:
    """The same question in three ways.

    Args:
        question: What is asked.
        base_url: Where the service is, without a slash at the end.
        keyed: Whether it asks for a key.
        study_workload: Workload of the question's study, which needs no repeating.
    """
    return [
        Snippet("curl", "curl", curl(question, base_url, keyed=keyed)),
        Snippet("cli", "Command line", command_line(question, study_workload)),
        Snippet("python", "Python", python(question, base_url)),
    ]


def verifying(
    question: Question,
    base_url: str,
    *,
    keyed: bool,
    study: str,
    study_workload: Workload | None = None,
    dataset: str | None = None,
) -> list[Snippet]:
    """How to check a question's answer by real runs, in three ways.

    Args:
        question: What is asked.
        base_url: Where the service is, without a slash at the end.
        keyed: Whether it asks for a key.
        study: Study that it is answered for.
        study_workload: The study's workload, which needs no repeating.
        dataset: What to run on, where the study's speech is not built in.
    """
    asked = question.model_copy(update={"study": study})
    extra = {} if dataset is None else {"dataset": dataset}
    body = {"question": _document(asked), **extra}
    words = [] if dataset is None else [["--dataset", dataset]]
    told = "".join(f", {name}={value!r}" for name, value in extra.items())
    return [
        Snippet("curl", "curl", _posted(base_url + "/v1/verifications", body, keyed=keyed)),
        Snippet("cli", "Command line", _command("verify", asked, study_workload, words)),
        Snippet(
            "python",
            "Python",
            f"""from api.client import Client
from api.job_schemas import VerificationRequest
{_python_question(asked)}
with Client({base_url!r}) as client:
    begun = client.start_verification(VerificationRequest(question=question{told}))
    verification = client.wait_for_verification(begun.verification.id).verification
print(verification.status, verification.outcome)""",
        ),
    ]


def curl(question: Question, base_url: str, *, keyed: bool) -> str:
    """The question for curl."""
    return _posted(base_url + "/v1/recommendations", _document(question), keyed=keyed)


def command_line(question: Question, study_workload: Workload | None = None) -> str:
    """The question for a shell; a workload that options can't say is put into a file first."""
    return _command("recommend", question, study_workload)


def python(question: Question, base_url: str) -> str:
    """The question for a Python program; its key is in ``SPEECHPLAN_API_KEY``."""
    return f"""from api.client import Client
{_python_question(question)}
with Client({base_url!r}) as client:
    answer = client.recommend(question)
print(answer.recommendation.configuration.label())"""


def _posted(url: str, body: dict[str, Any], *, keyed: bool) -> str:
    lines = [
        f"curl -sS {shlex.quote(url)}",
        "-H 'Content-Type: application/json'",
        *(['-H "Authorization: Bearer $SPEECHPLAN_API_KEY"'] if keyed else []),
        f"-d {shlex.quote(json.dumps(body))}",
    ]
    return " \\\n  ".join(lines)


def _python_question(question: Question) -> str:
    body = pprint.pformat(_document(question), width=76, sort_dicts=False)
    return f"""from planner.question import Question

question = Question.model_validate(
{textwrap.indent(body, "    ")}
)"""


def _command(
    command: str,
    question: Question,
    study_workload: Workload | None,
    extra: Sequence[Sequence[str]] = (),
) -> str:
    document = _document(question)
    # They change what is said beside the answer, not what is decided.
    left_out: tuple[str, ...] = {"verify": ("alternatives",)}.get(command, ())
    left_out += _idle(question)
    plain = [name for name in PLAIN[1:] if name in document and name not in left_out]
    groups = [["speechplan", command]]
    if question.task != "asr":
        groups.append(["--task", question.task])
    groups += [
        [_option(CALLED.get(cost, cost)), str(document["budget"][cost])]
        for cost in BUDGETS
        if cost in document.get("budget", {})
    ]
    groups += [[_option(name), str(document[name])] for name in plain]
    groups += [["--without-study", name] for name in question.without_studies]
    groups += [["--model", name] for name in question.models or ()]
    groups += [
        ["--relax", f"{_option(CALLED.get(cost, cost))[2:]}=+{percentage(factor)}%"]
        for cost, factor in question.relax.items()
    ]
    before = ""
    if question.workload is not None:
        words, before = _workload(question.workload, study_workload)
        groups += [group for group in words if group[0] not in map(_option, left_out)]
    first, *rest = (shlex.join(group) for group in [*groups, *extra])
    head, tail = " ".join([first, *rest[:1]]), rest[1:]
    return before + " \\\n  ".join([head, *tail])


def _idle(question: Question) -> tuple[str, ...]:
    """Options that the command line refuses, since they change nothing of the answer."""
    served, idle = question.workload, list[str]()
    if question.device is None:
        idle += ["usd_per_device_hour", "device_watts", "arrivals_per_s"]
    if served is None or served.arrivals_per_s is None or question.device is None:
        idle.append("max_utilisation")
    if question.target_error is None:
        idle.append("minimise")
    return tuple(idle)


def _document(question: Question) -> dict[str, Any]:
    """What differs from the defaults; the task always."""
    return {"task": question.task, **question.model_dump(mode="json", exclude_defaults=True)}


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _workload(workload: Workload, known: Workload | None) -> tuple[list[list[str]], str]:
    """Options, and the line that writes the file which they name."""
    serving = []
    if workload.arrivals_per_s is not None:
        serving.append(["--arrivals-per-s", str(workload.arrivals_per_s)])
    if workload.max_batch_size != 1:
        serving.append(["--max-batch-size", str(workload.max_batch_size)])
    if is_of(workload, known):
        return serving, ""
    if len(workload.durations_s) == 1 and in_fields(workload) == workload:
        said = ["--audio-s", str(workload.durations_s[0])]
        tokens = ["--tokens-per-audio-s", str(workload.tokens_per_audio_s)]
        return [said, tokens, *serving], ""
    text = workload.model_dump_json(exclude_defaults=True)
    before = f"printf '%s' {shlex.quote(text)} > workload.json\n"
    return [["--workload", "workload.json"]], before
