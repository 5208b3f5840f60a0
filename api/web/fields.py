"""A question as fields of an address, called as the command line's options are.

``/?gflops=200&rtf=5%25&device=local`` asks what ``speechplan recommend --gflops 200 --rtf 0.05
--device local`` does, so that an address can be shared and a form needs no script.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlencode

from pydantic import ValidationError

from planner.question import UNITS, CostName, Question
from planner.workload import DEFAULT_WORKLOAD, Workload

CALLED = {"gflops_per_utterance": "gflops"}
"""Fields that are called otherwise than the cost."""


@dataclass(frozen=True)
class Input:
    """A field of the form.

    Attributes:
        name: In the address.
        label: In words.
        unit: What follows the number.
        hint: What it means, in a sentence.
    """

    name: str
    label: str
    unit: str = ""
    hint: str = ""


def _budget(cost: CostName, label: str, hint: str) -> Input:
    return Input(CALLED.get(cost, cost), label, UNITS[cost], hint)


BUDGETS = {
    "gflops_per_utterance": _budget(
        "gflops_per_utterance", "Compute", "Of a recording, the mean over the workload."
    ),
    "rtf": _budget("rtf", "RTF", "Real-time factor: computing per second of audio, on the device."),
    "latency_p95_s": _budget(
        "latency_p95_s", "Latency, p95", "Of a recording longer than 95 % of them."
    ),
    "memory_gib": _budget(
        "memory_gib",
        "Memory",
        "Peak of the process, its runtime included; on CUDA what it holds of the device.",
    ),
    "usd_per_audio_hour": _budget("usd_per_audio_hour", "Price", "Needs the device's price."),
    "latency_p50_s": _budget("latency_p50_s", "Latency, p50", "Of a recording of median length."),
    "gflops_per_audio_second": _budget(
        "gflops_per_audio_second", "Compute rate", "For a second of audio."
    ),
    "joules_per_audio_second": _budget(
        "joules_per_audio_second", "Energy", "Drawn by the device for a second of audio."
    ),
    "parameters": _budget("parameters", "Model size", "Parameters of the model: 240e6."),
}
"""What may be bounded, in order of importance."""

OFTEN = 5
"""So many of them are in sight; the rest is behind a click."""

_COSTS = {entry.name: cost for cost, entry in BUDGETS.items()}

PLAIN = (
    "task",
    "study",
    "device",
    "usd_per_device_hour",
    "device_watts",
    "target_wer",
    "target_ua",
    "minimise",
    "convention",
    "level",
    "risk",
    "tolerance",
    "max_utilisation",
    "trials",
    "alternatives",
    "seed",
)
"""Fields that a question has under the same name."""

_WORKLOAD = {
    "audio_s": "durations_s",
    "tokens_per_audio_s": "tokens_per_audio_s",
    "arrivals_per_s": "arrivals_per_s",
    "max_batch_size": "max_batch_size",
}

_SEVERAL = {"model": "models", "without_study": "without_studies"}
"""Fields that may be given more than once, and what a question calls them."""

NAMES = (*_COSTS, *PLAIN, *_WORKLOAD, *_SEVERAL, "relax")

DEFAULT_RELAX = 1.2

_RELAX = re.compile(r"(?:([\w-]+)=)?\+?(\d+(?:\.\d+)?) ?%")


@dataclass(frozen=True)
class Asked:
    """What an address asks.

    Attributes:
        values: What was given, by field; without what was left empty.
        question: The question; none where nothing was asked, or something is wrong.
        errors: What is wrong, by field; under the empty name what concerns several.
    """

    values: dict[str, list[str]]
    question: Question | None = None
    errors: dict[str, str] = field(default_factory=dict)

    def first(self, name: str, default: str = "") -> str:
        """What was given for a field."""
        return self.values.get(name, [default])[0]

    def link(self, path: str = "/", /, **changes: object) -> str:
        """The address of the same question but for some fields; none leaves one out."""
        values = self.values | {
            name: [] if value is None else [str(value)] for name, value in changes.items()
        }
        pairs = [(field, value) for field, several in values.items() for value in several]
        return f"{path}?{urlencode(pairs, safe=':,')}" if pairs else path


def ask(
    pairs: Iterable[tuple[str, str]],
    workload_of: Callable[[Question], Workload],
) -> Asked:
    """Reads the question that an address asks.

    Args:
        pairs: Fields and values; a field may occur more than once.
        workload_of: The workload of a question that names none.
    """
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        if value.strip():
            values.setdefault(name, []).append(value.strip())
    errors = {name: _unknown(name) for name in values if name not in NAMES}
    if errors or not values:
        return Asked(values, None, errors)
    asked = Asked(values)
    document: dict[str, Any] = {
        name: _number(asked.first(name)) for name in PLAIN if name in values
    }
    document["budget"] = {
        cost: _number(asked.first(name)) for name, cost in _COSTS.items() if name in values
    }
    document |= {name: values[one] for one, name in _SEVERAL.items() if one in values}
    try:
        document["relax"] = _relaxations(asked.first("relax"), document["budget"])
        workload, serving = _workload(asked)
        question = Question.model_validate({**document, "workload": workload})
        if serving:
            found = workload_of(question).model_dump() if workload is None else workload
            question = Question.model_validate({**document, "workload": {**found, **serving}})
    except ValidationError as error:
        return Asked(values, None, _errors(error))
    except FieldError as error:
        return Asked(values, None, {error.name: str(error)})
    return Asked(values, question)


class FieldError(ValueError):
    """A field that can't be read."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def asked_of(question: Question, study_workload: Workload | None = None) -> Asked | None:
    """The fields that ask a question; none where they can't say its workload.

    Args:
        question: The question.
        study_workload: Workload of its study, which needs no repeating.
    """
    document = question.model_dump(mode="json", exclude_defaults=True)
    values = {name: [_text(document[name])] for name in PLAIN if name in document}
    for name, cost in _COSTS.items():
        if cost in document.get("budget", {}):
            values[name] = [_text(document["budget"][cost])]
    for one, name in _SEVERAL.items():
        if several := getattr(question, name):
            values[one] = list(several)
    if question.relax:
        values["relax"] = [
            ",".join(f"{CALLED.get(k, k)}=+{percentage(f)}%" for k, f in question.relax.items())
        ]
    workload = question.workload
    if workload is not None:
        if not is_of(workload, study_workload):
            if in_fields(workload) != workload:
                return None
            values["audio_s"] = [",".join(map(_text, workload.durations_s))]
            values["tokens_per_audio_s"] = [_text(workload.tokens_per_audio_s)]
        if workload.arrivals_per_s is not None:
            values["arrivals_per_s"] = [_text(workload.arrivals_per_s)]
        if workload.max_batch_size != 1:
            values["max_batch_size"] = [str(workload.max_batch_size)]
    return Asked(values, question)


