"""Answers and the verifications that follow them: what was said first, and what holds now."""

from __future__ import annotations

import time
from typing import Literal

from pydantic import Field

from api.schemas import RecommendationResponse, Schema
from api.services import PlanningService
from measurements import verification as verifications
from measurements.datasets import DatasetError
from measurements.jobs.queue import JobQueue
from measurements.store import Store
from measurements.verification import NothingToVerifyError, Status, Verification
from planner.answer import Recommendation
from planner.question import Question

Verify = Literal["never", "auto", "always", "wait"]
"""``auto``: where the decision is at risk and something can be run; ``always``: or it is an
error; ``wait``: like ``auto``, and the answer comes when it is over."""

_POLL_S = 0.25


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


def answer(
    question: Question,
    verify: Verify,
    planning: PlanningService,
    store: Store,
    queue: JobQueue,
    *,
    dataset: str | None = None,
    limit: int | None = None,
    wait_s: float = 0.0,
) -> VerifiedResponse:
    """Answers a question and begins to verify the answer, as far as that is asked for.

    Raises:
        PlannerError: There is no answer, or with ``always`` nothing to verify it by.
        DatasetError: With ``always``, the study's speech is not here.
        UnknownNameError: A study, model or device is not known.
    """
    found = planning.recommend(question)
    plain = VerifiedResponse(recommendation=found.recommendation, study=found.study)
    plan = found.recommendation.verification
    if verify == "never" or (verify != "always" and not plan.needed):
        return plain
    try:
        verification = verifications.create(question, store, dataset=dataset, limit=limit)
    except (NothingToVerifyError, DatasetError) as error:
        if verify == "always":
            raise
        return plain.model_copy(update={"not_verified": str(error)})
    queue.enqueue_verification(verification.id)
    if verify == "wait":
        verification = _awaited(verification, store, wait_s)
    return response(verification, planning)


def response(verification: Verification, planning: PlanningService) -> VerifiedResponse:
    """The answer as it stands: the first one, or what its verification has made of it."""
    outcome = verification.outcome
    first = verification.recommendation
    now = first if outcome is None or outcome.recommendation is None else outcome.recommendation
    return VerifiedResponse(
        recommendation=now,
        study=planning.summary(verification.question),
        id=verification.id,
        verification=VerificationLink(
            id=verification.id,
            href=f"/v1/verifications/{verification.id}",
            status=verification.status,
            settled=None if outcome is None else outcome.settled,
            why=verification.error if outcome is None else outcome.why,
        ),
        before=None if now == first else first,
        changes=_changes(first, now),
    )


def _awaited(verification: Verification, store: Store, wait_s: float) -> Verification:
    """The verification when it is over, or as far as it is by then."""
    end = time.monotonic() + wait_s
    while verification.finished_at is None and time.monotonic() < end:
        time.sleep(_POLL_S)
        verification = verifications.find(verification.id, store) or verification
    return verification


def _changes(before: Recommendation, now: Recommendation) -> list[str]:
    changes = []
    if now.configuration != before.configuration:
        changes.append(f"{before.configuration.label()} gave way to {now.configuration.label()}")
    for name, estimate in now.predictions.items():
        was = before.predictions.get(name)
        if was is not None and was != estimate:
            changes.append(
                f"{name} {was.mean:.4g} ({was.lower:.4g} to {was.upper:.4g}, {was.basis}) is now"
                f" {estimate.mean:.4g} ({estimate.lower:.4g} to {estimate.upper:.4g},"
                f" {estimate.basis})"
            )
    return changes
