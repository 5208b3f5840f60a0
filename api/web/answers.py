"""An answer as the page shows it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api import charts
from api.schemas import RecommendationResponse
from api.services.planning import PlanningService
from api.web import fields
from api.web.site import ASSETS
from api.web.snippets import Snippet, snippets, verifying
from measurements.datasets import DatasetError
from measurements.studies import dataset_of_study
from planner.answer import Estimate, Front, Recommendation, StudySummary
from planner.question import Question

_SPEECH = {"asr": "librispeech:/data/LibriSpeech", "ser": "emodb:/data/EmoDB"}
"""How a data set is named, where whoever asks has to."""


@dataclass(frozen=True)
class AnswerView:
    """What a template needs of an answer.

    Attributes:
        question: What was asked.
        answer: What is recommended.
        study: For which study.
        metric: ``wer`` or ``ua``.
        asked: The question as fields; none where a form can't say its workload.
        snippets: Other ways to ask.
        verifying: Other ways to verify the answer.
        chart: The Pareto front; none where charts can't be drawn.
        scale: Ends of a scale that the metric's intervals of all alternatives lie on.
        needs_speech: Whether a verification has to be told what to run on.
        nonce: Makes sending a form twice one verification.
    """

    question: Question
    answer: Recommendation
    study: StudySummary
    metric: str
    asked: fields.Asked | None
    snippets: list[Snippet]
    verifying: list[Snippet]
    chart: dict[str, Any] | None
    scale: tuple[float, float]
    needs_speech: bool
    nonce: str

    @property
    def estimate(self) -> Estimate:
        """What is predicted of the metric."""
        return self.answer.predictions[self.metric]

    @property
    def address(self) -> str | None:
        """Where the question is asked."""
        return None if self.asked is None else self.asked.link()


def view(
    found: RecommendationResponse,
    question: Question,
    planning: PlanningService,
    *,
    base_url: str,
    keyed: bool,
    asked: fields.Asked | None = None,
) -> AnswerView:
    """Puts an answer in order for a template.

    Args:
        found: The answer.
        question: What was asked.
        planning: What it was asked of.
        base_url: Where the service is.
        keyed: Whether it asks for a key.
        asked: The fields that asked it; made from the question where left out.
    """
    answer = found.recommendation
    metric = "wer" if question.task == "asr" else "ua"
    known = planning.study_workload(question)
    if asked is None:
        asked = fields.asked_of(question, known)
    estimates = [
        answer.predictions[metric],
        *(other.predictions[metric] for other in answer.alternatives),
    ]
    needs_speech = not _has_speech(found.study.id)
    return AnswerView(
        question=question,
        answer=answer,
        study=found.study,
        metric=metric,
        asked=asked,
        snippets=snippets(question, base_url, keyed=keyed, study_workload=known),
        verifying=verifying(
            question,
            base_url,
            keyed=keyed,
            study=found.study.id,
            study_workload=known,
            dataset=_SPEECH[question.task] if needs_speech else None,
        ),
        chart=_front(answer, question),
        scale=_scale(estimates),
        needs_speech=needs_speech,
        nonce=uuid.uuid4().hex,
    )


def limits(question: Question) -> dict[str, float]:
    """Bounds of a question by cost, and of the metric where it has a target."""
    bounds: dict[str, float] = dict(question.budget.bounds().items())
    if question.target_wer is not None:
        bounds["wer"] = question.target_wer
    if question.target_ua is not None:
        bounds["ua"] = question.target_ua
    return bounds


def _front(answer: Recommendation, question: Question) -> dict[str, Any] | None:
    if not ASSETS.charts:
        return None
    front = answer.pareto_front
    x, y = (_value(answer, front, name) for name in (front.x, front.y))
    return charts.front_chart(
        front,
        chosen=(answer.configuration.label(), x, y),
        limits=limits(question),
        width="container",
    )


def _value(answer: Recommendation, front: Front, name: str) -> float:
    """Where the choice is along an axis of the front."""
    predictions: Mapping[str, Any] = answer.predictions
    if name in predictions:
        return float(predictions[name].mean)
    for point in front.points:
        if point.configuration == answer.configuration:
            return point.x.mean if name == front.x else point.y.mean
    return float(getattr(answer.costs, name))


def _scale(estimates: Sequence[Estimate]) -> tuple[float, float]:
    low = min(estimate.lower for estimate in estimates)
    high = max(estimate.upper for estimate in estimates)
    margin = 0.05 * (high - low) or 0.01
    return low - margin, high + margin


def _has_speech(study: str) -> bool:
    try:
        dataset_of_study(study)
    except DatasetError:
        return False
    return True
