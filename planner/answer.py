"""The shape of an answer."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from models_registry.configuration import Configuration
from models_registry.languages import ENGLISH
from planner.quality import Basis


class Answer(BaseModel):
    """Base of every part: frozen, nothing unexpected in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(Answer):
    """A predicted number and all that belongs to it.

    Attributes:
        mean: The estimate.
        lower: Lower end of the interval.
        upper: Upper end.
        level: Probability of the interval.
        unit: Unit, ``fraction`` for WER and UA.
        basis: What it rests on.
        source: ``measured``, ``published`` or ``predicted``.
        provenance: Where it comes from, in one line.
        observed: What was observed itself, of a WER or UA that was: the estimate is drawn towards
            the curve as far as the observation is noisy.
    """

    mean: float
    lower: float
    upper: float
    level: float
    unit: str
    basis: Basis
    source: Literal["measured", "published", "predicted"]
    provenance: str
    observed: float | None = None


class ComponentFlops(Answer):
    """FLOPs of one component."""

    component: str
    flops: float


class Range(Answer):
    """A number and the interval it is in, at the answer's level."""

    mean: float
    lower: float
    upper: float


class CostReport(Answer):
    """What a configuration costs for the workload.

    Attributes:
        gflops_per_utterance: GFLOPs of a recording, the mean.
        gflops_per_audio_second: GFLOPs for a second of audio.
        gflops_range: GFLOPs of a recording with their interval at the answer's level. It has no
            width where they are exact: no window can be run again, no recording has to be cut.
        convention: How FLOPs are counted.
        breakdown: FLOPs of a recording by component.
        memory_bytes: Bytes by part: the runtime with what its allocator keeps, weights, caches,
            activations, and what loading takes beyond them.
        memory_gib: All of them, in GiB: the process on a CPU, what it holds of a GPU on CUDA.
        parameters: Parameters of the model.
        rtf: Seconds of computing per second of audio on ``device``.
        rtf_by_phase: The same by phase.
        retries: Share of windows expected to run away and to be run again in the
            model's full window; counted in every cost.
        retries_sd: Standard deviation of that share; 0 where none can.
        device: Device that time belongs to.
    """

    gflops_per_utterance: float
    gflops_per_audio_second: float
    convention: str
    gflops_range: Range | None = None
    breakdown: tuple[ComponentFlops, ...]
    memory_bytes: dict[str, int]
    memory_gib: float
    parameters: int
    rtf: Estimate | None = None
    rtf_by_phase: dict[str, float] | None = None
    retries: float = 0.0
    retries_sd: float = 0.0
    device: str | None = None


class Deployment(Answer):
    """What keeps up with the recordings that come in.

    Attributes:
        arrivals_per_s: Recordings in a second.
        audio_s_per_s: Seconds of audio in a second.
        busy_devices: Devices' worth of work, the mean.
        devices: Devices needed, at the tolerated risk.
        utilisation: Share of their time that they are busy.
        max_utilisation: Share that was allowed.
        usd_per_hour: What they cost.
    """

    arrivals_per_s: float
    audio_s_per_s: float
    busy_devices: float
    devices: int
    utilisation: float
    max_utilisation: float
    usd_per_hour: float | None = None


class Prediction(Answer):
    """What is known of one configuration, in the form of a recommendation.

    Attributes:
        configuration: What was asked about.
        predictions: By name: quality, memory, on a device what belongs to it, and the counted
            costs, whose intervals have no width.
        costs: What it costs, by component, part and phase.
        deployment: Devices that keep up, where the workload says how often recordings come.
        runnable: Whether this machine can run it as it stands.
        notes: What a recommendation would not offer it for.
    """

    configuration: Configuration
    predictions: dict[str, Estimate]
    costs: CostReport
    deployment: Deployment | None = None
    runnable: bool
    notes: tuple[str, ...] = ()


class Confidence(Answer):
    """How sure the choice is.

    Attributes:
        probability_best: That nothing else allowed is better by more than the
            tolerance (cheaper, with a target).
        probability_within: By budget, that it is held; also of the target.
        expected_regret: Error lost on average against the best allowed, a fraction; with a
            target, the share of the cost that the cheapest reaching it would save.
        risk: Tolerated probability of being wrong.
    """

    probability_best: float
    probability_within: dict[str, float]
    expected_regret: float
    risk: float


