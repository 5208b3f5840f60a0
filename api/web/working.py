"""Real runs: sweeps and verifications, started, followed and ended."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect, Template
from pydantic import Field, Json, field_validator

from api import paging, verified
from api.idempotency import identifier_of
from api.paging import Before
from api.problems import not_found
from api.schemas import Schema
from api.security import has_keys
from api.services.datasets import check_dataset
from api.services.planning import PlanningService
from api.web import answers, fields
from api.web.asking import answered
from api.web.site import AnyRequest, page
from measurements import verification as verifications
from measurements.datasets import DatasetError
from measurements.jobs.queue import JobQueue
from measurements.settings import Settings
from measurements.store import Store
from measurements.sweeps.kept import KeptSweep
from measurements.verification_records import Verification
from models_registry import Configuration, UnknownNameError
from models_registry.adapters import AdapterError
from planner.errors import PlannerError

SHOWN = 50
"""Sweeps or verifications on a page."""


class VerifyForm(Schema):
    """What the form beside an answer says.

    Attributes:
        nonce: The same form sent twice starts one verification.
        dataset: What to run on; the study's own speech when left out.
        language: Language of its speech, by code or name.
        dataset_name: Short name of the data set, instead of its own.
        limit: Utterances at most.
        max_runs: Real runs at most.
        configuration: What to run, as JSON; the plan's candidates in turn when left out.
    """

    nonce: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    dataset: Annotated[str, Field(max_length=1000)] | None = None
    language: Annotated[str, Field(max_length=100)] | None = None
    dataset_name: Annotated[str, Field(max_length=150)] | None = None
    limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    max_runs: Annotated[int, Field(ge=1, le=100)] | None = None

    configuration: Json[Configuration] | None = None

    @field_validator(
        "dataset", "language", "dataset_name", "limit", "max_runs", "configuration", mode="before"
    )
    @classmethod
    def _left_empty(cls, value: object) -> object:
        return None if isinstance(value, str) and not value.strip() else value


class VerificationPages(Controller):
    """Verifications."""

    path = "/verifications"

    @get(sync_to_thread=True)
    def index(
        self, request: AnyRequest, store: NamedDependency[Store], cursor: Before = None
    ) -> Template:
        """Verifications, newest first."""
        paging.check(cursor, store.verification)
        found = verifications.find_all(store, before=cursor, limit=SHOWN + 1)
        return page(
            request,
            "verifications",
            items=found[:SHOWN],
            next_cursor=found[SHOWN - 1].id if len(found) > SHOWN else None,
        )

    @post(sync_to_thread=True, opt={"scope": "measure"})
    def start(
        self,
        request: AnyRequest,
        data: URLEncodedBody[VerifyForm],
        planning: NamedDependency[PlanningService],
        store: NamedDependency[Store],
        queue: NamedDependency[JobQueue],
        settings: NamedDependency[Settings],
    ) -> Redirect | Template:
        """Begins to verify the answer to the question that the address asks."""
        asked = fields.ask(request.query_params.multi_items(), planning.study_workload)
        question = asked.question
        if question is None:
            if not asked.errors:
                asked = fields.Asked({}, None, {"": "nothing is asked: name a budget or a target"})
            return answered(request, asked, planning, store, settings)
        identifier = identifier_of(data.nonce, self.path, question.model_dump_json())
        if verifications.find(identifier, store) is None:
            try:
                check_dataset(data.dataset, settings)
                verifications.create(
                    question,
                    store,
                    configuration=data.configuration,
                    dataset=data.dataset,
                    language=data.language,
                    dataset_name=data.dataset_name,
                    limit=data.limit,
                    max_runs=data.max_runs,
                    identifier=identifier,
                )
            except (AdapterError, DatasetError, PlannerError, UnknownNameError) as error:
                return answered(request, asked, planning, store, settings, refused=error)
        queue.enqueue_verification(identifier)
        return Redirect(f"{self.path}/{identifier}", status_code=303)

    @get("/{verification_id:str}", sync_to_thread=True)
    def show(
        self,
        request: AnyRequest,
        verification_id: FromPath[str],
        planning: NamedDependency[PlanningService],
        store: NamedDependency[Store],
        settings: NamedDependency[Settings],
    ) -> Template:
        """How far it is, the verdicts, and the answer as it stands."""
        verification = _found(verification_id, store)
        response = verified.response(verification, planning)
        return page(
            request,
            "verification",
            verification=verification,
            response=response,
            view=answers.view(
                response,
                verification.question,
                planning,
                base_url=str(request.base_url).rstrip("/"),
                keyed=has_keys(store, settings),
            ),
        )

    @post("/{verification_id:str}/cancel", sync_to_thread=True, opt={"scope": "measure"})
    def cancel(self, verification_id: FromPath[str], store: NamedDependency[Store]) -> Redirect:
        """Ends it behind the batch under way."""
        verifications.cancel(_found(verification_id, store), store)
        return Redirect(f"{self.path}/{verification_id}", status_code=303)


class SweepPages(Controller):
    """Sweeps."""

    path = "/sweeps"

    @get(sync_to_thread=True)
    def index(
        self, request: AnyRequest, store: NamedDependency[Store], cursor: Before = None
    ) -> Template:
        """Sweeps, newest first."""
        paging.check(cursor, store.sweep)
        rows = store.recent_sweeps(before=cursor, limit=SHOWN + 1)
        shown = [KeptSweep.of(row.id, store) for row in rows[:SHOWN]]
        return page(
            request,
            "sweeps",
            items=[(sweep, sweep.progress()) for sweep in shown],
            next_cursor=rows[SHOWN - 1].id if len(rows) > SHOWN else None,
        )

    @get("/{sweep_id:str}", sync_to_thread=True)
    def show(
        self, request: AnyRequest, sweep_id: FromPath[str], store: NamedDependency[Store]
    ) -> Template:
        """How far it is, and what came out of each run."""
        sweep = _found_sweep(sweep_id, store)
        return page(request, "sweep", sweep=sweep, progress=sweep.progress())

    @post("/{sweep_id:str}/cancel", sync_to_thread=True, opt={"scope": "measure"})
    def cancel(self, sweep_id: FromPath[str], store: NamedDependency[Store]) -> Redirect:
        """Ends it behind the run under way."""
        _found_sweep(sweep_id, store).cancel()
        return Redirect(f"{self.path}/{sweep_id}", status_code=303)


def _found(identifier: str, store: Store) -> Verification:
    found = verifications.find(identifier, store)
    if found is None:
        raise not_found("verification", identifier)
    return found


def _found_sweep(identifier: str, store: Store) -> KeptSweep:
    try:
        return KeptSweep.of(identifier, store)
    except UnknownNameError as error:
        raise not_found("sweep", error.name) from None
