"""The service's operations. Each method's signature is the whole description of its own."""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from typing import Annotated

from api.client.calls import KEY_HEADER, Header
from api.client.operations import Download, Ending, Upload, delete, each, events, get, post
from api.job_schemas import (
    SweepResponse,
    SweepRunsPage,
    SweepsPage,
    VerificationRequest,
    VerificationResponse,
    VerificationsPage,
    VerifiedResponse,
    Verify,
)
from api.schemas import (
    CostResponse,
    CoverageResponse,
    CurvesIndex,
    CurvesResponse,
    DevicesResponse,
    FrontResponse,
    Health,
    Imported,
    ImportRequest,
    ListedDevice,
    MeasurementsPage,
    ModelInfo,
    ModelsResponse,
    PredictionsRequest,
    PredictionsResponse,
    ScalingResponse,
    StudiesResponse,
    StudyInfo,
)
from measurements.figures import Unit
from measurements.records import Measurement, Source
from measurements.sweeps.spec import SweepSpec
from models_registry import Plan
from models_registry.configuration import (
    AdapterKind,
    Precision,
    Readout,
    Recipe,
    Reduction,
    Task,
    WindowPolicy,
)
from planner.cost import Convention
from planner.question import FrontQuestion, Question

_Key = Annotated[str | None, Header(KEY_HEADER)]
"""The same key with the same request begins one piece of work; a fresh one, which retries keep,
when left out."""

_Revision = Annotated[str | None, Header("If-Match")]
"""What is known has to be of this revision still; any when left out."""


def _verified(found: VerificationResponse) -> bool:
    return found.verification.finished_at is not None


def _swept(found: SweepResponse) -> bool:
    return found.status != "running"