def is_of(workload: Workload, study_workload: Workload | None) -> bool:
    """Whether a workload is that of a study but for how its recordings come."""
    if study_workload is None:
        return False
    alone = {"arrivals_per_s": None, "max_batch_size": 1}
    return workload.model_copy(update=alone) == study_workload.model_copy(update=alone)


def in_fields(workload: Workload) -> Workload:
    """The same workload as fields say it: durations without weights."""
    how = {
        name: getattr(workload, name)
        for name in ("tokens_per_audio_s", "arrivals_per_s", "max_batch_size")
    }
    return Workload.model_validate({**_durations(workload.durations_s), **how})


def percentage(factor: float) -> str:
    """How much more a factor is, in percent, as short as it can be said exactly."""
    for digits in range(12):
        text = f"{100 * (factor - 1):.{digits}f}"
        if 1 + float(text) / 100 == factor:
            break
    return text


def _text(value: object) -> str:
    """A number as short as it can be said exactly."""
    return str(value).removesuffix(".0")


def _unknown(name: str) -> str:
    close = get_close_matches(name, NAMES, n=1)
    return f"there is no field {name}" + (f"; did you mean {close[0]}?" if close else "")


def _number(text: str) -> str | float:
    """A share may be said in percent; what is no number is left to the question to refuse."""
    if not text.endswith("%"):
        return text
    try:
        return float(text[:-1]) / 100
    except ValueError:
        return text


def _relaxations(text: str, budget: dict[str, Any]) -> dict[str, float]:
    """Factors by cost of ``50%`` for every budget, or of ``gflops=+50%,rtf=+20%``."""
    factors: dict[str, float] = {}
    for part in filter(None, re.split(r"[,;]\s*|\s+(?=[\w-]+=)", text)):
        match = _RELAX.fullmatch(part.strip())
        if match is None or float(match[2]) == 0:
            raise FieldError("relax", f"{part!r}: say 50%, or gflops=+50%,rtf=+20%")
        more = 1 + float(match[2]) / 100
        if match[1] is None:
            factors |= dict.fromkeys(budget, more)
            continue
        name = match[1].replace("-", "_")
        factors[_COSTS.get(name, name)] = more
    return factors


def _workload(asked: Asked) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The workload's durations, where there are any, and how they come."""
    serving: dict[str, Any] = {
        name: asked.first(name)
        for name in ("arrivals_per_s", "max_batch_size")
        if name in asked.values
    }
    if "audio_s" not in asked.values:
        if "tokens_per_audio_s" in asked.values:
            raise FieldError("tokens_per_audio_s", "goes with the durations of recordings")
        return None, serving
    durations = [part for part in re.split(r"[,;\s]+", asked.first("audio_s")) if part]
    tokens = asked.first("tokens_per_audio_s", str(DEFAULT_WORKLOAD.tokens_per_audio_s))
    return {**_durations(durations), "tokens_per_audio_s": tokens}, serving


def _durations(durations: Sequence[str | float]) -> dict[str, Any]:
    if len(durations) == 1:
        try:
            return Workload.fixed(float(durations[0])).model_dump(include={"durations_s", "source"})
        except (ValidationError, ValueError):
            pass
    return {"durations_s": durations}


def _errors(error: ValidationError) -> dict[str, str]:
    said: dict[str, str] = {}
    for item in error.errors(include_url=False, include_context=False):
        message = item["msg"].replace("Value error, ", "")
        place = [str(part) for part in item["loc"]]
        if place[:1] == ["budget"] and len(place) > 1:
            name = CALLED.get(place[1], place[1])
        elif place[:1] == ["workload"] and len(place) > 1:
            name = {inner: outer for outer, inner in _WORKLOAD.items()}.get(place[1], "audio_s")
        elif place[:1] == ["relax"]:
            name = "relax"
        elif place and place[0] in _SEVERAL.values():
            name = next(one for one, several in _SEVERAL.items() if several == place[0])
        else:
            name = place[0] if place and place[0] in PLAIN else ""
        if name and isinstance(item["input"], str):
            message = f"{item['input']!r}: {message[0].lower()}{message[1:]}"
        said.setdefault(name, message)
    return said
