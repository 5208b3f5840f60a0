"""Answers with all that is known of their configuration, to be written into files."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from api.schemas import RecommendationResponse
from api.services.planning import PlanningService, plan_of
from measurements import verification as verifications
from measurements.adaptation.records import TrainingRecord, records
from measurements.records import Measurement
from measurements.studies import study_of
from models_registry import (
    Configuration,
    Plan,
    PlanError,
    UnknownNameError,
    WeightsError,
    write_plan,
)
from models_registry.adapters import AdapterError, find_adapter
from models_registry.readouts import find_readouts, pack_readout
from models_registry.weights import available
from planner.question import Question

if TYPE_CHECKING:
    from measurements.store import Store


@dataclass(frozen=True)
class Export:
    """An answer and what is known of its configuration.

    Attributes:
        plan: What runs.
        answer: Where it comes from.
        measurement: The configuration's own measurement in the study; none if it has none.
        training: How its adapter was trained; none without one, or where it is not here.
        adapter: Folder of its adapter; none without one, or where it is not here.
        readout: Folder of its read-out (SER without an adapter); none where it is not here.
        missing: What it can't run without and is not here, and the command that trains it.
    """

    plan: Plan
    answer: RecommendationResponse
    measurement: Measurement | None
    training: TrainingRecord | None
    adapter: Path | None = None
    readout: Path | None = None
    missing: str | None = None

    @property
    def weights_here(self) -> bool:
        """Whether the model's weights are on this machine, without a download."""
        return available(self.plan.configuration.model)


def write_export(export: Export, output: Path) -> Plan:
    """Writes the plan, and beside it what was trained for it and is on this machine.

    Args:
        export: What to write.
        output: The plan's file; the others are named after it.

    Returns:
        The plan, which names them.

    Raises:
        PlanError: A file can't be written.
        WeightsError: The read-out is damaged.
    """
    update = {}
    try:
        if export.readout is not None:
            update["readout"] = f"{output.stem}.readout.safetensors"
            pack_readout(export.readout, output.with_name(update["readout"]))
        if export.adapter is not None:
            update["adapter"] = f"{output.stem}.adapter"
            folder = output.with_name(update["adapter"])
            if folder.resolve() != export.adapter.resolve():
                shutil.copytree(export.adapter, folder, dirs_exist_ok=True)
    except OSError as error:
        raise PlanError(f"{output}: {error.strerror or error}") from None
    plan = export.plan.model_copy(update=update)
    write_plan(plan, output)
    return plan


def export_of(
    question: Question, planning: PlanningService, store: Store | None, revision: int | None = None
) -> Export:
    """The answer to a question, to be written into files.

    Args:
        question: What is asked.
        planning: Answers it.
        store: Where measurements are kept; none leaves the catalogue.
        revision: Of what is known; looked up when left out.

    Raises:
        PlannerError: There is none.
        UnknownNameError: A study, model or device is not known.
    """
    return _export(planning.recommend(question, revision), question, store)


def export_of_stored(identifier: str, planning: PlanningService, store: Store | None) -> Export:
    """A recommendation that was verified, as its verification left it.

    Raises:
        UnknownNameError: There is none of that id.
    """
    found = None if store is None else verifications.find(identifier, store)
    if found is None:
        known = [] if store is None else [one.id for one in verifications.find_all(store)]
        raise UnknownNameError("recommendation", identifier, known, made_by="speechplan verify")
    outcome = found.outcome
    standing = found.recommendation
    if outcome is not None and outcome.recommendation is not None:
        standing = outcome.recommendation
    answer = RecommendationResponse(recommendation=standing, study=planning.summary(found.question))
    return _export(answer, found.question, store)


def _export(answer: RecommendationResponse, question: Question, store: Store | None) -> Export:
    configuration = answer.recommendation.configuration
    own = [
        m
        for m in study_of(store, answer.study.id).measurements
        if m.configuration in (configuration, configuration.unbatched)
    ]
    measurement = own[-1] if own else None
    key = None if measurement is None or measurement.adapter is None else measurement.adapter.key
    training = next((one for one in records() if one.key == key), None) if key else None
    # An adapter that is elsewhere can't be asked for by name: one that is trained here may do.
    here = None if training is None else training.key
    plan = plan_of(answer, question).model_copy(update={"adapter": here})
    adapter, readout, missing = _trained(configuration, plan, measurement)
    return Export(plan, answer, measurement, training, adapter, readout, missing)


def _trained(
    configuration: Configuration, plan: Plan, measurement: Measurement | None
) -> tuple[Path | None, Path | None, str | None]:
    """Folders of the adapter and of the read-out on this machine, and what is missing."""
    try:
        if configuration.adapter != "none":
            return find_adapter(configuration, plan.adapter).folder, None, None
        if configuration.task == "ser":
            found = find_readouts(configuration, plan.study, plan.trained_by())
            own = [one for one in found if measurement and one.name == measurement.key]
            return None, (own or found)[0], None
    except (AdapterError, WeightsError) as error:
        return None, None, str(error)
    return None, None, None
