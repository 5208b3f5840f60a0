"""Answers to questions, and plans of them."""

from __future__ import annotations

import platform
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeVar

from api.memory import give_back
from api.schemas import (
    FrontResponse,
    PredictionsRequest,
    PredictionsResponse,
    RecommendationResponse,
    ScalingResponse,
)
from measurements.anchors import ratios_to_known
from measurements.datasets import DatasetError, open_dataset
from measurements.devices import local_device
from measurements.fits import FITS
from measurements.judgements import SavedPredictions
from measurements.studies import evidence_for, resolve_device, study_of, study_of_dataset
from models_registry import Plan
from models_registry.weights import pinned
from planner import words
from planner.answer import Recommendation, StudySummary
from planner.curves.along import curves_along, held
from planner.question import FrontQuestion, Question, Setting
from planner.recommend import Planner
from planner.workload import Workload

if TYPE_CHECKING:
    from measurements.store import Store

_KEPT_BYTES = 22e6
"""Of all planners: a few studies, each with a few devices; another is ready in half a second."""
_EVIDENCE_BYTES = 2_000_000

_Asked = TypeVar("_Asked", bound=Setting)


@dataclass
class _Kept:
    """A planner that is made once, and answers one question at a time.

    What it keeps between questions is not made for several threads; nor would they be faster,
    since they share one interpreter.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    planner: Planner | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of what it keeps, about; nothing but evidence in the beginning."""
        return _EVIDENCE_BYTES + (0 if self.planner is None else self.planner.nbytes)


