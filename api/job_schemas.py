"""Shapes of requests and responses about work that takes its time: verifications and sweeps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from api.schemas import RecommendationResponse, Schema
from measurements.datasets import NAME
from measurements.sweeps.spec import SweepSpec
from measurements.sweeps.states import RunState
from measurements.verification_records import Status, Verification
from models_registry import Configuration
from models_registry.languages import known_language
from planner.answer import Recommendation
from planner.question import Question

Verify = Literal["never", "auto", "always", "wait"]
"""``auto``: where the decision is at risk and something can be run; ``always``: or it is an
error; ``wait``: like ``auto``, and the answer comes when it is over."""


class VerificationLink(Schema):
    """The verification of an answer.

    Attributes:
        id: Its id.
        href: Where it is followed.
        status: How far it is.
        settled: Whether the decision is safe now; none before the end.
        why: Why it ended there.
    """

    id: str
    href: str
    status: Status
    settled: bool | None = None
    why: str | None = None


class VerifiedResponse(RecommendationResponse):
    """An answer with its verification, where there is one.

    Attributes:
        id: Names the answer while it is verified; none where it is not.
        verification: Its verification.
        not_verified: Why there is none though one was asked for.
        before: What was answered first, where that has changed.
        changes: What has changed, in words.
    """

    id: str | None = None
    verification: VerificationLink | None = None
    not_verified: str | None = None
    before: Recommendation | None = None
    changes: list[str] = Field(default_factory=list)


class VerificationRequest(Schema):
    """What to verify.

    Attributes:
        question: The question whose answer is to be verified.
        configuration: What to run; the first of the answer's plan that can be
            run here when left out.
        dataset: Data set to run on; the study's own when left out. A question that names no study
            is about that of the data set.
        subset: Part of the data set.
        language: Language of its speech, by code or name; not needed where the data says it. If
            nothing does, English is assumed, and ``language_assumed`` says so.
        dataset_name: Short name of the data set, and so of its study, instead of its own.
        limit: Utterances at most.
        max_runs: Real runs at most; one of a configuration that is named, otherwise three.
        max_seconds: Seconds after which no further run starts and the current one stops after its
            batch. Its result covers the last completed stage: 25, 50, 100, .. utterances.
    """

    question: Question
    configuration: Configuration | None = None
    dataset: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    subset: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    language: Annotated[str, Field(max_length=100), AfterValidator(known_language)] | None = None
    dataset_name: Annotated[str, Field(pattern=NAME)] | None = None
    limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    max_runs: Annotated[int, Field(ge=1, le=100)] | None = None
    max_seconds: Annotated[float, Field(ge=0.001, le=1e7, allow_inf_nan=False)] | None = None


class VerificationResponse(Schema):
    """A verification as it stands."""

    verification: Verification


class VerificationsPage(Schema):
    """A page of verifications.

    Attributes:
        items: Verifications, newest first.
        next_cursor: Cursor of the next page; none on the last.
    """

    items: list[Verification]
    next_cursor: str | None


class SweepRun(RunState):
    """A run of a sweep.

    Attributes:
        command: What repeats it.
    """

    command: str


class SweepRunsPage(Schema):
    """A page of a sweep's runs.

    Attributes:
        items: Runs, in their order.
        next_cursor: Cursor of the next page; none on the last.
    """

    items: list[SweepRun]
    next_cursor: str | None


class SweepResponse(Schema):
    """A sweep and how far it is; its runs come page by page.

    Attributes:
        id: Names it by its content: the same document is the same sweep.
        status: ``running``, ``done``, ``cancelled`` or ``failed``.
        error: Why it failed; none otherwise. Posted again, it goes on.
        spec: What it measures.
        remarks: What to know of its data sets, such as a language that was assumed; told when it
            is posted.
        total: Runs that there will be.
        done: Runs that have a result.
        running: Runs that somebody is at.
        waiting: Runs to come.
        failed: Runs that were given up.
    """

    id: str
    status: str
    error: str | None
    spec: SweepSpec
    remarks: list[str] = Field(default_factory=list)
    total: int
    done: int
    running: int
    waiting: int
    failed: int


class SweepsPage(Schema):
    """A page of sweeps.

    Attributes:
        items: Sweeps, newest first.
        next_cursor: Cursor of the next page; none on the last.
    """

    items: list[SweepResponse]
    next_cursor: str | None
