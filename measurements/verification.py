"""Verifications: a real run of a predicted configuration, and the verdict on the prediction.

Creating one needs no torch and happens where the question is asked; running it
happens in a worker. Everything in between is in the store.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from measurements.commands import measure_command
from measurements.datasets import Dataset, DatasetError, open_dataset
from measurements.progress import Progress
from measurements.records import Measurement, Metric
from measurements.store import Store
from measurements.studies import dataset_of_study, evidence_for, resolve_device
from models_registry import Configuration
from models_registry.weights import available
from planner.answer import Estimate, Recommendation
from planner.errors import PlannerError
from planner.question import Question
from planner.recommend import Planner

Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class NothingToVerifyError(PlannerError):
    """No configuration of the plan can be run here."""

    code = "nothing-to-verify"


class Outcome(BaseModel):
    """What a verification found.

    Attributes:
        measurement: Key of the measurement.
        measured: The metric as measured.
        inside: Whether it lies in the interval that was predicted.
        recommendation: The answer to the same question afterwards; none if there
            no longer is one.
        no_answer: Why there is none.
        changed: Whether another configuration is recommended now.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    measurement: str
    measured: Metric
    inside: bool
    recommendation: Recommendation | None
    no_answer: str | None = None
    changed: bool


class Verification(BaseModel):
    """A verification, from the question to the verdict.

    Attributes:
        id: Its id, also that of the job.
        status: How far it is.
        study: Study it belongs to.
        question: The question whose answer is verified.
        configuration: What is run.
        dataset: On which data set.
        subset: Which part of it.
        limit: On how many utterances.
        predicted: What was predicted of it beforehand.
        recommendation: The answer beforehand.
        done: Utterances finished.
        total: Utterances altogether.
        wer_so_far: Word error rate of those.
        outcome: What came out; none before the end.
        error: Why it failed, if it did.
        created_at: When it was asked for.
        finished_at: When it ended.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    status: Status = "queued"
    study: str
    question: Question
    configuration: Configuration
    dataset: str
    subset: str | None = None
    limit: int | None = None
    predicted: Estimate
    recommendation: Recommendation
    done: int = 0
    total: int
    wer_so_far: float | None = None
    outcome: Outcome | None = None
    error: str | None = None
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    finished_at: datetime | None = None

    def open_dataset(self) -> Dataset:
        """The utterances that it runs on."""
        return open_dataset(self.dataset, self.subset).limited(self.limit)


def create(
    question: Question,
    store: Store,
    *,
    configuration: Configuration | None = None,
    dataset: str | None = None,
    subset: str | None = None,
    limit: int | None = None,
    identifier: str | None = None,
) -> Verification:
    """Asks the question, notes the answer, and stores what is to be run.

    Args:
        question: The question whose answer is to be verified.
        store: Where it is kept.
        configuration: What to run; the first of the answer's plan that can be
            run here when left out, or else the recommended one.
        dataset: On what; the study's own speech when left out.
        subset: Which part of it.
        limit: On how many utterances at most.
        identifier: Its id; a new one when left out.

    Raises:
        PlannerError: The question has no answer, or nothing can be run.
        DatasetError: The data set can't be used, or belongs to another study.
    """
    planner, resolved = _planner(question, store)
    name = dataset or dataset_of_study(planner.evidence.study)
    speech = open_dataset(name, subset)
    if speech.study != planner.evidence.study:
        raise DatasetError(
            f"data set {name} belongs to study {speech.study}, the question is about"
            f" {planner.evidence.study}"
        )
    recommendation = planner.recommend(resolved)
    chosen = configuration or _first_runnable(recommendation)
    if not available(chosen.model):
        raise NothingToVerifyError(
            f"weights of {chosen.model} are not on this machine", model=chosen.model
        )
    (predictions,) = planner.predict([chosen], question.level)
    verification = Verification(
        id=identifier or str(uuid.uuid4()),
        study=planner.evidence.study,
        question=question,
        configuration=chosen,
        dataset=name,
        subset=subset,
        limit=limit,
        predicted=next(iter(predictions.values())),
        recommendation=recommendation,
        total=len(speech.limited(limit).utterances),
    )
    save(verification, store)
    return verification


def run(
    verification: Verification,
    store: Store,
    *,
    device: str = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> Verification:
    """Runs a verification to its end in this process.

    Args:
        verification: What to run.
        store: Where it is kept.
        device: Where the model runs.
        on_progress: Called as the run goes on.

    Raises:
        DatasetError: An audio file can't be read.
        WeightsError: The weights can't be had.
    """
    from measurements.evaluation import evaluation_of

    evaluation = evaluation_of(
        verification.configuration,
        verification.open_dataset(),
        store,
        device=device,
        command=command_of(verification),
    )
    return conclude(verification, evaluation.run(on_progress), store)


def conclude(verification: Verification, measurement: Measurement, store: Store) -> Verification:
    """Holds the measurement against the prediction and answers the question again."""
    metric = measurement.metric
    planner, resolved = _planner(verification.question, store)
    after, no_answer = None, None
    try:
        after = planner.recommend(resolved)
    except PlannerError as error:
        no_answer = str(error)
    before = verification.recommendation.configuration
    concluded = verification.model_copy(
        update={
            "status": "succeeded",
            "done": verification.total,
            "wer_so_far": metric.value,
            "outcome": Outcome(
                measurement=measurement.key,
                measured=metric,
                inside=verification.predicted.lower <= metric.value <= verification.predicted.upper,
                recommendation=after,
                no_answer=no_answer,
                changed=after is None or after.configuration != before,
            ),
            "finished_at": datetime.now(UTC),
        }
    )
    save(concluded, store)
    return concluded


def fail(verification: Verification, reason: str, store: Store) -> Verification:
    """Notes that a verification ended without a result, and why."""
    failed = verification.model_copy(
        update={"status": "failed", "error": reason, "finished_at": datetime.now(UTC)}
    )
    save(failed, store)
    return failed


def save(verification: Verification, store: Store) -> None:
    """Stores a verification as it is now."""
    store.put_verification(
        verification.id,
        study=verification.study,
        status=verification.status,
        document=verification.model_dump(mode="json"),
        error=verification.error,
    )


def find(identifier: str, store: Store) -> Verification | None:
    """The verification with an id, if there is one."""
    row = store.verification(identifier)
    return None if row is None else Verification.model_validate(row.document)


def command_of(verification: Verification) -> str:
    """The command that repeats the run by itself."""
    return measure_command(
        verification.configuration,
        verification.dataset,
        subset=verification.subset,
        limit=verification.limit,
    )


def _planner(question: Question, store: Store) -> tuple[Planner, Question]:
    device = resolve_device(question.device, store)
    evidence = evidence_for(question.task, question.study, store, device=device)
    return Planner(evidence, question.seed), question.model_copy(update={"device": device})


def _first_runnable(recommendation: Recommendation) -> Configuration:
    for candidate in recommendation.verification.candidates:
        if candidate.runnable:
            return candidate.configuration
    if recommendation.runnable:
        return recommendation.configuration
    raise NothingToVerifyError(
        "no configuration of the verification plan has its weights on this machine",
        candidates=[
            c.configuration.model_dump(mode="json") for c in recommendation.verification.candidates
        ],
    )