class PlanningService:
    """Answers questions, keeping a fitted planner for each study, what is left out, and device.

    Args:
        store: Where measurements are kept; none leaves the catalogue.
        note: Told of every recommendation.
    """

    def __init__(
        self, store: Store | None, note: Callable[[Recommendation], None] | None = None
    ) -> None:
        self._store = store
        self._note = note
        self._planners: OrderedDict[tuple[object, ...], _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def revision(self) -> int:
        """A number that grows with what is known."""
        return 0 if self._store is None else self._store.revision()

    def recommend(self, question: Question, revision: int | None = None) -> RecommendationResponse:
        """The answer to a question.

        Args:
            question: What is asked.
            revision: Of what is known; looked up when left out.

        Raises:
            PlannerError: There is none.
            UnknownNameError: A study, model or device is not known.
        """
        with self._asked(question, revision) as (planner, resolved):
            found = RecommendationResponse(
                recommendation=planner.recommend(resolved), study=planner.summary(resolved)
            )
        if self._note is not None:
            self._note(found.recommendation)
        return found

    def front(self, question: FrontQuestion, revision: int | None = None) -> FrontResponse:
        """The Pareto front over two of quality and the costs.

        Args:
            question: What is asked.
            revision: Of what is known; looked up when left out.

        Raises:
            PlannerError: There is none.
            UnknownNameError: A study, model or device is not known.
        """
        with self._asked(question, revision) as (planner, resolved):
            return FrontResponse(front=planner.front(resolved), study=planner.summary(resolved))

    def predict(
        self, asked: PredictionsRequest, revision: int | None = None
    ) -> PredictionsResponse:
        """Everything that is known of configurations, one by one.

        Args:
            asked: Which, and in what setting.
            revision: Of what is known; looked up when left out.

        Raises:
            PlannerError: Too little is known, or a configuration is not for the device.
            DatasetError: The data set can't be used, or is another study's than the one named.
            UnknownNameError: The study or the device is not known.
        """
        return self.answer_of(self.predict_for_later(asked, revision))

    @staticmethod
    def answer_of(saved: SavedPredictions) -> PredictionsResponse:
        """Saved predictions as they are answered."""
        return PredictionsResponse(
            items=list(saved.items),
            study=saved.study,
            workload=words.workload(saved.workload, saved.task),
            device=saved.device,
            level=saved.level,
            left_out=saved.left_out,
        )

    def predict_for_later(
        self, asked: PredictionsRequest, revision: int | None = None
    ) -> SavedPredictions:
        """The same with all that it takes to judge it when something was measured.

        Raises:
            PlannerError: Too little is known, or a configuration is not for the device.
            DatasetError: The data set can't be used, or is another study's than the one named.
            UnknownNameError: The study or the device is not known.
        """
        setting = asked.setting()
        if asked.dataset is not None:
            setting = setting.model_copy(update={"study": self._study_of(asked, setting)})
        revision = self.revision() if revision is None else revision
        with self._asked(setting, revision) as (planner, resolved):
            items = planner.predictions(asked.configurations, resolved)
            left_out = planner.left_out(resolved)
            evidence = planner.evidence
            ratios = ratios_to_known(planner, asked.configurations, self._store, asked.level)
        served = setting.workload or evidence.workload
        return SavedPredictions(
            created_at=datetime.now(UTC),
            software={name: version(name) for name in ("speechplan", "numpy", "scipy")}
            | {"python": platform.python_version()},
            revision=revision,
            task=setting.task,
            study=evidence.study,
            device=resolved.device,
            level=asked.level,
            convention=asked.convention,
            workload=served,
            of_study=served.same_recordings(evidence.workload),
            request=asked.model_dump(mode="json", exclude_defaults=True),
            left_out={str(name): why for name, why in left_out.items()},
            items=tuple(items),
            ratios=ratios,
        )

    def _study_of(self, asked: PredictionsRequest, setting: Setting) -> str:
        """The study of the data set that is named."""
        assert asked.dataset is not None
        speech = open_dataset(
            asked.dataset,
            asked.subset,
            task=setting.task,
            language=asked.language,
            called=asked.dataset_name,
        )
        found = study_of_dataset(speech, asked.dataset, setting.task, self._store)
        if asked.study not in (None, found):
            raise DatasetError(
                f"data set {asked.dataset} belongs to study {found}, not to {asked.study}: name"
                " one of them"
            )
        return found

    def summary(self, question: Question) -> StudySummary:
        """Which study a question is answered for, and what that rests on."""
        with self._asked(question) as (planner, resolved):
            return planner.summary(resolved)

    def scaling(self, study: str, level: float) -> ScalingResponse:
        """The fitted curves that a study's answers come from.

        Raises:
            PlannerError: Too little is known for curves.
            UnknownNameError: The study is not known.
        """
        task = study_of(self._store, study).task
        with self._asked(Setting(task=task, study=study)) as (planner, _):
            model = planner.quality.curves
        at = {"study": study}
        return ScalingResponse(
            study=study,
            task=task,
            error="wer" if task == "asr" else "1 - ua",
            level=level,
            held=held(model, at),
            fit=model.summary(),
            curves=list(curves_along(model, at=at, level=level, own_only=True)),
        )

    def study_workload(self, question: Setting) -> Workload:
        """The workload of a question that names none.

        Raises:
            PlannerError: Nothing is known of the study.
            UnknownNameError: The study or the device is not known.
        """
        with self._asked(question) as (planner, _):
            return planner.evidence.workload

    @contextmanager
    def _asked(
        self, question: _Asked, revision: int | None = None
    ) -> Iterator[tuple[Planner, _Asked]]:
        """The planner for a question, nobody else's meanwhile, and the question as it takes it."""
        device = resolve_device(question.device, self._store)
        resolved = question.model_copy(update={"device": device})
        if revision is None:
            revision = self.revision()
        # Trials take seconds: they keep nobody waiting who asks without.
        trials = bool(getattr(question, "trials", 0))
        # One serves all devices; only of this machine itself may more have to be found out.
        local = device == local_device().id
        known_of = (question.task, question.study, frozenset(question.without_studies))
        key = (revision, *known_of, local, question.seed, trials)
        with self._lock:
            for old in [other for other in self._planners if other[0] != revision]:
                del self._planners[old]
            kept = self._planners.setdefault(key, _Kept())
            self._planners.move_to_end(key)
            self._make_room()
        with kept.lock:
            if kept.planner is None:
                try:
                    kept.planner = self._planner(resolved)
                except Exception:
                    with self._lock:
                        self._planners.pop(key, None)
                    raise
            before = kept.planner.nbytes
            yield kept.planner, resolved
            if kept.planner.nbytes != before:
                give_back()

    def _make_room(self) -> None:
        """Lets planners go that were not asked for longest, while all of them weigh too much."""
        weights = {key: kept.nbytes for key, kept in self._planners.items()}
        for key in list(weights)[:-1]:
            if sum(weights.values()) <= _KEPT_BYTES:
                break
            del self._planners[key], weights[key]

    def _planner(self, question: Setting) -> Planner:
        evidence = evidence_for(
            question.task,
            question.study,
            self._store,
            device=question.device,
            without_studies=question.without_studies,
        )
        return Planner(evidence, question.seed, fits=FITS)


def plan_of(answer: RecommendationResponse, question: Question) -> Plan:
    """An answer as a file that runs, with the weights that the hub's cache has here."""
    found = answer.recommendation
    weights = pinned(found.configuration.model)
    return Plan(
        configuration=found.configuration,
        weights=None if weights is None else str(weights),
        weights_sha256=None if weights is None else dict(weights.sha256),
        language=answer.study.language,
        expected={name: one.model_dump() for name, one in found.predictions.items()},
        study=answer.study.id,
        question=question.model_dump(mode="json", exclude_defaults=True),
        made_by=f"speechplan {version('speechplan')}",
    )
