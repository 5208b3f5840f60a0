"""From evidence and a question to a recommendation."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property, partial

import numpy as np

from models_registry.configuration import Configuration, Precision
from planner import words
from planner.answer import Estimate, Front, Influence, Prediction, Recommendation, StudySummary
from planner.answering import answer
from planner.arrays import Array
from planner.costing import all_costs
from planner.curves.stored import Fits
from planner.device import DeviceModel, model_of
from planner.errors import InsufficientDataError, InvalidConfigurationsError
from planner.estimates import Estimates
from planner.evidence import METRIC_OF, Evidence
from planner.fronts import front
from planner.landscape import Landscape, quality_estimate
from planner.lattice import Lattice
from planner.quality import Quality, QualityModel
from planner.question import TIMED, CostName, FrontQuestion, Question, Setting
from planner.search import Choices, Suggest, plain, search, search_between
from planner.served import on_recordings
from planner.shortfall import Shortfall
from planner.space import candidates, misheard, refuse_unspoken, refused
from planner.table import Table

DRAWS = 400
_STUDIES_TOLD = 3
_LEAST_CHANGE = 0.01
"""In log error: other studies that move a prediction by less are not told."""

_KEPT_TRIALS = 20
_KEPT_BYTES = 24e6
"""Of landscapes: those of four devices with single recordings, or one with batches."""

_Space = tuple[tuple[str, ...] | None, int, bool, frozenset[Precision] | None]
"""Models that are allowed, the largest batch, whether recordings are the study's, and what
the device computes in."""

_Kept = tuple[_Space, float, tuple[object, ...]]
"""What a landscape depends on: its candidates, the level of intervals, and what costs need."""


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
        self._landscapes: OrderedDict[_Kept, Landscape] = OrderedDict()

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
            self._devices[name] = model_of(name, known, seed=self._seed)
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
        return self._answer(table)

    def search(
        self, question: Question, suggest: Suggest, *, trials: int = 200, only: bool = False
    ) -> Recommendation:
        """The best of a space of one's own, and of the lattice unless told otherwise.

        Args:
            question: What is asked; its seed is the search's too.
            suggest: Makes a configuration of what it asks an Optuna trial for, as a window
                from ``trial.suggest_float("window_s", 5, 30)``.
            trials: How many configurations to try.
            only: Whether to leave the lattice out, and alternatives with it.

        Raises:
            NoFeasibleConfigurationError: Nothing meets the budget or the target.
            InsufficientDataError: Too little is known to answer.
            ValueError: A configuration is none, or of another task.
        """
        tried: dict[Configuration, None] = {}

        def evaluate(batch: Sequence[Configuration]) -> tuple[Array, Array]:
            refuse_unspoken(self.evidence, batch)
            tried.update(dict.fromkeys(batch))
            return self._judged(question, batch)

        found = search(evaluate, suggest, trials=trials, seed=question.seed)
        if only:
            # Of those that are not allowed the nearest is named.
            table = self.table(Lattice.of(found or list(tried), self.evidence.task), question)
        else:
            table = self._with(found, Table(self._landscape(question), question), question)
        return self._answer(table)

    def _answer(self, table: Table) -> Recommendation:
        chosen = table.choose()
        moved = self.quality.influences(table.lattice[chosen])[:_STUDIES_TOLD]
        influences = tuple(
            Influence(study=study, change=math.expm1(change))
            for study, change in moved
            if abs(change) >= _LEAST_CHANGE
        )
        return answer(table, chosen, self.evidence, influences)

    def front(self, question: FrontQuestion) -> Front:
        """The Pareto front over two of quality and the costs.

        Raises:
            NoFeasibleConfigurationError: Nothing is within the budget.
            InsufficientDataError: Too little is known to answer.
            UnknownNameError: A model is not in the registry.
        """
        landscape = self._landscape(question)
        within = landscape.within(landscape.bounds(question), question.risk)
        if not within.any():
            raise Shortfall(landscape, question, "quality").error()
        if not question.budget.bounds():
            return landscape.front(question.x, question.y, question.risk)
        return front(landscape, question.x, question.y, within)

    def allowed(self, question: Question, configurations: Sequence[Configuration]) -> list[bool]:
        """Whether configurations hold every budget and reach the target of a question."""
        if not configurations:
            return []
        lattice = Lattice.of(configurations, self.evidence.task)
        allowed = self.table(lattice, question).allowed
        if question.workload is not None:
            allowed = allowed & ~misheard(lattice, self.evidence, question.workload)
        return [bool(holds) for holds in allowed]

    def predictions(
        self, configurations: Sequence[Configuration], setting: Setting
    ) -> list[Prediction]:
        """Everything that is known of configurations that are named.

        The numbers of each are those that a recommendation of it would have.

        Args:
            configurations: All of the study's task.
            setting: The device, the workload, the prices and the level.

        Returns:
            One of each, in the order asked.

        Raises:
            InvalidConfigurationsError: The device or the workload does not allow one of them.
            InsufficientDataError: Too little is known to answer.
        """
        errors = refused(configurations, self.evidence, setting)
        if errors:
            raise InvalidConfigurationsError(errors)
        # Of rows that are equal only one would have what was timed.
        lattice = Lattice.of(list(dict.fromkeys(configurations)), self.evidence.task)
        landscape = self._landscape_of(lattice, setting, draws=2)
        estimates = Estimates(landscape, setting, self.evidence)
        found = {c: estimates.prediction(row) for row, c in enumerate(lattice)}
        return [found[configuration] for configuration in configurations]

    def left_out(self, setting: Setting) -> dict[CostName, str]:
        """Costs that :meth:`predictions` can't say for a setting, and what it takes."""
        if setting.device is None:
            return dict.fromkeys(TIMED, "belongs to a device: name one, for example local")
        found: dict[CostName, str] = {}
        if setting.usd_per_device_hour is None:
            found["usd_per_audio_hour"] = "needs usd_per_device_hour"
        if setting.device_watts is None and self.device(setting.device).power_w is None:
            found["joules_per_audio_second"] = (
                f"what {setting.device} draws is not known: state device_watts"
            )
        return found

    def predict(
        self, configurations: Sequence[Configuration], level: float = 0.90
    ) -> list[dict[str, Estimate]]:
        """Predicted quality of configurations on the study's own recordings.

        Raises:
            NoFeasibleConfigurationError: A model can't transcribe the study's language.
        """
        refuse_unspoken(self.evidence, configurations)
        lattice = Lattice.of(configurations, self.evidence.task)
        quality = self.quality.predict(lattice, level=level, draws=2)
        metric = METRIC_OF[self.evidence.task]
        return [{metric: quality_estimate(quality, row, metric)} for row in range(len(lattice))]

    def ratios(
        self, configurations: Sequence[Configuration], to: Configuration, level: float = 0.90
    ) -> list[Estimate]:
        """Predicted errors of configurations over that of another, on the same recordings.

        Where the study has observed the other, it is over the error that was observed: the
        prediction knows how far that is from what its curve says.
        """
        refuse_unspoken(self.evidence, configurations)
        lattice = Lattice.of([*dict.fromkeys([*configurations, to])], self.evidence.task)
        quality = self.quality.predict(lattice, level=level, draws=DRAWS)
        place = {configuration: row for row, configuration in enumerate(lattice)}
        observed = self.quality.observed(to)
        base = (
            np.log(quality.draws_of(place[to]))
            if observed is None
            else quality.common + np.log(observed.error)
        )
        tail = (1 - level) / 2
        found = []
        for configuration in configurations:
            row = place[configuration]
            logs = np.log(quality.draws_of(row)) - base
            if configuration == to:
                logs = np.zeros_like(logs)
            lower, mean, upper = np.exp(
                [np.quantile(logs, tail), logs.mean(), np.quantile(logs, 1 - tail)]
            )
            basis = quality.basis_of(row)
            found.append(
                Estimate(
                    mean=float(mean),
                    lower=float(lower),
                    upper=float(upper),
                    level=level,
                    unit="ratio",
                    basis=basis,
                    source=basis if basis in ("measured", "published") else "predicted",
                    provenance=f"{quality.provenance(row)}, relative to {to.label()}",
                )
            )
        return found

    def summary(self, question: Setting) -> StudySummary:
        """Which study an answer is for, and what it rests on."""
        own = self.evidence.in_study
        return StudySummary(
            id=self.evidence.study,
            task=self.evidence.task,
            language=self.evidence.language,
            measured=sum(o.runs for o in own if o.source == "measured"),
            published=sum(o.runs for o in own if o.source == "published"),
            informed_by=sum(o.runs for o in self.evidence.observations) - sum(o.runs for o in own),
            workload=words.workload(
                question.workload or self.evidence.workload, self.evidence.task
            ),
        )

    def table(self, lattice: Lattice, question: Question) -> Table:
        """Configurations with their quality and costs for a question."""
        return Table(self._landscape_of(lattice, question), question)

    def _landscape_of(self, lattice: Lattice, question: Setting, draws: int = DRAWS) -> Landscape:
        """Configurations of one's own; nothing of it is kept."""
        device = None if question.device is None else self.device(question.device)
        quality = self.quality.predict(lattice, level=question.level, draws=draws)
        costs = all_costs(lattice, question, self.evidence, device)
        return Landscape(lattice, self._served(quality, lattice, question), costs, device)

    def _landscape(self, question: Setting) -> Landscape:
        """The whole lattice; what does not depend on the budget is kept."""
        device = None if question.device is None else self.device(question.device)
        arrivals = (question.workload or self.evidence.workload).arrivals_per_s
        key = (
            self._space(question),
            question.level,
            (
                question.workload,
                question.convention,
                question.device,
                question.usd_per_device_hour,
                question.device_watts,
                # How many devices are paid for depends on how sure they are to keep up.
                (question.max_utilisation, question.risk) if arrivals else None,
            ),
        )
        if key not in self._landscapes:
            lattice, quality = self.lattice(question), self._kept_quality(key)
            if quality is None:
                quality = self.quality.predict(lattice, level=question.level, draws=DRAWS)
                quality = self._served(quality, lattice, question)
            costs = all_costs(lattice, question, self.evidence, device)
            self._landscapes[key] = Landscape(lattice, quality, costs, device)
        self._landscapes.move_to_end(key)
        found = self._landscapes[key]
        while self.nbytes > _KEPT_BYTES and len(self._landscapes) > 1:
            self._landscapes.popitem(last=False)
        if "joules_per_audio_second" in set(question.asked_of) - set(found.costs.centre):
            raise InsufficientDataError(
                f"what {question.device} draws is not known: state device_watts",
                device=question.device,
            )
        return found

    def lattice(self, question: Setting) -> Lattice:
        """Every candidate for a question."""
        space = self._space(question)
        for (known, *_), landscape in self._landscapes.items():
            if known == space:
                return landscape.lattice
        models, at_once, _, native = space
        return candidates(
            self.evidence,
            models,
            at_once,
            self._own,
            served=question.workload or self.evidence.workload,
            native=native,
        )

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept between questions, about."""
        kept = tuple(self._landscapes.values())
        # Landscapes of one study share them.
        draws = {id(one.quality.draws): one.quality.draws.nbytes for one in kept}
        return sum(one.nbytes for one in kept) + sum(draws.values())

    def _space(self, question: Setting) -> _Space:
        own, served = self.evidence.workload, question.workload
        at_once = 1 if served is None else served.max_batch_size
        native = None
        if question.device is not None and question.device in self.evidence.devices:
            native = self.evidence.devices[question.device].native
        return question.models, at_once, (served or own).same_recordings(own), native

    def _kept_quality(self, key: _Kept) -> Quality | None:
        """Qualities on another device: they are the same."""
        for known, landscape in self._landscapes.items():
            if known[:2] == key[:2] and known[2][0] == key[2][0]:
                return landscape.quality
        return None

    def _served(self, quality: Quality, lattice: Lattice, question: Setting) -> Quality:
        """Quality on the recordings that a question is about."""
        served, own = question.workload, self.evidence.workload
        if served is None or self.evidence.task == "ser" or served.same_recordings(own):
            return quality
        return on_recordings(quality, lattice, served, own, self._seed)

    def _refined(self, table: Table, question: Question) -> Table:
        points = table.landscape.front(table.cost_name, "quality", question.risk).points
        start = plain(point.configuration for point in points)
        if not start:
            return table

        choices, evaluate = Choices.of(start), partial(self._judged, question)
        found = search_between(evaluate, choices, start, trials=question.trials, seed=question.seed)
        return self._with(found, table, question)

    def _judged(self, question: Question, batch: Sequence[Configuration]) -> tuple[Array, Array]:
        tried = self.table(Lattice.of(batch, self.evidence.task), question)
        return tried.objective, tried.violation

    def _with(self, found: Sequence[Configuration], table: Table, question: Question) -> Table:
        """The candidates and the best of what a search has found."""
        if not found:
            return table
        best = Lattice.of(found[:_KEPT_TRIALS], self.evidence.task)
        return self.table(table.lattice.joined(best), question)
