"""Answers and the verifications that follow them: what was said first, and what holds now."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from api import idempotency
from api.job_schemas import VerificationLink, VerifiedResponse, Verify
from api.services.planning import PlanningService
from api.stopping import Stopping
from measurements import verification as verifications
from measurements.datasets import DatasetError
from measurements.jobs.queue import JobQueue
from measurements.settings import Settings
from measurements.store import Store
from measurements.verification import NothingToVerifyError
from measurements.verification_records import Verification
from planner.answer import Recommendation
from planner.question import Question

_POLL_S = 0.25

MOST_WAITING = 16
"""Requests that wait at once, each on a thread; others get the answer as it stands."""

_WAITING = threading.BoundedSemaphore(MOST_WAITING)


@dataclass(frozen=True)
class Answers:
    """Answers questions and has the answers verified.

    Attributes:
        planning: Answers them.
        store: Where verifications are noted.
        queue: Where they wait for a worker.
        settings: Which data sets may be named.
        stopping: Ends waits early, with the service.
    """

    planning: PlanningService
    store: Store
    queue: JobQueue
    settings: Settings
    stopping: Stopping

    def answer(
        self,
        question: Question,
        verify: Verify,
        *,
        revision: int | None = None,
        dataset: str | None = None,
        language: str | None = None,
        dataset_name: str | None = None,
        limit: int | None = None,
        wait_s: float = 0.0,
        identifier: str | None = None,
        begun: Verification | None = None,
    ) -> VerifiedResponse:
        """Answers a question and begins to verify the answer, as far as that is asked for.

        Args:
            question: What is asked.
            verify: Whether it is verified.
            revision: Of what is known; looked up when left out.
            dataset: Data set of the runs; the study's own when left out.
            language: Language of its speech, where it does not say it.
            dataset_name: Its short name, instead of its own.
            limit: Utterances at most.
            wait_s: Longest wait for its end.
            identifier: Of the verification, if one is begun.
            begun: What was begun by the same request before; it is answered from.

        Raises:
            PlannerError: There is no answer, or with ``always`` nothing to verify it by.
            DatasetError: With ``always``, the study's speech is not here.
            UnknownNameError: A study, model or device is not known.
        """
        if begun is not None:
            return self._followed(begun, verify, wait_s)
        found = self.planning.recommend(question, revision)
        plain = VerifiedResponse(recommendation=found.recommendation, study=found.study)
        plan = found.recommendation.verification
        if verify == "never" or (verify != "always" and not plan.needed):
            return plain
        try:
            with idempotency.alone(identifier, self.store):
                begun = idempotency.begun_with(identifier, self.store) or verifications.create(
                    question,
                    self.store,
                    dataset=dataset,
                    language=language,
                    dataset_name=dataset_name,
                    limit=limit,
                    identifier=identifier,
                )
        except (NothingToVerifyError, DatasetError) as error:
            if verify == "always":
                raise
            return plain.model_copy(update={"not_verified": str(error)})
        return self._followed(begun, verify, wait_s)

    def _followed(
        self, verification: Verification, verify: Verify, wait_s: float
    ) -> VerifiedResponse:
        # A job of the same id is there once, also where a service died in between.
        self.queue.enqueue_verification(verification.id)
        if verify == "wait" and _WAITING.acquire(blocking=False):
            try:
                verification = self._awaited(verification, wait_s)
            finally:
                _WAITING.release()
        return response(verification, self.planning)

    def _awaited(self, verification: Verification, wait_s: float) -> Verification:
        """The verification when it is over, or as far as it is by then."""
        end = time.monotonic() + wait_s
        while (
            verification.finished_at is None and time.monotonic() < end and not self.stopping.asked
        ):
            time.sleep(_POLL_S)
            verification = verifications.find(verification.id, self.store) or verification
        return verification


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
