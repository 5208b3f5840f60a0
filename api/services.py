"""What the HTTP routes and the command line share."""

from __future__ import annotations

import threading
from collections import OrderedDict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from api.schemas import (
    CostResponse,
    CurvesResponse,
    DevicesResponse,
    FrontResponse,
    ListedDevice,
    MeasurementsPage,
    ModelInfo,
    Predicted,
    PredictionsRequest,
    PredictionsResponse,
    RecommendationResponse,
    StudyInfo,
)
from measurements.datasets import DatasetError
from measurements.devices import local_device
from measurements.fits import FITS
from measurements.measured_curves import measured_curves
from measurements.profiles import device_profiles
from measurements.studies import evidence_for, resolve_device, studies, study_of
from models_registry import MODELS, Configuration, Plan
from models_registry.devices import DEVICES
from models_registry.weights import available
from planner.answer import ComponentFlops, StudySummary
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

    def predict(self, asked: PredictionsRequest) -> PredictionsResponse:
        """Quality of configurations, one by one.

        Raises:
            PlannerError: Too little is known.
            UnknownNameError: The study is not known.
        """
        task = asked.configurations[0].task
        planner = self._planner(Setting(task=task, study=asked.study, seed=asked.seed))
        predictions = planner.predict(asked.configurations, asked.level)
        return PredictionsResponse(
            items=[
                Predicted(configuration=configuration, predictions=predicted)
                for configuration, predicted in zip(asked.configurations, predictions, strict=True)
            ],
            study=planner.evidence.study,
        )

    def summary(self, question: Question) -> StudySummary:
        """Which study a question is answered for, and what that rests on."""
        planner, resolved = self._resolved(question)
        return planner.summary(resolved)

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
        planner = Planner(evidence, question.seed, fits=FITS)
        with self._lock:
            self._planners[key] = planner
            while len(self._planners) > _PLANNERS_KEPT:
                self._planners.popitem(last=False)
        return planner


def plan_of(answer: RecommendationResponse, question: Question) -> Plan:
    """An answer as a file that runs."""
    found = answer.recommendation
    return Plan(
        configuration=found.configuration,
        expected={name: one.model_dump() for name, one in found.predictions.items()},  # type: ignore[misc]
        study=answer.study.id,
        question=question.model_dump(mode="json", exclude_defaults=True),
        made_by=f"speechplan {version('speechplan')}",
    )


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


def list_devices(store: Store | None) -> DevicesResponse:
    """Every device: those that were timed, this machine, and those of data sheets."""
    local = local_device()
    profiles = {profile.device.id: profile for profile in device_profiles(store)}
    known = {name: (profile.device.kind, "its timed runs") for name, profile in profiles.items()}
    known.setdefault(local.id, (local.kind, "a probe"))
    known |= {device.name: (device.kind, device.source) for device in DEVICES}
    return DevicesResponse(
        items=[
            ListedDevice(
                name=name,
                kind=kind,
                source=source,
                local=name == local.id,
                profile=profiles.get(name),
            )
            for name, (kind, source) in known.items()
        ],
        local=local.id,
    )


def study_curves(store: Store | None, study: str, model: str | None, seed: int) -> CurvesResponse:
    """What was measured along each axis of a study, in pairs against its centre.

    Raises:
        UnknownNameError: There is no such study or model.
    """
    wanted = None if model is None else MODELS.canonical(model)
    found = measured_curves(study_of(store, study).measurements, model=wanted, seed=seed)
    return CurvesResponse(items=found)


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
