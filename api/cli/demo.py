"""``speechplan demo``: the whole loop once, on real weights and synthetic speech."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.errors import handled
from api.cli.output import (
    console,
    run_progress,
    show_measurement,
    show_recommendation,
    show_verdict,
)

if TYPE_CHECKING:
    from api.services import PlanningService
    from planner.question import Question

_UTTERANCES = 40


def demo(
    limit: Annotated[
        int, typer.Option(min=4, max=_UTTERANCES, help="Utterances of the demo speech.")
    ] = _UTTERANCES,
) -> None:
    """Show the whole loop: measure, ask, verify by a real run, see the answer change.

    Uses a store of its own, which is removed at the end.
    """
    with handled(), tempfile.TemporaryDirectory(prefix="speechplan-demo-") as folder:
        from api.services import PlanningService
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
        console.rule("1. Measure two configurations here")
        for first in (
            Configuration(model="whisper-tiny.en", window_s=20),
            Configuration(model="whisper-tiny.en", window_s=15, precision="int8"),
        ):
            command = measure_command(first, "demo", limit=limit if limit < _UTTERANCES else None)
            evaluation = evaluation_of(first, speech, store, command=command)
            with run_progress(first.label(), quiet=False) as report:
                show_measurement(evaluation.run(report))

        planning = PlanningService(store)
        console.rule("2. Ask: ASR, at most 400 GFLOPs per utterance")
        question = Question(study="asr-demo", budget=Budget(gflops_per_utterance=400))
        _ask(planning, question)

        console.rule("3. Ask: ASR, RTF 0.05 on this machine")
        question = Question(study="asr-demo", budget=Budget(rtf=0.05), device="local")
        try:
            _ask(planning, question)
        except NoFeasibleConfigurationError as error:
            # A slower machine: ask for what it says it needs.
            console.print(f"{error}.")
            needed = math.ceil(100 * error.details["needed"]["rtf"]) / 100
            console.rule(f"3b. Ask again: RTF {needed:.2f} on this machine")
            question = Question(study="asr-demo", budget=Budget(rtf=needed), device="local")
            _ask(planning, question)

        console.rule("4. Verify by a real run")
        verification = verifications.create(question, store, limit=limit)
        with run_progress("verifying", quiet=False) as report:
            verification = verifying.run(verification, store, on_progress=report)
        console.rule("5. Before and after")
        show_verdict(verification)
        store.close()


def _ask(planning: PlanningService, question: Question) -> None:
    answer = planning.recommend(question)
    show_recommendation(answer.recommendation, answer.study)
