"""How well a configuration does: curves over the axes, and what was really observed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args
from weakref import WeakValueDictionary

import numpy as np

from models_registry.configuration import Configuration, Task
from planner.arrays import Array, Draws, Index, Labels, Mask, distinct
from planner.axes import CORPUS_SD, STUDY_SD, axes_of, group_sd, groups_of, speech_axes
from planner.curves import ScalingModel, fit
from planner.curves.stored import FORMAT, Fits
from planner.errors import InsufficientDataError
from planner.evidence import Evidence, Observation, Speech
from planner.lattice import Lattice
from planner.pooling import pooled_by
from planner.quantiles import normal_quantile
from planner.residuals import Residuals, nearest

Basis = Literal["measured", "published", "interpolated", "extrapolated"]
BASES: tuple[Basis, ...] = get_args(Basis)

_FITS = Fits()

_MOST_SHARED = 0.9
"""Share of an observation's spread that its study's speech accounts for at most."""

_ALIKE = 0.1
"""Share of rows more or fewer with which a form is kept: searching for one takes ten times as long
as fitting it."""


@dataclass(frozen=True, eq=False)
class Quality:
    """Predicted errors of configurations.

    Many differ in what costs alone depend on; they share a draw.

    Attributes:
        mean: Expected errors, fractions, shape ``(n,)``.
        lower: Lower end of the interval.
        upper: Upper end.
        level: Probability of the interval.
        place: Row of each among the draws.
        draws: Joint draws of what differs, shape ``(columns, draws)``.
        basis: What each rests on.
        fitted: Where a prediction comes from, in one line.
        observed: Where those come from that were observed, by place.
        raw: Errors of those as they were observed, by place.
        measured: Rows that the study measured itself.
        common: Log errors that all rows have more in each draw since other speech is harder,
            shape ``(draws,)``.
    """

    mean: Array
    lower: Array
    upper: Array
    level: float
    place: Index
    draws: Draws
    basis: Labels
    fitted: str
    observed: Mapping[int, str]
    raw: Mapping[int, float]
    measured: Mask
    common: Array

    def draws_of(self, rows: int | Index) -> Draws:
        """Joint draws of a row, shape ``(draws,)``, or of some, shape ``(rows, draws)``."""
        drawn: Draws = self.draws[self.place[rows]]
        return drawn

    def chance_below(self, error: float) -> Array:
        """Probability of an error of at most so much, shape ``(n,)``."""
        chance: Array = (self.draws <= error).mean(axis=1)[self.place]
        return chance

    def basis_of(self, row: int) -> Basis:
        """What a row rests on."""
        return self.basis[row]  # type: ignore[return-value]

    def raw_error(self, row: int) -> float | None:
        """Error of a row as it was observed; None if it was not."""
        return self.raw.get(int(self.place[row]))

    def provenance(self, row: int) -> str:
        """Where a row comes from, in one line."""
        return self.observed.get(int(self.place[row]), self.fitted)


class QualityModel:
    """Curves over all studies of a task, answering for one of them.

    Studies and models each carry an offset, so sources meet without being mixed.
    What curves miss is a sum of random effects (:mod:`planner.residuals`): a configuration that
    the study has observed is drawn towards its curve as far as its noise goes, and its neighbours
    follow it. Observations with an interval that was stated, runs that disagree with one another,
    and configurations that the axes do not describe are answered as they were observed.

    Args:
        evidence: What was observed.
        seed: Seed of the draws; curves are fitted with one of their own, so that the same
            evidence has the same curves.
        fits: Where curves are kept; those of this process when left out.

    Raises:
        InsufficientDataError: Too few observations for curves.
    """

    def __init__(self, evidence: Evidence, seed: int = 0, fits: Fits | None = None) -> None:
        self._evidence = evidence
        self._speech = evidence.speech
        self._seed = seed
        self._observed = _by_configuration(evidence.in_study)
        self._as_observed = {
            configuration: o
            for configuration, o in self._observed.items()
            if o.log_sds is not None or o.disagree or not on_the_axes(configuration)
        }
        usable = tuple(o for o in evidence.observations if on_the_axes(o.configuration))
        known = {configuration.model for configuration in self._observed}
        if not self._observed and not usable:
            raise InsufficientDataError(
                f"nothing is known about {evidence.task}: measure a configuration first",
                measure=[{"task": evidence.task}],
            )
        self.curves = curves_of(evidence.task, usable, fits=fits)
        self._common_sd = _common_sd(evidence.in_study, evidence.task)
        self._known_models = known | {o.configuration.model for o in usable}
        self._rows = nearest(usable, evidence.study)
        self._residuals = Residuals(
            self._rows,
            evidence.task,
            evidence.study,
            self._curves_at(self._rows),
            self.curves.inflation * self.curves.misfit_sd,
        )
        self._influences: dict[Configuration, tuple[tuple[str, float], ...]] = {}
        self._drawn: WeakValueDictionary[tuple[bytes, int], Draws] = WeakValueDictionary()

    def predict(self, lattice: Lattice, *, level: float, draws: int) -> Quality:
        """Errors of configurations with intervals and joint draws.

        Args:
            lattice: What to predict.
            level: Probability of the intervals.
            draws: How many joint draws.
        """
        alone, row_of = lattice.alone
        axes, groups = axes_of(alone), groups_of(alone)
        effects = self._residuals.effects(alone)
        first, place = distinct(
            [*axes.values(), *(g.codes for g in groups.values()), effects.place]
        )
        axes = {name: column[first] for name, column in axes.items()}
        axes |= speech_axes(self._evidence.task, np.full(len(first), self._speech.training_clips))
        effects = effects.take(first)
        factors = _factors(
            self._evidence.task,
            {name: labels.take(first) for name, labels in groups.items()},
            (self._speech,),
            np.zeros(len(first), dtype=np.int64),
        )
        known = sorted(self._observed, key=lambda configuration: configuration.key)
        seen = [
            (self._observed[configuration], row)
            for configuration, row in zip(known, alone.rows_of(known).tolist(), strict=True)
            if row >= 0
        ]
        here = [(o, row) for o, row in seen if o.configuration.unbatched in self._as_observed]
        top = 1.0 if self._evidence.task == "ser" else np.inf
        # Neither levels nor batch sizes change the draws, and they are most of what is kept.
        key = hashlib.sha256(alone.hashes.tobytes()).digest(), draws
        joint = self._drawn.get(key)
        rng = np.random.default_rng((self._seed, draws))
        common = self._common_sd * rng.standard_normal(draws)
        if joint is None:
            joint = np.empty((len(first) + len(here), draws), np.float32)
            predictive = self.curves.at(
                axes,
                groups=factors,
                into=joint[: len(first)],
                shared=common,
                effects=effects,
                seed=self._seed,
            )
            for own, (observation, _) in zip(joint[len(first) :], here, strict=True):
                own[:] = self._draws_of(observation, draws, common)
            if top < np.inf:
                np.minimum(joint, top, out=joint)
            self._drawn[key] = joint
        else:
            predictive = self.curves.at(axes, groups=factors, effects=effects)
        median, lower, upper = predictive.interval(level)
        reach = normal_quantile(0.5 + level / 2)
        lower, upper = widened(median, lower, upper, reach * self._common_sd)
        # Of two medians alike, that of which less is known costs more errors on average.
        mean = predictive.expected()
        far = predictive.beyond | ~alone.labels["model"].take(first).mask(*self._known_models)
        codes = np.where(far, BASES.index("extrapolated"), BASES.index("interpolated"))[place]
        mean, lower, upper = mean[place], lower[place], upper[place]

        observed: dict[int, str] = {}
        raw: dict[int, float] = {}
        for observation, row in seen:
            codes[row] = BASES.index(observation.source)
            observed[int(place[row])] = observation.provenance
            raw[int(place[row])] = observation.error
        for number, (observation, row) in enumerate(here, len(first)):
            below, above, shared = self._spread(observation)
            mean[row] = observation.error
            lower[row] = observation.error * np.exp(-reach * np.hypot(below, shared))
            upper[row] = observation.error * np.exp(reach * np.hypot(above, shared))
            place[row] = number
            observed[number] = observation.provenance
            raw[number] = observation.error
        return Quality(
            np.minimum(mean, top)[row_of],
            np.minimum(lower, top)[row_of],
            np.minimum(upper, top)[row_of],
            level,
            place[row_of],
            joint,
            Labels(codes[row_of], BASES),
            f"curves over {self.curves.observed.rows} observations",
            observed,
            raw,
            codes[row_of] == BASES.index("measured"),
            common,
        )

    def _curves_at(self, observations: Sequence[Observation]) -> Array:
        """Log errors of observed rows by each bagged curve, shape ``(rows, bags)``."""
        axes, factors = _design(self._evidence.task, observations)
        return self.curves.curves(axes, groups=factors).T

    def influences(self, configuration: Configuration) -> tuple[tuple[str, float], ...]:
        """Other studies that move a configuration's prediction, the one that moves it most first.

        Returns:
            Name of each, and by how much the log error would change without it, to first order.
        """
        known = self._influences.get(configuration)
        if known is None:
            known = self._influences[configuration] = self._influences_on(configuration)
        return known

    def _influences_on(self, configuration: Configuration) -> tuple[tuple[str, float], ...]:
        if configuration.unbatched in self._as_observed or not self._rows:
            return ()
        lattice = Lattice.of([configuration.unbatched])
        factors = _factors(
            self._evidence.task,
            groups_of(lattice),
            (self._speech,),
            np.zeros(1, dtype=np.int64),
        )
        axes = axes_of(lattice)
        axes |= speech_axes(self._evidence.task, np.array([self._speech.training_clips]))
        curves = self.curves.changes_without(axes, groups=factors)
        changes = {study: float(change[0]) for study, change in curves.items()}
        for o, part in zip(self._rows, self._residuals.parts(lattice).tolist(), strict=True):
            changes[o.study] = changes.get(o.study, 0.0) - part
        changes.pop(self._evidence.study, None)
        return tuple(sorted(changes.items(), key=lambda one: -abs(one[1])))

    def observed(self, configuration: Configuration) -> Observation | None:
        """What the study has observed of a configuration, in batches of any size."""
        return self._observed.get(configuration.unbatched)

    def _draws_of(self, observation: Observation, draws: int, common: Array) -> Array:
        """Draws of an observation, the same whatever is asked for beside it.

        Args:
            observation: Of what.
            draws: How many.
            common: Draws of what the study's speech moves all log errors by.
        """
        digest = hashlib.blake2b(observation.configuration.key.encode(), digest_size=8).digest()
        rng = np.random.default_rng((self._seed, int.from_bytes(digest, "little")))
        below, above, shared = self._spread(observation)
        own = rng.standard_normal(draws)
        own *= np.where(own < 0, below, above)
        moved = common * (shared / self._common_sd) if self._common_sd else common
        found: Array = observation.error * np.exp(own + moved)
        return found

    def _spread(self, observation: Observation) -> tuple[float, float, float]:
        """Standard errors of an observation's log error: its own below and above, and shared.

        Of one that was never paired with the others, or of several runs, all of the spread is
        known, which the study's common one is a part of.
        """
        if (
            observation.log_sds is None
            and observation.paired_se is not None
            and observation.runs == 1
        ):
            return observation.own_log_se, observation.own_log_se, self._common_sd
        total = observation.log_sds or (observation.log_se, observation.log_se)
        shared = min(self._common_sd, _MOST_SHARED * min(total))
        below, above = (float(np.sqrt(side**2 - shared**2)) for side in total)
        return below, above, shared


def curves_of(
    task: Task, observations: Sequence[Observation], *, seed: int = 0, fits: Fits | None = None
) -> ScalingModel:
    """The curves of a task, the same for every study that is asked about.

    Args:
        task: Task of all of them.
        observations: Of every study; those that the axes do not describe are left out.
        seed: Seed of the fit.
        fits: Where curves are kept; those of this process when left out.

    Raises:
        InsufficientDataError: Too few observations.
    """
    usable = [o for o in observations if on_the_axes(o.configuration)]
    axes, labels = _design(task, usable)
    error = np.array([o.error for o in usable])
    error_se = np.array([o.own_log_se * o.error for o in usable])
    spreads = group_sd(task)
    digest = hashlib.sha256(repr((FORMAT, task, seed, list(axes), list(labels), spreads)).encode())
    for column in (*axes.values(), error, error_se):
        # The last digits of a logarithm are another processor's own.
        digest.update(" ".join(f"{value:.9g}" for value in column).encode())
    for known in labels.values():
        digest.update(repr([known[row] for row in range(len(known))]).encode())
    kept = fits or _FITS

    def make() -> ScalingModel:
        like = kept.alike(tuple(axes), tuple(labels))
        if like is not None and abs(len(usable) / like.observed.rows - 1) > _ALIKE:
            like = None
        return fit(
            axes,
            error,
            error_se=error_se,
            groups=labels,
            group_sd=spreads,
            like=like,
            delete="study",
            seed=seed,
        )

    return kept.get(digest.hexdigest(), make)


def _design(
    task: Task, observations: Sequence[Observation]
) -> tuple[dict[str, Array], dict[str, Labels]]:
    """Axes and labels of observed rows, all of which the axes describe."""
    lattice = Lattice.of([o.configuration for o in observations], task)
    kinds = {speech: n for n, speech in enumerate(dict.fromkeys(o.of for o in observations))}
    place = np.array([kinds[o.of] for o in observations], dtype=np.int64)
    axes = axes_of(lattice)
    axes |= speech_axes(task, np.array([o.training_clips for o in observations]))
    return axes, _factors(task, groups_of(lattice), tuple(kinds), place)


def _factors(
    task: Task, groups: Mapping[str, Labels], speech: Sequence[Speech], place: Index
) -> dict[str, Labels]:
    """Labels of rows by factor.

    Models may do other things on speech that is not read English, so that each has an offset
    there: it says nothing of English then but how the error moves along the axes.

    Args:
        task: Their task.
        groups: Labels of the configurations.
        speech: Kinds of speech.
        place: Which of them each row is of.
    """
    factors = {
        "study": Labels(place, tuple(s.study for s in speech)),
        "corpus": Labels.of([s.corpus for s in speech]).take(place),
        **groups,
    }
    if task == "asr":
        models = groups["model"]
        names = [s.kind and f"{model} on {s.kind}" for s in speech for model in models.names]
        labels = Labels.of(names)
        factors["speech"] = labels.take(place * len(models.names) + models.codes)
    return factors


def _by_configuration(
    observations: Sequence[Observation],
) -> dict[Configuration, Observation]:
    """The observation of each configuration, in whatever batches it was made."""

    def unbatched(observation: Observation) -> Configuration:
        return observation.configuration.unbatched

    return {unbatched(found): found for found in pooled_by(observations, unbatched)}


def widened(mean: Array, lower: Array, upper: Array, reach: float | Array) -> tuple[Array, Array]:
    """Ends of an interval that something else, of such a reach in log, moves as well."""
    up, down = np.log(upper / mean), np.log(mean / lower)
    return mean * np.exp(-np.hypot(down, reach)), mean * np.exp(np.hypot(up, reach))


def _common_sd(observations: Sequence[Observation], task: Task) -> float:
    """Spread of log error that everything measured on a study's speech shares.

    The speech is a sample; another sample would move all of it up or down. It
    widens every interval and cancels between configurations. Where none was paired with another,
    it is what runs of one configuration on several samples disagreed by, if most have such.
    However small a sample is, less is never known of a study than of one that was not measured:
    the sample's variance and that of studies add up by their inverses.
    """
    shared = [
        o.log_se**2 - o.own_log_se**2
        for o in observations
        if o.paired_se is not None and o.runs == 1
    ] or [o.log_se**2 - o.own_log_se**2 for o in observations]
    if not shared or np.median(shared) <= 0:
        return 0.0
    of_studies = CORPUS_SD[task] ** 2 + STUDY_SD[task] ** 2
    return float(1 / np.sqrt(1 / np.median(shared) + 1 / of_studies))


def on_the_axes(configuration: Configuration) -> bool:
    """Whether the curves describe it: mean pooling, and an adapter that has a rank, if any."""
    return configuration.reduction == "mean" and configuration.adapter in ("none", "lora")


def without(evidence: Evidence, configuration: Configuration) -> Evidence:
    """The evidence as if the study had not observed a configuration."""
    kept = tuple(
        o
        for o in evidence.observations
        if o.study != evidence.study or o.configuration != configuration
    )
    return replace(evidence, observations=kept)
