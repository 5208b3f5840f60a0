"""Studies, and what was measured in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.memory import give_back
from api.schemas import CurvesResponse, StudyInfo
from measurements.measured_curves import measured_curves
from measurements.studies import Study, studies, study_of
from models_registry import MODELS

if TYPE_CHECKING:
    from measurements.store import Store


def list_studies(store: Store | None) -> list[StudyInfo]:
    """Every study and how much is known in it."""
    return [study_info(study) for study in studies(store)]


def study_info(study: Study) -> StudyInfo:
    """A study and how much is known in it."""
    return StudyInfo(
        id=study.id,
        task=study.task,
        measured=sum(m.source == "measured" for m in study.measurements),
        published=sum(m.source == "published" for m in study.measurements),
    )


def study_curves(store: Store | None, study: str, model: str | None, seed: int) -> CurvesResponse:
    """What was measured along each axis of a study, in pairs against its centre.

    Raises:
        UnknownNameError: There is no such study or model.
    """
    wanted = None if model is None else MODELS.canonical(model)
    found = measured_curves(study_of(store, study).measurements, model=wanted, seed=seed)
    give_back()
    return CurvesResponse(items=found)
