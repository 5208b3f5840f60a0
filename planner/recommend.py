"""From evidence and a question to a recommendation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property

from models_registry.configuration import Configuration
from planner import words
from planner.answer import Estimate, Front, Recommendation, StudySummary
from planner.answering import answer
from planner.arrays import Array
from planner.costing import all_costs
from planner.curves.stored import Fits
from planner.device import DeviceModel, fit_device
from planner.errors import InsufficientDataError, NoFeasibleConfigurationError
from planner.evidence import METRIC_OF, Evidence
from planner.fronts import front
from planner.landscape import Landscape, quality_estimate
from planner.lattice import Lattice
from planner.quality import Quality, QualityModel
from planner.question import FrontQuestion, Question, Setting
from planner.search import search_between
from planner.space import candidates
from planner.table import Table

DRAWS = 400
_KEPT_TRIALS = 20
_KEPT_LANDSCAPES = 8

_Space = tuple[tuple[str, ...] | None, int]
"""Models that are allowed, and the largest batch."""


class Planner:
    """Answers questions from one state of the evidence.

    Curves and device models are fitted once and kept; with new measurements
    make a new planner.

    Args:
        evidence: What is known, and for which study to plan.
        seed: Seed of draws, and of the devices' fits; the curves' have one of their own.
        lattice: Candidates of one's own, at batch size 1; those of :mod:`planner.space` when
            left out.
        fits: Where fitted curves are kept; in this process when left out.
    """

    def __init__(
        self,
        evidence: Evidence,
        seed: int = 0,
        lattice: Lattice | None = None,
        fits: Fits | None = None,
    ) -> None:
        self.evidence = evidence
        self._fits = fits
        self._seed = seed
        self._own = lattice
        self._devices: dict[str, DeviceModel] = {}
        self._lattices: dict[_Space, Lattice] = {}
        self._quality: dict[tuple[int, float], Quality] = {}
        self._landscapes: OrderedDict[tuple[object, ...], Landscape] = OrderedDict()

    @cached_property
    def quality(self) -> QualityModel:
        """Curves over the axes.

        Raises:
            InsufficientDataError: Too few observations.
        """
        return QualityModel(self.evidence, self._seed, self._fits)

    def device(self, name: str) -> DeviceModel:
        """What a device takes.

        Raises:
            InsufficientDataError: The device was never timed and its rates are unknown.
        """
        if name not in self._devices:
            known = self.evidence.devices
            if name not in known:
                raise InsufficientDataError(
                    f"device {name} was never timed and no data sheet is known;"
                    f" known: {', '.join(sorted(known)) or 'none'}",
                    device=name,
                    known=sorted(known),
                    measure=[{"task": self.evidence.task, "device": name}],
                )
            self._devices[name] = fit_device(name, known[name], seed=self._seed)
        return self._devices[name]

    def recommend(self, question: Question) -> Recommendation:
        """The best configuration within the budget, or the cheapest for a target.

        Raises:
            NoFeasibleConfigurationError: Nothing meets the budget or the target.
            InsufficientDataError: Too little is known to answer.
            UnknownNameError: A model is not in the registry.
        """
        table = Table(self._landscape(question), question)
        if question.trials:
            table = self._refined(table, question)
        chosen = table.choose()
        return answer(table, chosen, self.evidence)

    def front(self, question: FrontQuestion) -> Front:
        """The Pareto front over two of quality and the costs.

        Raises:
            NoFeasibleConfigurationError: Nothing is within the budget.
            InsufficientDataError: Too little is known to answer.
            UnknownNameError: A model is not in the registry.
        """
        landscape = self._landscape(question)
        bounds = question.budget.bounds()
        if not bounds:
            return landscape.front(question.x, question.y)
        within = landscape.within(bounds, question.risk)
        if not within.any():
            raise NoFeasibleConfigurationError("no configuration holds every budget")
        return front(landscape, question.x, question.y, within)

    def allowed(self, question: Question, configurations: Sequence[Configuration]) -> list[bool]:
        """Whether configurations hold every budget and reach the target of a question."""
        if not configurations:
            return []
        table = self.table(Lattice.of(configurations, self.evidence.task), question)
        return [bool(holds) for holds in table.allowed]

    def predict(
        self, configurations: Sequence[Configuration], level: float = 0.90
    ) -> list[dict[str, Estimate]]:
        """Predicted quality of configurations, asked for one by one."""
        lattice = Lattice.of(configurations, self.evidence.task)
        quality = self.quality.predict(lattice, level=level, draws=2)
        metric = METRIC_OF[self.evidence.task]
        return [{metric: quality_estimate(quality, row, metric)} for row in range(len(lattice))]

    def summary(self, question: Setting) -> StudySummary:
        """Which study an answer is for, and what it rests on."""
        own = self.evidence.in_study
        return StudySummary(
            id=self.evidence.study,
            task=self.evidence.task,
            measured=sum(o.source == "measured" for o in own),
            published=sum(o.source == "published" for o in own),
            informed_by=len(self.evidence.observations) - len(own),
            workload=words.workload(question.workload or self.evidence.workload),
        )

    def table(self, lattice: Lattice, question: Question) -> Table:
        """Configurations with their quality and costs for a question."""
        device = None if question.device is None else self.device(question.device)
        quality = self.quality.predict(lattice, level=question.level, draws=DRAWS)
        costs = all_costs(lattice, question, self.evidence, device)
        return Table(Landscape(lattice, quality, costs, device), question)

    def _landscape(self, question: Setting) -> Landscape:
        """The whole lattice; what does not depend on the budget is kept."""
        device = None if question.device is None else self.device(question.device)
        lattice = self.lattice(question)
        qualities = id(lattice), question.level
        if qualities not in self._quality:
            self._quality[qualities] = self.quality.predict(
                lattice, level=question.level, draws=DRAWS
            )
        key = (
            *qualities,
            question.workload,
            question.convention,
            question.device,
            question.usd_per_device_hour,
            question.device_watts,
        )
        if key not in self._landscapes:
            costs = all_costs(lattice, question, self.evidence, device)
            self._landscapes[key] = Landscape(lattice, self._quality[qualities], costs, device)
            while len(self._landscapes) > _KEPT_LANDSCAPES:
                self._landscapes.popitem(last=False)
        self._landscapes.move_to_end(key)
        found = self._landscapes[key]
        if "joules_per_audio_second" in set(question.asked_of) - set(found.costs.centre):
            raise InsufficientDataError(
                f"what {question.device} draws is not known: state device_watts",
                device=question.device,
            )
        return found

    def lattice(self, question: Setting) -> Lattice:
        """Every candidate for a question."""
        at_once = 1 if question.workload is None else question.workload.max_batch_size
        space = question.models, at_once
        if space not in self._lattices:
            self._lattices[space] = candidates(self.evidence, *space, lattice=self._own)
        return self._lattices[space]

    def _refined(self, table: Table, question: Question) -> Table:
        if question.task != "asr":
            return table
        points = table.landscape.front(table.cost_name, "quality").points
        start = [point.configuration for point in points]
        start = [c for c in start if c.adapter == "none" and c.window_policy == "chunk"]

        def evaluate(batch: Sequence[Configuration]) -> tuple[Array, Array]:
            tried = self.table(Lattice.of(batch), question)
            return tried.objective, tried.violation

        models = sorted({c.model for c in start})
        found = search_between(evaluate, models, start, trials=question.trials, seed=question.seed)
        extended = table.lattice.joined(Lattice.of(found[:_KEPT_TRIALS], "asr"))
        return self.table(extended, question)