class Routes:
    """Every operation, named like the operation id of the OpenAPI document."""

    @post("/v1/recommendations")
    def recommend(
        self,
        question: Question,
        *,
        verify: Verify = "never",
        dataset: str | None = None,
        language: str | None = None,
        dataset_name: str | None = None,
        limit: int | None = None,
        wait_s: float = 120.0,
        idempotency_key: _Key = None,
        revision: _Revision = None,
    ) -> VerifiedResponse:
        """The best configuration within a budget, or the cheapest that reaches a target.

        Args:
            question: Budgets or a target, of what and for whom.
            verify: Whether to check the answer by real runs: ``never``, ``auto`` (where the
                decision is at risk), ``always``, or ``wait`` until they are over.
            dataset: Data set of the runs; the study's own when left out.
            language: Language of the data set, by code or name, where it does not say it.
            dataset_name: Short name of the data set, instead of its own.
            limit: Utterances at most.
            wait_s: Longest wait with ``verify="wait"``.
            idempotency_key: The same key with the same request begins one verification; a
                fresh one, which retries keep, when left out.
            revision: What is known has to be of this revision still; any when left out.

        Raises:
            StaleRevisionError: New measurements came in.
            NoFeasibleConfigurationError: Nothing meets the budget.
            InsufficientDataError: Too little is known.
            UnknownNameError: A study, model or device is not known.
        """

    @get("/v1/recommendations/{recommendation_id}")
    def get_recommendation(self, recommendation_id: str) -> VerifiedResponse:
        """The answer as it stands, what has changed since, and its verification."""

    @get("/v1/recommendations/{recommendation_id}/plan")
    def get_plan(self, recommendation_id: str) -> Plan:
        """The answer as it stands, as a plan: ``models_registry.write_plan`` makes it a file."""

    @get("/v1/recommendations/{recommendation_id}/model-card")
    def get_model_card(self, recommendation_id: str) -> str:
        """A fragment of a model card for the answer as it stands, in Markdown."""

    @post("/v1/plans")
    def make_plan(self, question: Question, *, revision: _Revision = None) -> Plan:
        """The answer to a question as a plan: ``models_registry.write_plan`` makes it a file.

        Args:
            question: Budgets or a target, of what and for whom.
            revision: What is known has to be of this revision still; any when left out.

        Raises:
            StaleRevisionError: New measurements came in.
            NoFeasibleConfigurationError: Nothing meets the budget.
        """

    @post("/v1/pareto-fronts")
    def draw_front(self, question: FrontQuestion, *, revision: _Revision = None) -> FrontResponse:
        """The Pareto front over any two of quality and the costs."""

    @post("/v1/predictions")
    def predict(
        self, request: PredictionsRequest, *, revision: _Revision = None
    ) -> PredictionsResponse:
        """Everything that is known of configurations: what a recommendation of each would say.

        Args:
            request: Which, for which study, on which device, for which workload.
            revision: What is known has to be of this revision still; any when left out.

        Raises:
            InvalidRequestError: A configuration can't be run like that; the field is named.
            StaleRevisionError: New measurements came in.
            InsufficientDataError: Too little is known.
            UnknownNameError: A study or device is not known.
        """

    @post("/v1/verifications")
    def start_verification(
        self,
        request: VerificationRequest,
        *,
        idempotency_key: _Key = None,
        revision: _Revision = None,
    ) -> VerificationResponse:
        """Queue real runs that check an answer.

        Args:
            request: The question, and how much may be run.
            idempotency_key: The same key with the same request begins one verification; a
                fresh one, which retries keep, when left out.
            revision: What is known has to be of this revision still; any when left out.

        Raises:
            StaleRevisionError: New measurements came in.
        """

    @get("/v1/verifications")
    def list_verifications(
        self, *, study: str | None = None, cursor: str | None = None, limit: int = 20
    ) -> VerificationsPage:
        """A page of verifications, newest first."""

    verifications = each(list_verifications)

    @get("/v1/verifications/{verification_id}")
    def get_verification(self, verification_id: str) -> VerificationResponse:
        """A verification's status and progress; at the end, the verdict and the new answer."""

    wait_for_verification = Ending(get_verification, _verified)

    @events("/v1/verifications/{verification_id}/events", _verified)
    def follow_verification(self, verification_id: str) -> VerificationResponse:
        """Yield a verification whenever something about it has changed, until it is over."""

    @delete("/v1/verifications/{verification_id}")
    def cancel_verification(self, verification_id: str) -> VerificationResponse:
        """End a verification behind the batch under way.

        Raises:
            ConflictError: It is over already.
        """

    @get("/v1/calibration")
    def get_coverage(self, *, cursor: str = "0", limit: int = 100) -> CoverageResponse:
        """A page of how often verified predictions came out inside of their interval."""

    coverage = each(get_coverage)

    @post("/v1/sweeps")
    def start_sweep(self, spec: SweepSpec, *, idempotency_key: _Key = None) -> SweepResponse:
        """Queue measurements by a design; the same document goes on where it was."""

    @get("/v1/sweeps")
    def list_sweeps(self, *, cursor: str | None = None, limit: int = 20) -> SweepsPage:
        """A page of sweeps, newest first."""

    sweeps = each(list_sweeps)

    @get("/v1/sweeps/{sweep_id}")
    def get_sweep(self, sweep_id: str) -> SweepResponse:
        """How far a sweep is."""

    @get("/v1/sweeps/{sweep_id}/runs")
    def list_sweep_runs(
        self, sweep_id: str, *, cursor: str = "0", limit: int = 100
    ) -> SweepRunsPage:
        """A page of a sweep's runs, and what came out of each."""

    sweep_runs = each(list_sweep_runs)

    @events("/v1/sweeps/{sweep_id}/events", _swept)
    def follow_sweep(self, sweep_id: str) -> SweepResponse:
        """Yield a sweep whenever something about it has changed, until it is over."""

    wait_for_sweep = Ending(get_sweep, _swept)

    @delete("/v1/sweeps/{sweep_id}")
    def cancel_sweep(self, sweep_id: str) -> SweepResponse:
        """End a sweep behind the run under way."""

    @get("/v1/models")
    def list_models(self, *, cursor: str = "0", limit: int = 100) -> ModelsResponse:
        """A page of the models, and whether their weights are where the service runs."""

    models = each(list_models)

    @get("/v1/models/{model_name}")
    def get_model(self, model_name: str) -> ModelInfo:
        """A model by its name or an alias, and whether its weights are where the service runs."""

    @get("/v1/devices", kept=True)
    def list_devices(self, *, cursor: str = "0", limit: int = 100) -> DevicesResponse:
        """A page of the devices that time, energy and money can be asked for."""

    devices = each(list_devices)

    @get("/v1/devices/{device_id}", kept=True)
    def get_device(self, device_id: str) -> ListedDevice:
        """A device and what was timed on it; ``local`` is the one that the service runs on."""

    @get("/v1/costs")
    def get_cost(
        self,
        model: str,
        *,
        task: Task = "asr",
        window_s: float = 30.0,
        window_policy: WindowPolicy = "chunk",
        tail_s: float | None = None,
        token_stride: float = 1.0,
        reduction_layer: int | None = None,
        reduction: Reduction = "mean",
        exit_layer: int | None = None,
        readout: Readout = "linear",
        classes: int = 0,
        adapter: AdapterKind = "none",
        rank: int | None = None,
        unfrozen_layers: int = 0,
        recipe: Recipe | None = None,
        merged: bool = True,
        precision: Precision = "fp32",
        batch_size: int = 1,
        output_tokens: int = 20,
        convention: Convention = "counted-1",
    ) -> CostResponse:
        """FLOPs and memory of one forward pass over a full window."""

    @get("/v1/studies", kept=True)
    def list_studies(self, *, cursor: str = "0", limit: int = 100) -> StudiesResponse:
        """A page of the studies, and how much is known in each."""

    studies = each(list_studies)

    @get("/v1/studies/{study_id}", kept=True)
    def get_study(self, study_id: str) -> StudyInfo:
        """A study, and how much is known in it.

        Raises:
            NotFoundError: There is none of that id; it names those that are like it.
        """

    @get("/v1/curves", kept=True)
    def index_curves(self, *, cursor: str = "0", limit: int = 100) -> CurvesIndex:
        """A page of where the curves of each study are."""

    @get("/v1/studies/{study_id}/curves", kept=True)
    def list_curves(
        self,
        study_id: str,
        *,
        model: str | None = None,
        seed: int = 0,
        cursor: str = "0",
        limit: int = 100,
    ) -> CurvesResponse:
        """A page of what was measured along each axis, in pairs against the study's centre."""

    curves = each(list_curves)

    @get("/v1/studies/{study_id}/scaling", kept=True)
    def get_scaling(self, study_id: str, *, level: float = 0.9) -> ScalingResponse:
        """The fitted curves that a study's answers come from, along each axis.

        Raises:
            InsufficientDataError: Too little is known for curves.
        """

    @get("/v1/studies/{study_id}/measurements", kept=True)
    def list_measurements(
        self, study_id: str, *, cursor: str = "0", limit: int = 50
    ) -> MeasurementsPage:
        """A page of a study's measurements, oldest first."""

    measurements = each(list_measurements)

    @get("/v1/measurements", kept=True)
    def find_measurements(
        self,
        *,
        study: str | None = None,
        model: str | None = None,
        source: Source | None = None,
        task: Task | None = None,
        cursor: str = "0",
        limit: int = 50,
    ) -> MeasurementsPage:
        """A page of the measurements that every filter lets through."""

    all_measurements = each(find_measurements)

    export_measurements = Download(find_measurements)

    @get("/v1/measurements/{key}", kept=True)
    def get_measurement(self, key: str) -> Measurement:
        """A measurement: what was run, on what speech, and what came out."""

    @post("/v1/measurements")
    def import_measurements(self, request: ImportRequest, *, unit: Unit | None = None) -> Imported:
        """Store measurements that were made elsewhere, all of them or none.

        Args:
            request: The measurements.
            unit: Of the figures of flat rows that don't name it: ``fraction`` or ``percent``.

        Raises:
            RowsError: Some are no measurements.
        """

    import_file = Upload(import_measurements)

    @get("/health")
    def get_health(self) -> Health:
        """Whether the service can work."""

    @get("/health/live")
    def get_liveness(self) -> Health:
        """Whether the process answers at all."""

    @get("/health/ready")
    def get_readiness(self) -> Health:
        """Whether requests should be sent there.

        Raises:
            NotReadyError: They should not; it says why.
        """

    @get("/metrics")
    def get_metrics(self) -> str:
        """Figures in Prometheus' text format."""