class Step(Answer):
    """What a larger budget would buy.

    Attributes:
        bound: The budget it takes.
        configuration: The answer then.
        gain: What it is better by: points of the metric as a fraction, or with a target
            the share of the cost saved.
        price: Gain for a unit of the budget.
    """

    bound: float
    configuration: Configuration
    gain: float
    price: float


class BudgetReport(Answer):
    """One budget, and what it keeps the answer from.

    Attributes:
        name: The cost.
        unit: Its unit.
        bound: The most it may be.
        value: What the choice is predicted to need.
        probability: That it is held.
        binds: Whether relaxing it by ``factor`` would change the answer for the better.
        factor: How far it was relaxed.
        relaxed: The answer then; none where it does not bind.
        next_step: The smallest relaxation that buys something; its price is the budget's
            shadow price.
        of_device: Device whose memory it is, where no less was named.
    """

    name: str
    unit: str
    bound: float
    value: float
    probability: float
    binds: bool
    factor: float
    relaxed: Step | None
    next_step: Step | None
    of_device: str | None = None


class Alternative(Answer):
    """Another configuration and what choosing it trades."""

    configuration: Configuration
    predictions: dict[str, Estimate]
    gflops_per_utterance: float
    rtf: float | None
    probability_better: float
    runnable: bool
    trade: str


class FrontPoint(Answer):
    """A configuration that no other is predicted to beat on both axes."""

    configuration: Configuration
    x: Range
    y: Range
    basis: Basis


class Front(Answer):
    """A Pareto front.

    Attributes:
        x: A cost, or the metric.
        y: Another.
        x_unit: Unit of the first.
        y_unit: Unit of the second.
        points: Ordered along the first, from good to bad.
        knee: Place of the point behind which more of one buys least of the other; none where
            the front does not bend.
        hypervolume: Share of the box between the best and the worst candidates that the front
            dominates, costs on a log scale.
    """

    x: str
    y: str
    x_unit: str
    y_unit: str
    points: tuple[FrontPoint, ...]
    knee: int | None
    hypervolume: Range | None


class Elasticity(Answer):
    """What more of one axis alone would buy.

    Attributes:
        axis: ``xN`` (model), ``xT`` (window), ``xV`` (encoder tokens), ``exit`` (layer read
            out), ``rank`` or ``precision``.
        configuration: The step along it that buys most for its cost.
        cost: What it costs more of.
        cost_ratio: How much it costs for what the choice costs.
        gain: Error saved, a fraction.
        elasticity: Percent that the error changes by for one percent more of the cost.
    """

    axis: str
    configuration: Configuration
    cost: str
    cost_ratio: float
    gain: Range
    elasticity: Range


class Candidate(Answer):
    """A configuration worth measuring.

    Attributes:
        configuration: What to run.
        runnable: Whether its weights are on this machine.
        expected_gain: Error expected to be gained by knowing it, a fraction; with a target,
            the share of the choice's cost expected to be saved.
        why: What it would teach.
    """

    configuration: Configuration
    runnable: bool
    expected_gain: float
    why: str


class VerificationPlan(Answer):
    """Whether a real run should come before the decision, and of what.

    Attributes:
        needed: Whether the risk of a wrong decision is above the tolerated one.
        reasons: Why, or why not.
        candidates: What to run, in the order of what it would teach.
    """

    needed: bool
    reasons: tuple[str, ...]
    candidates: tuple[Candidate, ...]


class Influence(Answer):
    """Another study that moved a prediction.

    Attributes:
        study: Its name.
        change: By what share the predicted error would change without it, to first order.
    """

    study: str
    change: float


class Recommendation(Answer):
    """The answer: a configuration, what to expect of it, and how sure that is."""

    configuration: Configuration
    predictions: dict[str, Estimate]
    costs: CostReport
    deployment: Deployment | None = None
    confidence: Confidence
    budgets: tuple[BudgetReport, ...]
    reasons: tuple[str, ...]
    alternatives: tuple[Alternative, ...]
    elasticities: tuple[Elasticity, ...]
    pareto_front: Front
    verification: VerificationPlan
    runnable: bool
    influences: tuple[Influence, ...] = ()


class StudySummary(Answer):
    """Which study the answer is for.

    Attributes:
        id: The study.
        task: Its task.
        language: Language of its speech.
        measured: Configurations measured in it.
        published: Configurations published in it.
        informed_by: Observations of other studies that shaped the curves.
        workload: What costs are for, in words.
    """

    id: str
    task: str
    language: str = ENGLISH
    measured: int
    published: int
    informed_by: int
    workload: str
