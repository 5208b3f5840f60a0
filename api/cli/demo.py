"""``speechplan demo``: the whole loop once, on real weights and synthetic speech."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli import options
from api.cli.errors import handled
from api.cli.output import (
    console,
    print_json,
    run_progress,
    show_measurement,
    show_recommendation,
    show_verdict,
)

if TYPE_CHECKING:
    from api.schemas import RecommendationResponse
    from measurements.records import Measurement
    from measurements.verification_records import Verification

_UTTERANCES = 40


def demo(
    limit: Annotated[
        int, typer.Option(min=4, max=_UTTERANCES, help="Utterances of the demo speech.")
    ] = _UTTERANCES,
    as_json: options.Json = False,
) -> None:
    r"""Show the whole loop: measure, ask, verify by a real run, see the answer change.

    Uses a store of its own, which is removed at the end.

    \b
    speechplan demo
    speechplan demo --limit 10 --json
    """
    with handled(as_json), tempfile.TemporaryDirectory(prefix="speechplan-demo-") as folder:
        from api.services.planning import PlanningService
        from measurements import verification as verifications
        from measurements import verifying
        from measurements.commands import measure_command
        from measurements.datasets import open_dataset
        from measurements.evaluation import evaluation_of
        from measurements.store import Store
        from models_registry import Configuration
        from planner.errors import NoFeasibleConfigurationError
        from planner.question import Budget, Question

        store = Store.open(f"sqlite:///{Path(folder) / 'demo.db'}")
        speech = open_dataset("demo").limited(limit)
        told = _Teller(as_json)
        told.title("1. Measure two configurations here")
        for first in (
            Configuration(model="whisper-tiny.en", window_s=20),
            Configuration(model="whisper-tiny.en", window_s=15, precision="int8"),
        ):
            command = measure_command(first, "demo", limit=limit if limit < _UTTERANCES else None)
            evaluation = evaluation_of(first, speech, store, command=command)
            with run_progress(first.label(), quiet=as_json) as report:
                told.measurement(evaluation.run(report))

        planning = PlanningService(store)
        told.title("2. Ask: ASR, at most 400 GFLOPs per utterance")
        question = Question(study="asr-demo", budget=Budget(gflops_per_utterance=400))
        told.answer(planning.recommend(question))

        told.title("3. Ask: ASR, RTF 0.05 on this machine")
        question = Question(study="asr-demo", budget=Budget(rtf=0.05), device="local")
        try:
            told.answer(planning.recommend(question))
        except NoFeasibleConfigurationError as error:
            # A slower machine: ask for half as much again as the least there is.
            needed = math.ceil(150 * error.details["needed"]["rtf"]) / 100
            told.title(f"{error}.\n3b. Ask again: RTF {needed:.2f} on this machine")
            question = Question(study="asr-demo", budget=Budget(rtf=needed), device="local")
            told.answer(planning.recommend(question))

        told.title("4. Verify by a real run")
        verification = verifications.create(question, store, limit=limit)
        with run_progress("verifying", quiet=as_json) as report:
            verification = verifying.run(verification, store, on_progress=report)
        told.verdict(verification)
        store.close()


class _Teller:
    """Tells what happens, for a reader as it does or as one document at the end.

    Args:
        as_json: Whether it is the document.
    """

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._document: dict[str, list[Any]] = {"measurements": [], "answers": []}

    def title(self, text: str) -> None:
        if not self._as_json:
            *before, rule = text.splitlines()
            for line in before:
                console.print(line)
            console.rule(rule)

    def measurement(self, found: Measurement) -> None:
        if self._as_json:
            self._document["measurements"].append(found.model_dump(mode="json"))
        else:
            show_measurement(found)

    def answer(self, found: RecommendationResponse) -> None:
        if self._as_json:
            self._document["answers"].append(found.model_dump(mode="json"))
        else:
            show_recommendation(found.recommendation, found.study)

    def verdict(self, found: Verification) -> None:
        if self._as_json:
            print_json({**self._document, "verification": found.model_dump(mode="json")})
        else:
            console.rule("5. Before and after")
            show_verdict(found)
