"""What is asked: budgets, a target, a workload, and how careful to be."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models_registry.configuration import Task
from planner.cost import Convention
from planner.ranges import Bound, Chance, Price, Seed, Utilisation, Watts
from planner.workload import Workload

CostName = Literal[
    "gflops_per_utterance",
    "gflops_per_audio_second",
    "rtf",
    "latency_p50_s",
    "latency_p95_s",
    "memory_gib",
    "parameters",
    "usd_per_audio_hour",
    "joules_per_audio_second",
]

FrontAxis = Literal[CostName, "quality"]
"""What a front can be drawn over; quality is WER or unweighted accuracy."""

UNITS: dict[str, str] = {
    "gflops_per_utterance": "GFLOPs",
    "gflops_per_audio_second": "GFLOPs/s of audio",
    "rtf": "s/s",
    "latency_p50_s": "s",
    "latency_p95_s": "s",
    "memory_gib": "GiB",
    "parameters": "parameters",
    "usd_per_audio_hour": "USD/h of audio",
    "joules_per_audio_second": "J/s of audio",
}

TIMED: tuple[CostName, ...] = (
    "rtf",
    "latency_p50_s",
    "latency_p95_s",
    "usd_per_audio_hour",
    "joules_per_audio_second",
)
"""Costs that belong to a device."""


class Budget(BaseModel):
    """Upper bounds, all held at once.

    Attributes:
        gflops_per_utterance: GFLOPs of a recording, the mean over the workload.
        gflops_per_audio_second: GFLOPs for a second of audio.
        rtf: Seconds of computing per second of audio on the device.
        latency_p50_s: Seconds until a recording of median duration is done; with a batch,
            until all of it is.
        latency_p95_s: The same for a recording longer than 95 % of them.
        memory_gib: GiB of the process that serves it: its peak of resident memory (CPU), or
            what it holds of the device (CUDA); never more than a named device has.
        parameters: Parameters of the model.
        usd_per_audio_hour: Price of an hour of audio: of all devices that keep up, where the
            workload says how often recordings come, and of one at full use otherwise.
        joules_per_audio_second: Energy that the device draws for a second of audio.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gflops_per_utterance: Bound | None = None
    gflops_per_audio_second: Bound | None = None
    rtf: Bound | None = None
    latency_p50_s: Bound | None = None
    latency_p95_s: Bound | None = None
    memory_gib: Bound | None = None
    parameters: Bound | None = None
    usd_per_audio_hour: Bound | None = None
    joules_per_audio_second: Bound | None = None

    def bounds(self) -> dict[CostName, float]:
        """The bounds that are set, by cost."""
        return self.model_dump(exclude_none=True)  # type: ignore[return-value]


class Setting(BaseModel):
    """What every question says: of what, for whom, within which bounds.

    Attributes:
        task: ``asr`` or ``ser``.
        study: Study to answer for; the task's default when left out.
        without_studies: Other studies of the task whose measurements are not used.
        budget: Upper bounds.
        convention: How FLOPs are counted, budgets and answers alike.
        device: Device that time, energy and money belong to; ``local`` is this machine.
        usd_per_device_hour: Price of the device.
        device_watts: Power that it draws while it computes; what is known of it when left
            out.
        max_utilisation: Share of its time that a device may be busy, where the workload
            says how often recordings come; the rest is for their coming unevenly.
        workload: What is served; the study's recordings when left out.
        models: Only these models.
        level: Probability of the intervals.
        risk: Tolerated probability that a budget is missed, or of a wrong answer.
        seed: Seed of draws and searches.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Task = "asr"
    study: str | None = None
    without_studies: tuple[str, ...] = ()
    budget: Budget = Budget()
    convention: Convention = "counted-1"
    device: str | None = None
    usd_per_device_hour: Price | None = None
    device_watts: Watts | None = None
    max_utilisation: Utilisation = 0.7
    workload: Workload | None = None
    models: Annotated[tuple[str, ...], Field(min_length=1, max_length=100)] | None = None
    level: Chance = 0.90
    risk: Chance = 0.10
    seed: Seed = 0

    @property
    def asked_of(self) -> tuple[FrontAxis, ...]:
        """Costs that the answer is about."""
        return tuple(self.budget.bounds())

    @model_validator(mode="after")
    def _costs_are_known(self) -> Self:
        timed = [name for name in TIMED if name in self.asked_of]
        if timed and self.device is None:
            raise ValueError(f"{timed[0]} belongs to a device: name one, for example local")
        if "usd_per_audio_hour" in timed and self.usd_per_device_hour is None:
            raise ValueError("usd_per_audio_hour needs usd_per_device_hour")
        if self.convention != "counted-1" and self.task != "asr":
            raise ValueError(f"convention {self.convention} covers asr only")
        return self


class Question(Setting):
    """A question to the planner.

    With a target, the cheapest configuration that reaches it within the budget;
    without one, the best configuration within the budget.

    Attributes:
        target_wer: WER to reach, a fraction (ASR).
        target_ua: Unweighted accuracy to reach, a fraction (SER).
        minimise: Cost to keep low when there is a target.
        relax: Factors by which to relax budgets, to see what that buys; 1.2 for those left
            out.
        tolerance: Difference in error, as a share of it, that does not matter: the risk is
            that another configuration is better by more, or that a target is missed.
        trials: Trials of an Optuna study over continuous windows and strides,
            behind the exhaustive search of the lattice.
        alternatives: How many alternatives to name.
    """

    target_wer: Chance | None = None
    target_ua: Chance | None = None
    minimise: CostName = "gflops_per_utterance"
    relax: dict[CostName, Annotated[float, Field(gt=1, le=1000, allow_inf_nan=False)]] = Field(
        default_factory=dict
    )
    tolerance: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.02
    trials: Annotated[int, Field(ge=0, le=10_000)] = 0
    alternatives: Annotated[int, Field(ge=0, le=50)] = 4

    @property
    def asked_of(self) -> tuple[FrontAxis, ...]:
        """Costs that the answer is about: the budgets', and what is minimised."""
        bounds = tuple(self.budget.bounds())
        return bounds if self.target_error is None else (*bounds, self.minimise)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.target_wer is not None and self.task != "asr":
            raise ValueError("target_wer is for asr; for ser name target_ua")
        if unbound := sorted(set(self.relax) - set(self.budget.bounds())):
            raise ValueError(f"relax names {unbound[0]}, which has no budget")
        if self.target_ua is not None and self.task != "ser":
            raise ValueError("target_ua is for ser; for asr name target_wer")
        if self.trials and self.task != "asr":
            raise ValueError(
                "trials search between windows and strides of asr; ser is searched whole"
            )
        if not self.budget.bounds() and self.target_error is None:
            raise ValueError("name at least one budget, or a target")
        return self

    @property
    def target_error(self) -> float | None:
        """The target as an error: WER, or 1 - UA."""
        if self.target_ua is not None:
            return 1 - self.target_ua
        return self.target_wer


class FrontQuestion(Setting):
    """A question for a Pareto front, within budgets where there are any.

    Attributes:
        x: A cost, or ``quality``.
        y: Another.
    """

    x: FrontAxis = "gflops_per_utterance"
    y: FrontAxis = "quality"

    @property
    def asked_of(self) -> tuple[FrontAxis, ...]:
        """Costs that the answer is about: the budgets' and the axes."""
        return (*self.budget.bounds(), self.x, self.y)

    @model_validator(mode="after")
    def _two_axes(self) -> Self:
        if self.x == self.y:
            raise ValueError(f"a front needs two axes, both are {self.x}")
        return self
