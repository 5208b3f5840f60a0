"""What the HTTP routes and the command line share."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from api.schemas import (
    CostResponse,
    FrontResponse,
    MeasurementsPage,
    ModelInfo,
    RecommendationResponse,
    StudyInfo,
)
from measurements.datasets import DatasetError
from measurements.studies import evidence_for, resolve_device, studies, study_of
from models_registry import MODELS, Configuration
from models_registry.weights import available
from planner.answer import ComponentFlops
from planner.cost import Convention, memory_bytes, pass_flops
from planner.cost.whisper import SEED_OUTPUT_TOKENS
from planner.question import FrontQuestion, Question, Setting
from planner.recommend import Planner

if TYPE_CHECKING:
    from measurements.settings import Settings
    from measurements.store import Store

_PLANNERS_KEPT = 16

_Asked = TypeVar("_Asked", bound=Setting)


class PlanningService:
    """Answers questions, keeping a fitted planner for each study and device.

    Args:
        store: Where measurements are kept; none leaves the catalogue.
    """

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self._planners: OrderedDict[tuple[object, ...], Planner] = OrderedDict()
        self._lock = threading.Lock()

    def recommend(self, question: Question) -> RecommendationResponse:
        """The answer to a question.

        Raises:
            PlannerError: There is none.
            UnknownNameError: A study, model or device is not known.
        """
        planner, resolved = self._resolved(question)
        return RecommendationResponse(
            recommendation=planner.recommend(resolved), study=planner.summary(resolved)
        )

    def front(self, question: FrontQuestion) -> FrontResponse:
        """The Pareto front over two of quality and the costs.

        Raises:
            PlannerError: There is none.
            UnknownNameError: A study, model or device is not known.
        """
        planner, resolved = self._resolved(question)
        return FrontResponse(front=planner.front(resolved), study=planner.summary(resolved))

    def _resolved(self, question: _Asked) -> tuple[Planner, _Asked]:
        """The planner for a question, and the question with its device's own name."""
        device = resolve_device(question.device, self._store)
        resolved = question.model_copy(update={"device": device})
        return self._planner(resolved), resolved

    def _planner(self, question: Setting) -> Planner:
        revision = 0 if self._store is None else self._store.revision()
        key = (revision, question.task, question.study, question.device, question.seed)
        with self._lock:
            if key in self._planners:
                self._planners.move_to_end(key)
                return self._planners[key]
        evidence = evidence_for(question.task, question.study, self._store, device=question.device)
        planner = Planner(evidence, question.seed)
        with self._lock:
            self._planners[key] = planner
            while len(self._planners) > _PLANNERS_KEPT:
                self._planners.popitem(last=False)
        return planner


def cost_of(
    configuration: Configuration,
    *,
    convention: Convention = "counted-1",
    output_tokens: int = SEED_OUTPUT_TOKENS,
    classes: int = 0,
) -> CostResponse:
    """FLOPs and memory of one forward pass over a full window.

    Raises:
        ValueError: The convention does not cover the configuration.
    """
    flops = pass_flops(
        configuration, output_tokens=output_tokens, convention=convention, classes=classes
    )
    memory = memory_bytes(configuration, output_tokens)
    return CostResponse(
        gflops=float(flops.total) / 1e9,
        convention=convention,
        breakdown=[
            ComponentFlops(component=name, flops=float(value))
            for name, value in flops.components.items()
        ],
        memory_bytes=sum(memory.values()),
        memory_breakdown=memory,
        output_tokens=output_tokens if configuration.task == "asr" else None,
        configuration=configuration,
    )


def list_models() -> list[ModelInfo]:
    """Every model of the registry, and whether its weights are here."""
    return [
        ModelInfo(
            name=model.name,
            family=model.family,
            tasks=list(model.tasks),
            parameters=model.parameters,
            encoder_layers=model.encoder_layers,
            max_window_s=model.max_window_s,
            hub_id=model.hub_id,
            weights="installed" if available(model.name) else "hub",
        )
        for model in MODELS
    ]


def list_studies(store: Store | None) -> list[StudyInfo]:
    """Every study and how much is known in it."""
    return [
        StudyInfo(
            id=study.id,
            task=study.task,
            measured=sum(m.source == "measured" for m in study.measurements),
            published=sum(m.source == "published" for m in study.measurements),
        )
        for study in studies(store)
    ]


def measurements_page(store: Store | None, study: str, cursor: int, limit: int) -> MeasurementsPage:
    """A page of a study's measurements: the catalogue's first, then the store's.

    Raises:
        UnknownNameError: There is no such study.
    """
    everything = study_of(store, study).measurements
    end = cursor + limit
    return MeasurementsPage(
        items=list(everything[cursor:end]),
        next_cursor=str(end) if end < len(everything) else None,
    )


def check_dataset(name: str | None, settings: Settings) -> None:
    """Lets only data sets be named over HTTP that lie in an allowed folder.

    Raises:
        DatasetError: It lies elsewhere.
    """
    if name is None or ":" not in name:
        return
    _, _, rest = name.partition(":")
    place = Path(rest).expanduser().resolve()
    if not any(place.is_relative_to(root.resolve()) for root in settings.data_roots):
        raise DatasetError(
            f"data set {name!r} is not in an allowed folder; the service's"
            " SPEECHPLAN_DATA_ROOTS names those"
        )
